// mars-sim: storms over a simulated cluster, one per seed (doc/testing.md).
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include "sim/storm/runner.h"

namespace mars::sim {
namespace {

struct Order {
  uint64_t seed = 1;
  uint64_t count = 1;
  double seconds = 0;  // 0: `count` seeds
  unsigned jobs = 1;
  size_t steps = StormOptions{}.steps;
  std::string faults = "all";
  std::string keep;  // a file to which failing seeds are added
  std::set<size_t> only;
  uint64_t least = 0;  // so often each expected state must have been reached
  size_t reductions = 150;
  bool is_traced = false;
  bool is_twice = false;
  bool has_table = false;
};

constexpr const char* usage =
    "usage: mars-sim --seed N [--count K | --minutes M | --seconds S] [--jobs J] [--steps S] [--faults LIST] [--only "
    "STEPS]\n"
    "                [--trace] [--twice] [--table] [--least N] [--reductions N] [--keep FILE]\n"
    "  --seed N        the first seed, --fresh: one that follows from the time; --count K: so many; --minutes M, "
    "--seconds S: as many as\n"
    "                  fit; --jobs J: so many side by side\n"
    "  --steps S       steps of each storm; --only 0-12,17: only these\n"
    "  --faults LIST   names or groups, separated by commas; -NAME takes away; all, none\n"
    "  --trace         tell everything that is done;  --twice: run each seed twice, both must do the same\n"
    "  --table         print the states that were reached;  --least N: fail when one was reached less often\n"
    "  --reductions N  runs that are spent on making a failure short;  --keep FILE: add failing seeds to it\n"
    "faults:\n";

int help() {
  std::fputs(usage, stdout);
  for (const ActRow& row : acts()) {
    if (row.name.find('.') == std::string_view::npos) continue;
    std::printf("  %-24s %s\n", std::string(row.name).c_str(), std::string(row.note).c_str());
  }
  return 2;
}

bool parse_value(Order& order, const std::string& word, const char* value) {
  const auto number = [value] { return std::strtoull(value, nullptr, 10); };
  if (word == "--seed") {
    order.seed = number();
  } else if (word == "--count") {
    order.count = number();
  } else if (word == "--minutes") {
    order.seconds = 60 * std::strtod(value, nullptr);
  } else if (word == "--seconds") {
    order.seconds = std::strtod(value, nullptr);
  } else if (word == "--jobs") {
    order.jobs = static_cast<unsigned>(std::max(1ull, number()));
  } else if (word == "--steps") {
    order.steps = number();
  } else if (word == "--faults") {
    order.faults = value;
  } else if (word == "--keep") {
    order.keep = value;
  } else if (word == "--least") {
    order.least = number();
  } else if (word == "--reductions") {
    order.reductions = number();
  } else if (word == "--only") {
    auto steps = parse_steps(value);
    if (!steps) return false;
    order.only = std::move(*steps);
  } else {
    return false;
  }
  return true;
}

bool parse(int count, char** words, Order& order) {
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--trace") {
      order.is_traced = true;
    } else if (word == "--twice") {
      order.is_twice = true;
    } else if (word == "--fresh") {
      order.seed = static_cast<uint64_t>(std::time(nullptr)) * 1000;
    } else if (word == "--table") {
      order.has_table = true;
    } else {
      ++i;
      if (i >= count || !parse_value(order, word, words[i])) return false;
    }
  }
  return count > 1;
}

std::string revision() {
  std::string text;
  if (std::FILE* git = ::popen("git describe --always --dirty 2>/dev/null", "r")) {
    char line[128] = {};
    if (std::fgets(line, sizeof(line), git) != nullptr) text = line;
    ::pclose(git);
  }
  while (text.ends_with('\n')) text.pop_back();
  return text.empty() ? "unknown" : text;
}

// Runs seeds until enough are done, and counts.
class Campaign {
 public:
  Campaign(Order order, Faults faults) : order_(std::move(order)), faults_(std::move(faults)) {}

  int run() {
    std::printf("mars-sim: revision %s, seeds from %llu, faults %s\n", revision().c_str(), as_number(order_.seed),
                order_.faults.c_str());
    begun_ = std::time(nullptr);
    Runner runner(order_.jobs);
    uint64_t next = order_.seed;
    while (is_more(next) || !runner.is_idle()) {
      while (is_more(next) && !runner.is_full()) {
        runner.begin(options(next));
        if (order_.is_twice) runner.begin(options(next));
        ++next;
      }
      take(runner.wait());
    }
    return sum_up();
  }

 private:
  static unsigned long long as_number(uint64_t value) { return value; }

  bool is_more(uint64_t next) const {
    if (order_.seconds > 0) return static_cast<double>(std::time(nullptr) - begun_) < order_.seconds;
    return next < order_.seed + order_.count;
  }

  StormOptions options(uint64_t seed) const {
    StormOptions options;
    options.seed = seed;
    options.faults = faults_;
    options.steps = order_.steps;
    options.only = order_.only;
    if (order_.is_traced) {
      options.listener = [](const std::string& what) {
        std::printf("%s\n", what.c_str());
        std::fflush(stdout);
      };
    }
    return options;
  }

  void take(const Finished& finished) {
    ++seeds_;
    reached_.add(finished.reached);
    operations_ += finished.outcome.operations;
    virtual_ms_ += finished.outcome.virtual_ms;
    cpu_ += finished.cpu_seconds;
    if (order_.is_twice) compare(finished);
    if (order_.is_traced || (order_.count == 1 && order_.seconds == 0)) tell(finished);
    if (finished.outcome.problem.empty()) return;
    ++findings_;
    show(finished);
  }

  void compare(const Finished& finished) {
    const auto [first, is_first] = hashes_.try_emplace(finished.options.seed, finished.outcome.trace_hash);
    if (is_first || first->second == finished.outcome.trace_hash) return;
    ++findings_;
    std::printf("seed %llu does not repeat: trace %016llx and %016llx\n", as_number(finished.options.seed),
                as_number(first->second), as_number(finished.outcome.trace_hash));
  }

  void tell(const Finished& finished) const {
    const Outcome& outcome = finished.outcome;
    std::printf("seed %llu: %s, %llu events, %llu operations, %llu ms of virtual time, trace %016llx\n",
                as_number(finished.options.seed), outcome.problem.empty() ? "whole" : "BROKEN",
                as_number(outcome.events), as_number(outcome.operations), as_number(outcome.virtual_ms),
                as_number(outcome.trace_hash));
  }

  void show(const Finished& finding) {
    std::printf("\nFINDING in seed %llu: %s\n", as_number(finding.options.seed),
                finding.outcome.problem.substr(0, finding.outcome.problem.find('\n')).c_str());
    std::fflush(stdout);
    const Finished least = order_.reductions > 0 ? reduce(finding, order_.reductions) : finding;
    std::printf("%s\nreduced to %zu steps; repeat it with\n  %s\n\n", least.outcome.problem.c_str(),
                least.options.only.size(), command_for(least, order_.faults).c_str());
    std::fflush(stdout);
    if (order_.keep.empty()) return;
    if (std::FILE* file = std::fopen(order_.keep.c_str(), "a")) {
      std::fprintf(file, "%s # %s\n", command_for(least, order_.faults).c_str(),
                   least.outcome.problem.substr(0, least.outcome.problem.find('\n')).c_str());
      std::fclose(file);
    }
  }

  int sum_up() {
    if (order_.has_table) std::printf("states reached:\n%s", reached_.table().c_str());
    const std::vector<std::string> missing =
        order_.least > 0 ? reached_.missing(order_.least) : std::vector<std::string>();
    for (const std::string& state : missing) {
      std::printf("reached less than %llu times: %s\n", as_number(order_.least), state.c_str());
    }
    const double cpu = std::max(cpu_, 1e-6);
    const double virtual_seconds = static_cast<double>(virtual_ms_) / 1000;
    std::printf(
        "%llu seeds, %llu findings; %.0f s of virtual time, %llu operations, %.0f operations per CPU second, "
        "%.0f times real time\n",
        as_number(seeds_), as_number(findings_), virtual_seconds, as_number(operations_),
        static_cast<double>(operations_) / cpu, virtual_seconds / cpu);
    return findings_ == 0 && missing.empty() ? 0 : 1;
  }

  const Order order_;
  const Faults faults_;
  std::time_t begun_ = 0;
  Reached reached_;
  std::map<uint64_t, uint64_t> hashes_;
  uint64_t seeds_ = 0;
  uint64_t findings_ = 0;
  uint64_t operations_ = 0;
  uint64_t virtual_ms_ = 0;
  double cpu_ = 0;
};

// A storm begins in fresh memory and touches much of it once: with large pages it takes a quarter less. malloc reads
// this when the process starts.
void take_large_pages(char** words) {
  if (std::getenv("GLIBC_TUNABLES") != nullptr) return;
  ::setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
  ::execv("/proc/self/exe", words);  // where it fails, it goes on with small ones
}

int start(int count, char** words) {
  take_large_pages(words);
  Order order;
  if (!parse(count, words, order)) return help();
  auto faults = parse_faults(order.faults);
  if (!faults) {
    std::fprintf(stderr, "mars-sim: %s\n", faults.error().text.c_str());
    return 2;
  }
  return Campaign(std::move(order), std::move(*faults)).run();
}

}  // namespace
}  // namespace mars::sim

int main(int count, char** words) { return mars::sim::start(count, words); }
