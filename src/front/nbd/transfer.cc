#include "front/nbd/transfer.h"

#include <cstdlib>

#include "base/out_of_memory.h"

namespace mars::nbd {
namespace {
constexpr size_t alignment = 4096;
constexpr size_t kept_bytes_max = 8u << 10;
}  // namespace

void Piece::Free::operator()(std::byte* bytes) const { std::free(bytes); }

std::byte* Piece::own_buffer(uint32_t length) {
  if (own_bytes_ < length) {
    own_bytes_ = (length + alignment - 1) / alignment * alignment;
    own_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, own_bytes_)));
    if (own_ == nullptr) out_of_memory();
  }
  return own_.get();
}

void Piece::release_buffer() {
  put();
  if (own_bytes_ <= kept_bytes_max) return;
  own_.reset();
  own_bytes_ = 0;
}

}  // namespace mars::nbd
