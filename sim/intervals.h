// Intervals: a set of integers as disjoint half-open ranges; which bytes of a file are allocated. A value.
#pragma once

#include <cstdint>
#include <map>

namespace mars::sim {

class Intervals {
 public:
  void add(uint64_t begin, uint64_t end) {
    if (begin >= end) return;
    remove(begin, end);
    auto next = ranges_.lower_bound(end);
    if (next != ranges_.end() && next->first == end) {
      end = next->second;
      next = ranges_.erase(next);
    }
    if (next != ranges_.begin() && std::prev(next)->second == begin) {
      std::prev(next)->second = end;
    } else {
      ranges_.emplace(begin, end);
    }
  }

  void remove(uint64_t begin, uint64_t end) {
    if (begin >= end) return;
    auto range = ranges_.upper_bound(begin);
    if (range != ranges_.begin()) --range;
    while (range != ranges_.end() && range->first < end) {
      const auto [low, high] = *range;
      if (high <= begin) {
        ++range;
        continue;
      }
      range = ranges_.erase(range);
      if (low < begin) ranges_.emplace(low, begin);
      if (high > end) ranges_.emplace(end, high);
    }
  }

  uint64_t covered(uint64_t begin, uint64_t end) const {
    uint64_t sum = 0;
    auto range = ranges_.upper_bound(begin);
    if (range != ranges_.begin()) --range;
    for (; range != ranges_.end() && range->first < end; ++range) {
      const uint64_t low = std::max(range->first, begin);
      const uint64_t high = std::min(range->second, end);
      if (low < high) sum += high - low;
    }
    return sum;
  }

  uint64_t total() const {
    uint64_t sum = 0;
    for (const auto& [begin, end] : ranges_) sum += end - begin;
    return sum;
  }

 private:
  std::map<uint64_t, uint64_t> ranges_;  // begin -> end
};

}  // namespace mars::sim
