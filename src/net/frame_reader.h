// FrameReader: cuts a stream into frames. Reads ahead into one buffer, so that one call to the machine gets many
// frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "format/frame.h"
#include "io/network.h"

namespace mars::net {

struct Frame {
  format::FrameHeader header;
  std::span<const std::byte> payload;  // until the next call of next()
};

class FrameReader {
 public:
  explicit FrameReader(io::Stream& stream) : stream_(stream) {}

  // The next frame whole. end: closed between two frames; gone: in the middle of one; invalid, unsupported: what came
  // is no frame of this version, or longer than `payload_max`.
  Task<Result<Frame>> next(uint32_t payload_max);
  // Throws away whatever still comes, until the connection ends.
  Task<void> drain();
  void agree(uint16_t version) { version_ = version; }
  uint64_t bytes_read() const { return bytes_read_; }

 private:
  Task<Status> fill(size_t bytes);

  io::Stream& stream_;
  uint16_t version_ = 1;
  std::vector<std::byte> buffer_;
  size_t begin_ = 0;  // first byte not yet handed out
  size_t end_ = 0;
  uint64_t bytes_read_ = 0;
};

}  // namespace mars::net
