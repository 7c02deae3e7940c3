#include "bricks/recent_extents.h"

#include <algorithm>

namespace mars::bricks {

void RecentExtents::add(uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  const uint64_t last = (offset + bytes - 1) / extent_bytes;
  uint64_t extent = offset / extent_bytes;
  if (last - extent >= count_max) extent = last - count_max + 1;
  for (; extent <= last; ++extent) add_one(extent * extent_bytes);
}

void RecentExtents::add_one(uint64_t offset) {
  if (!offsets_.empty() && offsets_.back() == offset) return;
  std::erase(offsets_, offset);
  offsets_.push_back(offset);
  if (offsets_.size() > count_max) offsets_.erase(offsets_.begin());
}

}  // namespace mars::bricks
