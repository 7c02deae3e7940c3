#include "sim/storm/runner.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <csignal>
#include <vector>

#include "base/check.h"

namespace mars::sim {
namespace {

constexpr rlim_t cpu_seconds_max = 120;  // a storm takes about one

[[noreturn]] void run_child(const StormOptions& options, std::FILE* report) {
  const rlimit cpu{cpu_seconds_max, cpu_seconds_max};
  ::setrlimit(RLIMIT_CPU, &cpu);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::mallopt(M_MMAP_THRESHOLD, 256 << 20);  // batches come and go: pages are not given back each time
  ::mallopt(M_TRIM_THRESHOLD, 512 << 20);
  ::mallopt(M_TOP_PAD, 64 << 20);
  Reached reached;
  Outcome outcome;
  {
    Storm storm(options, reached);
    outcome = storm.run();
  }
  const std::string states = reached.encode();
  std::fprintf(report, "%016" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %zu %zu\n", outcome.trace_hash,
               outcome.events, outcome.operations, outcome.virtual_ms, outcome.steps_done, states.size());
  std::fputs(states.c_str(), report);
  std::fputs(outcome.problem.c_str(), report);
  std::fflush(report);
  std::fflush(stdout);
  ::_exit(0);
}

std::string read_all(std::FILE* file) {
  std::string text;
  if (std::fseek(file, 0, SEEK_SET) != 0) return text;
  char buffer[4096];
  for (size_t count = 0; (count = std::fread(buffer, 1, sizeof(buffer), file)) > 0;) text.append(buffer, count);
  return text;
}

// False: the child did not get so far.
bool decode(const std::string& text, Finished& finished) {
  Outcome& outcome = finished.outcome;
  size_t states_bytes = 0;
  const int fields =
      std::sscanf(text.c_str(), "%" SCNx64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %zu %zu", &outcome.trace_hash,
                  &outcome.events, &outcome.operations, &outcome.virtual_ms, &outcome.steps_done, &states_bytes);
  const size_t begin = text.find('\n');
  if (fields != 6 || begin == std::string::npos) return false;
  finished.reached.decode(std::string_view(text).substr(begin + 1, states_bytes));
  outcome.problem = text.substr(std::min(text.size(), begin + 1 + states_bytes));
  return true;
}

std::string death(int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) return "endless: no end within 120 s of CPU";
  if (WIFSIGNALED(status)) return "death: by signal " + std::to_string(WTERMSIG(status)) + ", see above";
  return "death: exit code " + std::to_string(WEXITSTATUS(status)) + ", see above";
}

std::string promise_of(const Outcome& outcome) { return outcome.problem.substr(0, outcome.problem.find(':')); }

std::set<size_t> steps_of(const Finished& finished) {
  if (!finished.options.only.empty()) return finished.options.only;
  const size_t count = finished.outcome.steps_done > 0 ? finished.outcome.steps_done : finished.options.steps;
  std::set<size_t> all;
  for (size_t i = 0; i < count; ++i) all.insert(i);
  return all;
}

}  // namespace

Runner::~Runner() {
  for (const auto& [pid, child] : running_) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    std::fclose(child.report);
  }
}

void Runner::begin(StormOptions options) {
  std::FILE* report = std::tmpfile();
  CHECK(report != nullptr);
  std::fflush(stdout);
  std::fflush(stderr);
  const pid_t pid = ::fork();
  CHECK(pid >= 0);
  if (pid == 0) run_child(options, report);
  running_.emplace(pid, Child{std::move(options), report});
}

Finished Runner::wait() {
  int status = 0;
  rusage usage{};
  // Alone: somebody else's children may run beside.
  const pid_t whom = running_.size() == 1 ? running_.begin()->first : -1;
  const pid_t pid = ::wait4(whom, &status, 0, &usage);
  auto found = running_.find(pid);
  CHECK(found != running_.end());
  Finished finished;
  finished.options = std::move(found->second.options);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  finished.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  const bool has_report = decode(read_all(found->second.report), finished);
  if (!has_report) finished.outcome.problem = death(status);
  std::fclose(found->second.report);
  running_.erase(found);
  return finished;
}

// Takes away ever smaller parts of the steps as long as the rest breaks the same promise.
Finished reduce(const Finished& finding, size_t runs_max) {
  Finished best = finding;
  best.options.only = steps_of(finding);
  best.options.listener = {};
  size_t runs = 0;
  for (size_t part = (best.options.only.size() + 1) / 2; part > 0 && runs < runs_max;) {
    bool has_shrunk = false;
    const std::vector<size_t> steps(best.options.only.begin(), best.options.only.end());
    for (size_t at = 0; at < steps.size() && runs < runs_max; at += part) {
      StormOptions options = best.options;
      for (size_t i = at; i < std::min(at + part, steps.size()); ++i) options.only.erase(steps[i]);
      if (options.only.empty()) continue;
      ++runs;
      Runner runner(1);
      runner.begin(options);
      Finished tried = runner.wait();
      if (tried.outcome.problem.empty() || promise_of(tried.outcome) != promise_of(finding.outcome)) continue;
      best = std::move(tried);
      has_shrunk = true;
    }
    if (!has_shrunk || part > best.options.only.size()) part /= 2;
  }
  return best;
}

std::string command_for(const Finished& finding, const std::string& faults) {
  std::string command =
      "mars-sim --seed " + std::to_string(finding.options.seed) + " --steps " + std::to_string(finding.options.steps);
  if (faults != "all") command += " --faults " + faults;
  if (!finding.options.only.empty()) command += " --only " + steps_text(finding.options.only);
  return command + " --trace";
}

}  // namespace mars::sim
