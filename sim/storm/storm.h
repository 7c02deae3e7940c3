// Storm: everything at once, from one seed: an application that writes, flushes and reads, and whatever can go wrong
// (plan.h); after each step all promises are checked (history.h, watch.h); then calm, in which everything must come up
// to date again within bounded time.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "sim/storm/client.h"
#include "sim/storm/neighbour.h"
#include "sim/storm/operators.h"
#include "sim/storm/plan.h"
#include "sim/storm/reached.h"
#include "sim/storm/stage.h"
#include "sim/storm/troubles.h"
#include "sim/storm/watch.h"

namespace mars::sim {

struct StormOptions {
  uint64_t seed = 1;
  Faults faults = all_faults();
  size_t steps = 150;
  std::set<size_t> only;  // empty: all steps
  std::function<void(const std::string&)> listener;
};

struct Outcome {
  std::string problem;  // empty: all promises held
  uint64_t trace_hash = 0;
  uint64_t events = 0;
  uint64_t operations = 0;
  uint64_t virtual_ms = 0;
  size_t steps_done = 0;  // up to the one after which the problem was found
};

struct Drill;
struct DrillOptions;
struct DrillOutcome;

class Storm {
 public:
  Storm(const StormOptions& options, Reached& reached);
  ~Storm();
  // Either, once.
  Outcome run();
  DrillOutcome drill(const Drill& drill, const DrillOptions& options);  // drill.h

 private:
  void perform(const Step& step);
  void calm(Prng prng);
  void settle();
  bool is_up_to_date();
  std::string describe();

  const StormOptions options_;
  Stage stage_;
  Troubles troubles_;
  Operators operators_;
  Client client_;
  Watch watch_;
  Neighbour neighbour_;
};

}  // namespace mars::sim
