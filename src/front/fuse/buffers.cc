#include "front/fuse/buffers.h"

#include <sys/mman.h>

#include "base/check.h"

namespace mars::fuse {

Buffers::~Buffers() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

Status Buffers::allocate(size_t small_count, size_t large_count) {
  CHECK(memory_ == nullptr);
  const size_t piece = page_bytes + large_bytes;
  bytes_ = small_count * small_bytes + large_count * piece;
  void* mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return Status::no_space;
  memory_ = static_cast<std::byte*>(mapped);
  free_large_.reserve(large_count);
  std::byte* first = memory_ + small_count * small_bytes + page_bytes;
  for (size_t i = large_count; i > 0; --i) free_large_.push_back(first + (i - 1) * piece);
  return Status::ok;
}

std::byte* Buffers::take_large() {
  CHECK(!free_large_.empty());
  std::byte* payload = free_large_.back();
  free_large_.pop_back();
  return payload;
}

}  // namespace mars::fuse
