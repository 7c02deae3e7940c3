// TlsSession: mutual TLS 1.3 as a machine between plain and encrypted bytes. It knows no socket: its owner moves
// output() to the peer and what the peer sent into input_room(). So one socket write carries many records, and a read
// and a write may be pending at once without a lock: nothing here waits.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "io/network.h"

namespace mars::io {

class TlsSession {
 public:
  enum class Step : uint8_t { done, needs_input, closed, failed };

  // invalid: a PEM does not parse or something is missing.
  static Result<std::unique_ptr<TlsSession>> make(const TlsConfig& config, Side side);
  virtual ~TlsSession() = default;

  // Each of these may leave output(), also when it failed (an alert).
  virtual Step handshake() = 0;
  virtual Step read(std::span<std::byte> into, size_t& bytes) = 0;
  virtual bool write(std::span<const std::byte> from) = 0;
  virtual void write_end() = 0;

  // After the handshake. Not authenticated: the peer showed no certificate, which the configuration allows.
  // permission: its certificate carries no identity.
  virtual Result<PeerIdentity> identity() = 0;
  // Why a step failed. permission: one side does not accept the other; gone: anything else.
  virtual Error failure_reason() const = 0;

  virtual std::span<const std::byte> output() const = 0;
  virtual void consume_output(size_t bytes) = 0;
  virtual std::span<std::byte> input_room() = 0;
  virtual void commit_input(size_t bytes) = 0;
};

}  // namespace mars::io
