// Drive: how long one simulated device takes. Operations run side by side, but share the bandwidth; a rotating one does
// one at a time and pays a seek for each that does not follow the one before.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/prng.h"
#include "io/time.h"

namespace mars::sim {

struct DriveSpeed {
  io::Duration read = std::chrono::microseconds(80);
  io::Duration write = std::chrono::microseconds(30);
  io::Duration flush = std::chrono::microseconds(400);
  io::Duration seek = {};  // not zero: rotating
  uint64_t bytes_per_second = 1'000'000'000;
};

class Drive {
 public:
  Drive(DriveSpeed speed, Prng prng) : speed_(speed), prng_(prng) {}

  enum class Work : uint8_t { read, write, flush };
  // How long it takes, from now on.
  io::Duration admit(Work work, uint64_t offset, uint64_t bytes, io::Instant now);
  bool is_rotational() const { return speed_.seek > io::Duration{}; }

  void set_speed(DriveSpeed speed) { speed_ = speed; }
  void set_slowness(uint64_t factor) { slowness_ = factor; }  // everything takes so many times as long
  bool is_stuck() const { return is_stuck_; }
  // Nothing completes any more, until unstick().
  void stick() { is_stuck_ = true; }
  void unstick();
  void hold(std::move_only_function<void()> completion) { held_.push_back(std::move(completion)); }

 private:
  DriveSpeed speed_;
  Prng prng_;
  uint64_t slowness_ = 1;
  bool is_stuck_ = false;
  io::Instant busy_until_ = {};
  uint64_t head_ = 0;
  std::vector<std::move_only_function<void()>> held_;
};

}  // namespace mars::sim
