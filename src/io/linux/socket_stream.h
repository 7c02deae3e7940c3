// SocketStream: io::Stream on a connected TCP or Unix socket, plain or under TLS.
#pragma once

#include <memory>

#include "base/sync.h"
#include "io/linux/descriptor.h"
#include "io/linux/readiness.h"
#include "io/linux/tls.h"
#include "io/network.h"

namespace mars::io {

// `co_await ReadinessWait(...)`: returns when the descriptor can be moved, or when the wait was cancelled.
class ReadinessWait : public Job {
 public:
  ReadinessWait(Ready& ready, Readiness& readiness, Readiness::Direction direction);
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller);
  void await_resume() const noexcept {}

 private:
  Ready& ready_;
  Readiness& readiness_;
  Readiness::Direction direction_;
  std::coroutine_handle<> caller_;
};

class SocketStream final : public Stream {
 public:
  // The descriptor is connected and non-blocking.
  SocketStream(Reactor& reactor, Descriptor descriptor, Address local, Address remote, bool is_local);
  ~SocketStream() override { close(); }

  Task<Result<size_t>> read_some(std::span<std::byte> into) override;
  Task<Status> write(std::span<const Buffer> buffers) override;
  Task<Result<PeerIdentity>> secure(TlsConfig config, Side side) override;
  const PeerIdentity& peer() const override { return peer_; }
  Address local_address() const override { return local_; }
  Address remote_address() const override { return remote_; }
  bool is_local() const override { return is_local_; }
  bool has_peer_left() const override;
  void close() override;

 private:
  using Direction = Readiness::Direction;

  Task<Result<size_t>> receive(std::span<std::byte> into);
  Task<Result<size_t>> receive_secured(std::span<std::byte> into);
  Task<Status> send(std::span<const Buffer> buffers);
  Task<Status> send_secured(std::span<const Buffer> buffers);
  Task<Status> send_output();
  void try_send_output();
  Task<Result<PeerIdentity>> shake_hands();
  bool is_greedy();

  Reactor& reactor_;
  Descriptor descriptor_;
  std::unique_ptr<Readiness> readiness_;
  const Address local_;
  const Address remote_;
  const bool is_local_;
  bool is_closed_ = false;
  unsigned moves_ = 0;  // since somebody else had the reactor
  PeerIdentity peer_;
  std::unique_ptr<TlsSession> tls_;
  bool is_sending_output_ = false;
  Notifier output_sent_;
};

}  // namespace mars::io
