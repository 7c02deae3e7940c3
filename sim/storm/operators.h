// Operators: people at several hosts at once. In a storm they give random commands, legal and illegal, and do not wait
// for each other; recover() is what a sensible one does afterwards, reading what the hosts say of themselves.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "sim/storm/plan.h"
#include "sim/storm/stage.h"
#include "sim/storm/troubles.h"

namespace mars::sim {

class Operators {
 public:
  Operators(Stage& stage, Troubles& troubles) : stage_(stage), troubles_(troubles) {}

  void act(Act act, Prng prng);
  // Begins it; collect() takes the answer.
  void give(const std::string& host, const std::string& line);
  // Answers that came meanwhile.
  void collect();
  // One round of bringing everything up to date; `winner` is kept where histories have parted.
  void recover(const std::string& winner);
  void restart_where_the_store_failed();
  // Whose version is to be kept.
  std::string choose_winner();
  // Runs it and waits, but not for ever; the answer's text when it is not done.
  std::string order(const std::string& host, const std::string& line);

 private:
  struct Given {
    std::string host;
    std::string line;
    std::shared_ptr<Running> running;
  };
  void note(const std::string& host, const std::string& line, const control::Answer& answer);
  void before(const std::string& host, const std::string& line);
  void force(Prng& prng);
  void invalidate(Prng& prng);
  void membership(Prng& prng);
  void in_use(Prng& prng);
  std::string illegal(Prng& prng) const;
  bool is_on_losing_side(const std::string& host, const std::string& winner);
  void recover_host(const std::string& host, const std::string& winner);

  Stage& stage_;
  Troubles& troubles_;
  std::vector<Given> given_;
};

}  // namespace mars::sim
