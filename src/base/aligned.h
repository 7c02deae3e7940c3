// Memory for direct I/O: aligned to 4 KiB, zero at first, owned, movable. May be empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <utility>

#include "base/out_of_memory.h"

namespace mars {

class AlignedBuffer {
 public:
  static constexpr size_t alignment = 4096;

  AlignedBuffer() = default;
  // calloc: a large one costs what is touched of it, for its pages come from the kernel, zero.
  explicit AlignedBuffer(size_t bytes) : memory_(std::calloc(1, bytes + alignment)), bytes_(bytes) {
    if (memory_ == nullptr) out_of_memory();  // an exception would unwind requests that are under way
    const auto address = reinterpret_cast<uintptr_t>(memory_);
    data_ = static_cast<std::byte*>(memory_) + (alignment - address % alignment) % alignment;
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer() { std::free(memory_); }

  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }
  std::span<std::byte> span() { return {data_, bytes_}; }
  std::span<const std::byte> span() const { return {data_, bytes_}; }

 private:
  void* memory_ = nullptr;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace mars
