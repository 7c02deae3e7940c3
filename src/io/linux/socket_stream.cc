#include "io/linux/socket_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/check.h"
#include "io/linux/errno_status.h"

namespace mars::io {
namespace {

constexpr size_t vectors_max = 64;
constexpr size_t bytes_per_send = size_t{256} * 1024;
constexpr size_t record_bytes = size_t{16} * 1024;
constexpr unsigned moves_max = 16;  // that a stream may do at a stretch

// What the next sendmsg carries, starting `skip` bytes into the buffers.
struct Chunk {
  std::array<iovec, vectors_max> vectors;
  size_t count = 0;

  Chunk(std::span<const Buffer> buffers, size_t skip) {
    size_t room = bytes_per_send;
    for (const Buffer& buffer : buffers) {
      if (skip >= buffer.bytes) {
        skip -= buffer.bytes;
        continue;
      }
      if (count == vectors_max || room == 0) return;
      const size_t bytes = std::min(buffer.bytes - skip, room);
      vectors[count++] = {buffer.data + skip, bytes};
      room -= bytes;
      skip = 0;
    }
  }
};

ssize_t send_chunk(int descriptor, Chunk& chunk) {
  msghdr message = {};
  message.msg_iov = chunk.vectors.data();
  message.msg_iovlen = chunk.count;
  return ::sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool must_wait(int number) { return number == EAGAIN || number == EWOULDBLOCK; }

}  // namespace

ReadinessWait::ReadinessWait(Ready& ready, Readiness& readiness, Readiness::Direction direction)
    : ready_(ready), readiness_(readiness), direction_(direction) {
  run = [](Job& job) { static_cast<ReadinessWait&>(job).caller_.resume(); };
}

void ReadinessWait::await_suspend(std::coroutine_handle<> caller) {
  caller_ = caller;
  const auto on_ready = [](void* self) {
    ReadinessWait& wait = *static_cast<ReadinessWait*>(self);
    wait.ready_.push(wait);
  };
  readiness_.wait(direction_, on_ready, this);
}

SocketStream::SocketStream(Reactor& reactor, Descriptor descriptor, Address local, Address remote, bool is_local)
    : reactor_(reactor),
      descriptor_(std::move(descriptor)),
      readiness_(std::make_unique<Readiness>(reactor, descriptor_.get())),
      local_(std::move(local)),
      remote_(std::move(remote)),
      is_local_(is_local),
      output_sent_(reactor.ready()) {}

Task<Result<size_t>> SocketStream::read_some(std::span<std::byte> into) {
  return tls_ != nullptr ? receive_secured(into) : receive(into);
}

Task<Status> SocketStream::write(std::span<const Buffer> buffers) {
  return tls_ != nullptr ? send_secured(buffers) : send(buffers);
}

Task<Result<PeerIdentity>> SocketStream::secure(TlsConfig config, Side side) {
  Result<std::unique_ptr<TlsSession>> session = TlsSession::make(config, side);
  if (!session) co_return failure(session.error());
  tls_ = std::move(*session);
  co_return co_await shake_hands();
}

bool SocketStream::has_peer_left() const {
  if (is_closed_) return true;
  pollfd look = {descriptor_.get(), POLLRDHUP, 0};
  return ::poll(&look, 1, 0) == 1;
}

void SocketStream::close() {
  if (is_closed_) return;
  is_closed_ = true;
  // A clean end for the peer, as far as the socket takes it at once; never in the middle of somebody's record.
  if (tls_ != nullptr && !is_sending_output_) {
    tls_->write_end();
    try_send_output();
  }
  readiness_->cancel();
  readiness_.reset();
  descriptor_.reset();
}

Task<Result<size_t>> SocketStream::receive(std::span<std::byte> into) {
  while (!is_closed_) {
    const ssize_t bytes = ::recv(descriptor_.get(), into.data(), into.size(), MSG_DONTWAIT);
    if (bytes > 0) {
      if (is_greedy()) {
        Yield yield(reactor_.ready());
        co_await yield;
      }
      co_return static_cast<size_t>(bytes);
    }
    if (bytes == 0) co_return failure(Status::end, remote_ + " closed the connection");
    if (must_wait(errno)) {
      ReadinessWait ready(reactor_.ready(), *readiness_, Direction::read);
      co_await ready;
    } else if (errno != EINTR) {
      co_return failure(Status::gone, error_from_errno(errno, "connection with " + remote_).text);
    }
  }
  co_return failure(Status::gone, "connection with " + remote_ + " was closed here");
}

Task<Status> SocketStream::send(std::span<const Buffer> buffers) {
  size_t total = 0;
  for (const Buffer& buffer : buffers) total += buffer.bytes;
  size_t done = 0;
  while (done < total && !is_closed_) {
    Chunk chunk(buffers, done);
    const ssize_t bytes = send_chunk(descriptor_.get(), chunk);
    if (bytes >= 0) {
      done += static_cast<size_t>(bytes);
      if (done == total || !is_greedy()) continue;
      Yield yield(reactor_.ready());
      co_await yield;
    } else if (must_wait(errno)) {
      ReadinessWait ready(reactor_.ready(), *readiness_, Direction::write);
      co_await ready;
    } else if (errno != EINTR) {
      co_return Status::gone;
    }
  }
  co_return done == total ? Status::ok : Status::gone;
}

Task<Result<size_t>> SocketStream::receive_secured(std::span<std::byte> into) {
  for (;;) {
    if (is_closed_) co_return failure(Status::gone, "connection with " + remote_ + " was closed here");
    size_t bytes = 0;
    const TlsSession::Step step = tls_->read(into, bytes);
    try_send_output();  // the answer to a key update, or an alert
    if (step == TlsSession::Step::done) co_return bytes;
    if (step == TlsSession::Step::closed) co_return failure(Status::end, remote_ + " closed the connection");
    if (step == TlsSession::Step::failed) co_return failure(tls_->failure_reason());
    const std::span<std::byte> room = tls_->input_room();
    CHECK(!room.empty());  // what needs input has taken all there was
    const Result<size_t> count = co_await receive(room);
    if (!count) co_return failure(Status::gone, "connection with " + remote_ + " broke: " + count.error().text);
    tls_->commit_input(*count);
  }
}

Task<Status> SocketStream::send_secured(std::span<const Buffer> buffers) {
  for (const Buffer& buffer : buffers) {
    for (size_t done = 0; done < buffer.bytes;) {
      if (is_closed_) co_return Status::gone;
      const size_t bytes = std::min(buffer.bytes - done, record_bytes);
      if (!tls_->write({buffer.data + done, bytes})) co_return tls_->failure_reason().status;
      done += bytes;
      if (tls_->output().size() < bytes_per_send) continue;
      const Status status = co_await send_output();
      if (status != Status::ok) co_return status;
    }
  }
  co_return co_await send_output();
}

// Both directions may have output; whoever is at it also sends what the other adds meanwhile.
Task<Status> SocketStream::send_output() {
  while (is_sending_output_) co_await output_sent_.wait();
  is_sending_output_ = true;
  Status status = Status::ok;
  while (status == Status::ok) {
    if (is_closed_) status = Status::gone;
    const std::span<const std::byte> output = tls_->output();
    if (output.empty() || is_closed_) break;
    const size_t bytes_most = std::min(output.size(), bytes_per_send);
    const ssize_t bytes = ::send(descriptor_.get(), output.data(), bytes_most, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (bytes >= 0) {
      tls_->consume_output(static_cast<size_t>(bytes));
      if (!is_greedy()) continue;
      Yield yield(reactor_.ready());
      co_await yield;
    } else if (must_wait(errno)) {
      ReadinessWait ready(reactor_.ready(), *readiness_, Direction::write);
      co_await ready;
    } else if (errno != EINTR) {
      status = Status::gone;
    }
  }
  is_sending_output_ = false;
  output_sent_.notify();
  co_return status;
}

// For whoever may not wait for room: a reader that did would not read, and two such peers with full sockets would stand
// still for ever. What does not fit goes with the next write.
void SocketStream::try_send_output() {
  const std::span<const std::byte> output = tls_->output();
  if (is_sending_output_ || output.empty()) return;
  const ssize_t bytes = ::send(descriptor_.get(), output.data(), output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (bytes > 0) tls_->consume_output(static_cast<size_t>(bytes));
}

Task<Result<PeerIdentity>> SocketStream::shake_hands() {
  for (;;) {
    const TlsSession::Step step = tls_->handshake();
    const Status sent = co_await send_output();
    if (step == TlsSession::Step::failed) co_return failure(tls_->failure_reason());
    if (sent != Status::ok) co_return failure(sent, "connection with " + remote_ + " broke in the TLS handshake");
    if (step == TlsSession::Step::done) break;
    if (step == TlsSession::Step::closed) co_return failure(Status::gone, remote_ + " broke the TLS handshake off");
    const std::span<std::byte> room = tls_->input_room();
    CHECK(!room.empty());  // what needs input has taken all there was
    const Result<size_t> count = co_await receive(room);
    if (!count) co_return failure(Status::gone, "TLS handshake with " + remote_ + ": " + count.error().text);
    tls_->commit_input(*count);
  }
  Result<PeerIdentity> identity = tls_->identity();
  if (identity) peer_ = *identity;
  co_return identity;
}

bool SocketStream::is_greedy() {
  if (++moves_ < moves_max) return false;
  moves_ = 0;
  return true;
}

}  // namespace mars::io
