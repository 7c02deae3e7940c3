// mars-sim FIRST [LAST] [STEPS] [-v]: storms over a simulated cluster, one per seed. Prints what broke; exit code 1 if
// anything did.
#include <cstdio>
#include <cstdlib>

#include "sim/cluster/storm.h"

int main(int count, char** words) {
  if (count < 2) {
    std::puts("usage: mars-sim FIRST [LAST] [STEPS] [-v]    storms with these seeds, 60 steps each; -v: each step");
    return 2;
  }
  const uint64_t first = std::strtoull(words[1], nullptr, 10);
  const uint64_t last = count > 2 ? std::strtoull(words[2], nullptr, 10) : first;
  const int steps = count > 3 ? std::atoi(words[3]) : 60;
  const bool is_told = count > 4;
  uint64_t broken = 0;
  for (uint64_t seed = first; seed <= last; ++seed) {
    std::function<void(const std::string&)> tell;
    if (is_told) tell = [](const std::string& what) { std::printf("%s\n", what.c_str()); };
    mars::sim::Storm storm(seed, std::move(tell));
    const std::string problem = storm.run(steps);
    const auto hash = static_cast<unsigned long long>(storm.trace_hash());
    std::printf("seed %llu: %s, %llu events, trace %016llx\n", static_cast<unsigned long long>(seed),
                problem.empty() ? "whole" : "BROKEN", static_cast<unsigned long long>(storm.event_count()), hash);
    if (!problem.empty()) std::printf("%s\n", problem.c_str());
    std::fflush(stdout);
    broken += problem.empty() ? 0 : 1;
  }
  std::printf("%llu of %llu seeds broke a promise\n", static_cast<unsigned long long>(broken),
              static_cast<unsigned long long>(last - first + 1));
  return broken == 0 ? 0 : 1;
}
