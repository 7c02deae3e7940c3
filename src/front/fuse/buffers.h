// Buffers: the memory of one FUSE session, taken once: many small pieces and a few large ones. A large piece holds
// a whole message of the kernel in such a way that the payload of a write begins at a page. Physical memory is used
// as far as pieces were ever touched; the last one given back is the first one taken again.
#pragma once

#include <cstddef>
#include <vector>

#include "base/status.h"

namespace mars::fuse {

class Buffers {
 public:
  static constexpr size_t small_bytes = size_t{32} << 10;
  static constexpr size_t large_bytes = size_t{1} << 20;
  static constexpr size_t page_bytes = 4096;

  Buffers() = default;
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  ~Buffers();

  // no_space when the address space is not to be had.
  Status allocate(size_t small_count, size_t large_count);

  // The i-th small piece; who gets which is the owner's business.
  std::byte* small(size_t index) const { return memory_ + index * small_bytes; }

  // A large piece, by where its payload begins. `page_bytes` before it belong to the piece, for the header.
  std::byte* take_large();
  void give_large(std::byte* payload) { free_large_.push_back(payload); }
  size_t free_large() const { return free_large_.size(); }

 private:
  std::byte* memory_ = nullptr;
  size_t bytes_ = 0;
  std::vector<std::byte*> free_large_;
};

}  // namespace mars::fuse
