// Memory: a device in RAM, allocated whole at start; its content goes with it. Completes at once. With `buffers` it
// supplies them on get: a write gets room to receive into, a read comes back filled; when all are out, gets wait in
// order.
#pragma once

#include <span>
#include <vector>

#include "xio/request.h"

namespace mars::bricks {

struct MemoryOptions {
  uint64_t bytes = 0;
  uint32_t block_bytes = 1;
  uint32_t bytes_max = 1 << 20;
  size_t buffers = 0;                // each of bytes_max; 0: a get succeeds without a buffer, bring your own
  uint32_t get_bytes_max = 1 << 20;  // what is asked for beyond that is shortened
};

class Memory final : public xio::Output, private xio::Supplier {
 public:
  Memory(Ready& ready, MemoryOptions options);
  // Every buffer is back and no get waits.
  ~Memory() override;

  xio::Info info() const override;
  void enter(xio::Request& request) override;

  // The content, for who looks at it from outside.
  std::span<std::byte> bytes() { return bytes_; }
  size_t buffers_free() const { return free_.size(); }
  size_t gets_waiting() const { return waiting_.size(); }

 private:
  void get(xio::Request& request);
  void supply(xio::Request& request);
  void take_back(xio::Request& request) override;
  void move(xio::Request& request);

  const MemoryOptions options_;
  std::vector<std::byte> bytes_;
  std::vector<std::byte> slab_;
  std::vector<std::byte*> free_;
  xio::Line waiting_;
};

}  // namespace mars::bricks
