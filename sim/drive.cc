#include "sim/drive.h"

#include <algorithm>
#include <utility>

namespace mars::sim {

io::Duration Drive::admit(Work work, uint64_t offset, uint64_t bytes, io::Instant now) {
  io::Duration base = work == Work::read ? speed_.read : work == Work::write ? speed_.write : speed_.flush;
  const auto spread = static_cast<uint64_t>(base.count());
  base += io::Duration(prng_.below(spread + 1));  // one to two times the figure
  io::Duration transfer(static_cast<int64_t>(bytes) * 1'000'000'000 / static_cast<int64_t>(speed_.bytes_per_second));
  if (is_rotational() && offset != head_) transfer += speed_.seek;
  head_ = offset + bytes;
  busy_until_ = std::max(busy_until_, now) + transfer * slowness_;
  return busy_until_ - now + base * slowness_;
}

void Drive::unstick() {
  is_stuck_ = false;
  for (auto& completion : std::exchange(held_, {})) completion();
}

}  // namespace mars::sim
