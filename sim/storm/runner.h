// Runner: runs storms in processes of their own, some side by side, so that one that dies or does not end is a finding
// like any other; and reduces what was found to the fewest steps that still show it.
#pragma once

#include <sys/types.h>

#include <cstdio>
#include <functional>
#include <map>
#include <string>

#include "sim/storm/storm.h"

namespace mars::sim {

struct Finished {
  StormOptions options;
  Outcome outcome;
  Reached reached;
  double cpu_seconds = 0;
};

class Runner {
 public:
  explicit Runner(unsigned jobs) : jobs_(jobs) {}
  ~Runner();

  bool is_full() const { return running_.size() >= jobs_; }
  bool is_idle() const { return running_.empty(); }
  void begin(StormOptions options);
  // The next one that ends; there must be one.
  Finished wait();

 private:
  struct Child {
    StormOptions options;
    std::FILE* report;
  };
  const unsigned jobs_;
  std::map<pid_t, Child> running_;
};

// As short a list of steps as can be found within so many runs that breaks the same promise.
Finished reduce(const Finished& finding, size_t runs_max);
// The command that repeats it.
std::string command_for(const Finished& finding, const std::string& faults);

}  // namespace mars::sim
