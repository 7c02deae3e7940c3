// A seeded pseudo random number generator, the same on every machine and build: xoshiro256++ (Blackman, Vigna 2019),
// seeded by splitmix64. For simulation, jitter and tests; never for secrets (io::Machine::random_bytes is).
#pragma once

#include <bit>
#include <cstdint>

#include "base/check.h"

namespace mars {

class Prng {
 public:
  explicit Prng(uint64_t seed) {
    for (uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15;
      uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
      z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
      word = z ^ (z >> 31);
    }
  }

  uint64_t next() {
    const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // 0 .. bound-1; bound > 0. The bias of the multiplication is below 2^-32 for the bounds in use.
  uint64_t below(uint64_t bound) {
    CHECK(bound > 0);
    return static_cast<uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }
  // low .. high, both included.
  uint64_t between(uint64_t low, uint64_t high) { return low + below(high - low + 1); }
  // True in `parts` of `whole` cases.
  bool chance(uint64_t parts, uint64_t whole) { return below(whole) < parts; }
  // An independent generator, for a part that must not disturb the others.
  Prng fork() { return Prng(next()); }

 private:
  __extension__ using Wide = unsigned __int128;  // no part of ISO C++, says g++ -Wpedantic

  uint64_t state_[4] = {};
};

}  // namespace mars
