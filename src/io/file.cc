#include "io/file.h"

#include <coroutine>

namespace mars::io {
namespace {

// Submits one operation and resumes the caller when it completed.
class Submitted : public FileOp {
 public:
  Submitted(File& file, Kind what, uint64_t at) : file_(file) {
    kind = what;
    offset = at;
    run = [](Job& job) { static_cast<Submitted&>(job).caller_.resume(); };
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    caller_ = caller;
    file_.submit(*this);
  }
  Status await_resume() const noexcept { return status; }

 private:
  File& file_;
  std::coroutine_handle<> caller_;
};

Task<Status> range_op(File& file, FileOp::Kind kind, uint64_t offset, uint64_t bytes) {
  Submitted op(file, kind, offset);
  op.bytes = bytes;
  co_return co_await op;
}

}  // namespace

Task<Status> read(File& file, uint64_t offset, std::span<std::byte> into) {
  Buffer buffer{into.data(), into.size()};
  Submitted op(file, FileOp::Kind::read, offset);
  op.buffers = {&buffer, 1};
  co_return co_await op;
}

Task<Status> write(File& file, uint64_t offset, std::span<const std::byte> from, bool fua) {
  // A write does not change its buffer; the type serves both directions.
  Buffer buffer{const_cast<std::byte*>(from.data()), from.size()};
  Submitted op(file, FileOp::Kind::write, offset);
  op.buffers = {&buffer, 1};
  op.fua = fua;
  co_return co_await op;
}

Task<Status> write(File& file, uint64_t offset, std::span<const Buffer> buffers, bool fua) {
  Submitted op(file, FileOp::Kind::write, offset);
  op.buffers = buffers;
  op.fua = fua;
  co_return co_await op;
}

Task<Status> flush(File& file) {
  Submitted op(file, FileOp::Kind::flush, 0);
  co_return co_await op;
}

Task<Status> punch(File& file, uint64_t offset, uint64_t bytes) {
  return range_op(file, FileOp::Kind::punch, offset, bytes);
}
Task<Status> zero(File& file, uint64_t offset, uint64_t bytes) {
  return range_op(file, FileOp::Kind::zero, offset, bytes);
}
Task<Status> allocate(File& file, uint64_t offset, uint64_t bytes) {
  return range_op(file, FileOp::Kind::allocate, offset, bytes);
}

}  // namespace mars::io
