#include "bricks/memory.h"

#include <algorithm>
#include <cstring>

namespace mars::bricks {

using xio::Op;

Memory::Memory(Ready& ready, MemoryOptions options)
    : Output(ready), options_(options), bytes_(options.bytes), slab_(options.buffers * options.bytes_max) {
  for (size_t i = options.buffers; i-- > 0;) free_.push_back(slab_.data() + i * options.bytes_max);
}

Memory::~Memory() { CHECK(waiting_.empty() && free_.size() == options_.buffers); }

xio::Info Memory::info() const {
  return {.bytes = options_.bytes,
          .block_bytes = options_.block_bytes,
          .bytes_max = options_.bytes_max,
          .discard = xio::Support::native,
          .write_zeroes = xio::Support::native};
}

void Memory::enter(xio::Request& request) {
  if (Status status = check_bounds(request, info()); status != Status::ok) return complete(request, status);
  if (request.step == xio::Step::get) return get(request);
  move(request);
  complete(request, Status::ok);
}

void Memory::get(xio::Request& request) {
  if (options_.buffers == 0) return complete(request, Status::ok);
  if (free_.empty()) return waiting_.push(request);
  supply(request);
}

void Memory::supply(xio::Request& request) {
  request.data = free_.back();
  request.buffer = request.data;
  request.supplier = this;
  free_.pop_back();
  request.bytes = std::min(request.bytes, options_.get_bytes_max);
  if (request.op == Op::read) {
    move(request);
    request.filled = true;
  }
  complete(request, Status::ok);
}

void Memory::take_back(xio::Request& request) {
  free_.push_back(static_cast<std::byte*>(request.buffer));
  if (xio::Request* next = waiting_.pop()) supply(*next);
}

void Memory::move(xio::Request& request) {
  std::byte* place = bytes_.data() + request.offset;
  switch (request.op) {
    case Op::read:
      if (request.digest_only) {
        request.digest = hash(ByteView(place, request.bytes));
      } else {
        std::memcpy(request.data, place, request.bytes);
      }
      break;
    case Op::write:
      std::memcpy(place, request.data, request.bytes);
      break;
    case Op::discard:
    case Op::write_zeroes:
      std::memset(place, 0, request.bytes);
      break;
    case Op::flush:
      break;
  }
}

}  // namespace mars::bricks
