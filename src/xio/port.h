// Port: an origin for activities. `Status status = co_await port.read(offset, into);` sends one request through the
// port's input and resumes with its outcome. The request lives in the coroutine's frame: no allocation. Buffers are the
// caller's and must stay until the await returns. Requests that do not fit the device (check_bounds) come back at once,
// without entering. Any number may be under way; all must be back before the port is destroyed.
#pragma once

#include <coroutine>
#include <span>

#include "xio/request.h"

namespace mars::xio {

class Port {
 public:
  explicit Port(Output& below, Priority priority = Priority::foreground)
      : below_(On<&Port::left>{}, this, nullptr, below), priority_(priority) {}

  // One request under way: what the functions below return, to be awaited at once.
  class Io : private Request {
   public:
    bool await_ready();
    void await_suspend(std::coroutine_handle<> caller);
    Status await_resume();

   private:
    friend Port;
    Io(Port& port, Op op, uint64_t offset, uint64_t length, std::byte* data, bool fua, Hash128* digest);
    Port& port_;
    Hash128* const digest_;
    const bool fits_;
    std::coroutine_handle<> caller_;
  };

  Io read(uint64_t offset, std::span<std::byte> into) {
    return Io(*this, Op::read, offset, into.size(), into.data(), false, nullptr);
  }
  // The bytes are only read.
  Io write(uint64_t offset, std::span<const std::byte> from, bool fua = false) {
    return Io(*this, Op::write, offset, from.size(), const_cast<std::byte*>(from.data()), fua, nullptr);
  }
  Io flush() { return Io(*this, Op::flush, 0, 0, nullptr, false, nullptr); }
  Io discard(uint64_t offset, uint64_t length) {
    return Io(*this, Op::discard, offset, length, nullptr, false, nullptr);
  }
  Io write_zeroes(uint64_t offset, uint64_t length, bool fua = false) {
    return Io(*this, Op::write_zeroes, offset, length, nullptr, fua, nullptr);
  }
  // The hash of a range, made where the bytes lie; `into` is set when the status is ok.
  Io digest(uint64_t offset, uint64_t length, Hash128& into) {
    return Io(*this, Op::read, offset, length, nullptr, false, &into);
  }

  Info info() const { return below_.info(); }
  Edge& below() { return below_; }

 private:
  void left(Request& request);

  Input<> below_;
  const Priority priority_;
};

}  // namespace mars::xio
