#include "net/frame_reader.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace mars::net {
namespace {
constexpr size_t buffer_bytes = 64u << 10;
}

Task<Result<Frame>> FrameReader::next(uint32_t payload_max) {
  if (end_ - begin_ < format::frame_header_bytes) {
    const Status status = co_await fill(format::frame_header_bytes);
    if (status != Status::ok) co_return failure(status);
  }
  Result<format::FrameHeader> header = format::decode_frame_header(ByteView(buffer_).subspan(begin_), version_);
  if (!header) co_return failure(header.error());
  if (header->length > payload_max) {
    co_return failure(Status::invalid, "a frame of " + std::to_string(header->length) + " bytes, at most " +
                                           std::to_string(payload_max) + " are allowed here");
  }
  const size_t bytes = format::frame_header_bytes + header->length;
  if (end_ - begin_ < bytes) {
    const Status status = co_await fill(bytes);
    if (status != Status::ok) co_return failure(status == Status::end ? Status::gone : status);
  }
  Frame frame{*header, ByteView(buffer_).subspan(begin_ + format::frame_header_bytes, header->length)};
  begin_ += bytes;
  co_return frame;
}

Task<void> FrameReader::drain() {
  begin_ = end_ = 0;
  if (buffer_.empty()) buffer_.resize(buffer_bytes);
  // Not `while (co_await ...) {}`: of that g++ 12 makes an illegal instruction.
  for (;;) {
    const Result<size_t> count = co_await stream_.read_some(buffer_);
    if (!count) break;
  }
}

// Reads until so many bytes are there. end only when there was none.
Task<Status> FrameReader::fill(size_t bytes) {
  if (buffer_.size() - begin_ < bytes) {
    if (begin_ < end_) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    if (buffer_.size() < bytes) buffer_.resize(std::max(bytes, buffer_bytes));
  } else if (begin_ == end_) {
    begin_ = end_ = 0;
  }
  while (end_ - begin_ < bytes) {
    Result<size_t> count = co_await stream_.read_some(ByteSpan(buffer_).subspan(end_));
    if (!count) {
      const bool in_the_middle = count.error().status == Status::end && end_ > begin_;
      co_return in_the_middle ? Status::gone : count.error().status;
    }
    end_ += *count;
    bytes_read_ += *count;
  }
  co_return Status::ok;
}

}  // namespace mars::net
