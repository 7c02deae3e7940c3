// RecentExtents: the extents of a disk that were changed last, the youngest last. A fingerprint covers them (D17): what
// a disk looked like when it was last ours shows best where it was changed last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mars::bricks {

class RecentExtents {
 public:
  static constexpr size_t count_max = 64;
  static constexpr uint32_t extent_bytes = 64u << 10;

  RecentExtents() { offsets_.reserve(count_max + 1); }

  // A range was, or will be, changed. Of a long one only the end counts.
  void add(uint64_t offset, uint64_t bytes);
  // Where the extents begin, each once, at most count_max.
  const std::vector<uint64_t>& offsets() const { return offsets_; }

 private:
  void add_one(uint64_t offset);

  std::vector<uint64_t> offsets_;
};

}  // namespace mars::bricks
