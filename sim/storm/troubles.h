// Troubles: what goes wrong with disks, networks, clocks and hosts. Those that last are remembered until they are
// mended.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/prng.h"
#include "sim/storm/plan.h"
#include "sim/storm/stage.h"

namespace mars::sim {

class Troubles {
 public:
  explicit Troubles(Stage& stage) : stage_(stage) {}

  // Of the groups disk, network, clock and host.
  void begin(Act act, Prng prng);
  void mend_one(Prng prng);
  void mend_all();
  void isolate(const std::string& host);

 private:
  struct Lasting {
    std::string what;
    std::function<void()> mend;
  };
  void disk(Act act, Prng& prng);
  void fail_disk(bool is_lasting, Prng& prng);
  void fill_disk(const std::string& host, Prng& prng);
  void stick(const std::string& host, const char* path);
  void damage(Act act, Prng& prng);
  void rot_the_end(const std::string& host, Prng& prng);
  void excuse(const std::string& host, const std::string& path);
  void network(Act act, Prng& prng);
  void flap(const std::string& x, const std::string& y, Prng& prng);
  void slow_link(Act act, const std::string& x, const std::string& y, Prng& prng);
  void clock(Act act, Prng& prng);
  void host(Act act, Prng& prng);
  void die_at_any_event(const std::string& host, bool with_power, Prng& prng);
  void lose_pool(const std::string& host);
  void replace_disk(const std::string& host);
  void lose_store(const std::string& host, Prng& prng);
  void keep_store(const std::string& host);
  void pause(const std::string& host);
  void mend_disks(const std::string& host);
  void start_dead();
  void last(std::string what, std::function<void()> mend);
  bool has_bad_disk(const std::string& host) const;

  Stage& stage_;
  std::vector<Lasting> lasting_;
  using Files = std::map<std::string, std::vector<std::byte>>;
  std::map<std::string, Files> old_stores_;  // by host
};

}  // namespace mars::sim
