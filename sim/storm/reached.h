// Reached: which of the states that matter were reached, and how often. A storm that never gets somewhere proves
// nothing about that place.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mars::sim {

class Reached {
 public:
  void count(std::string_view what, uint64_t times = 1) { counts_[std::string(what)] += times; }
  void add(const Reached& other);
  const std::map<std::string, uint64_t>& counts() const { return counts_; }

  // What a long soak must reach, each at least `least` times; those that it did not.
  static const std::vector<std::string>& expected();
  std::vector<std::string> missing(uint64_t least) const;
  std::string table() const;

  // One line per state, "NAME\tCOUNT".
  std::string encode() const;
  void decode(std::string_view text);

 private:
  std::map<std::string, uint64_t> counts_;
};

}  // namespace mars::sim
