// An origin for tests of bricks that need nothing but the ready queue.
#pragma once

#include <array>
#include <vector>

#include "base/ready.h"
#include "xio/request.h"

namespace mars::bricks {

class Sender {
 public:
  Sender(Ready& ready, xio::Output& below) : below_(xio::On<&Sender::left>{}, this, nullptr, below), ready_(ready) {}

  // Sends, runs the queue, and gives the outcome; Status::stopped when it did not come back.
  Status send(xio::Request& request) {
    request.status = Status::stopped;
    enter(request);
    ready_.run();
    return request.status;
  }
  void enter(xio::Request& request) { below_.enter(request); }

  Status write(uint64_t offset, std::vector<std::byte> bytes) {
    request.prepare(xio::Op::write, offset, static_cast<uint32_t>(bytes.size()), bytes.data());
    return send(request);
  }
  // The bytes, or nothing when it failed.
  std::vector<std::byte> read(uint64_t offset, uint32_t bytes) {
    std::vector<std::byte> into(bytes);
    request.prepare(xio::Op::read, offset, bytes, into.data());
    return send(request) == Status::ok ? into : std::vector<std::byte>();
  }
  Status other(xio::Op op, uint64_t offset = 0, uint32_t bytes = 0) {
    request.prepare(op, offset, bytes, nullptr);
    return send(request);
  }
  Status digest(uint64_t offset, uint32_t bytes) {
    request.prepare(xio::Op::read, offset, bytes, nullptr);
    request.digest_only = true;
    return send(request);
  }
  Status get(xio::Op op, uint64_t offset, uint32_t bytes) {
    request.prepare(op, offset, bytes, nullptr);
    request.step = xio::Step::get;
    return send(request);
  }

  xio::Edge& below() { return below_; }
  size_t back = 0;
  xio::Request request;

 private:
  void left(xio::Request&) { ++back; }
  xio::Input<> below_;
  Ready& ready_;
};

inline std::vector<std::byte> filled(size_t bytes, char letter) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(letter));
}

}  // namespace mars::bricks
