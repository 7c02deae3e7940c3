// Network: byte streams between hosts. A Stream starts plain; secure() upgrades it to mutual TLS 1.3 in place (so that
// NBD's STARTTLS and peers use one mechanism). Everything completes once; close() makes what is pending complete with
// gone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "io/file.h"

namespace mars::io {

// "host:port", "[v6]:port" or "unix:/path".
using Address = std::string;
using Sha256 = std::array<std::byte, 32>;

enum class Side : uint8_t { client, server };

// No time is checked on certificates: no rule reads a clock (decisions.md).
struct TlsConfig {
  std::string key_pem;  // ours; empty: we show no certificate (a host that joins)
  std::string certificate_pem;
  std::string ca_pem;  // whom we trust; empty only with ca_key below
  std::optional<Sha256>
      ca_key;  // a joiner trusts the CA certificate that the server sends, if its public key hashes to this
  bool needs_peer_certificate = true;  // false on a server that also takes joiners; PeerIdentity says what came
};

// Who is at the other end, as proven by TLS; all empty on a plain stream.
struct PeerIdentity {
  bool is_authenticated = false;
  std::string uri;     // "mars:<cluster>/host/<uuid>"
  std::string role;    // "host" or "client"
  Sha256 key = {};     // SHA-256 of the public key (SubjectPublicKeyInfo)
  std::string ca_pem;  // the CA certificate that the peer sent, when it was trusted by ca_key
};

class Stream {
 public:
  virtual ~Stream() = default;  // with no read or write pending
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // At least one byte, at most into.size(). end: the other side closed cleanly. gone: broken or closed here.
  // One read and one write may be pending at a time; both are the caller's.
  virtual Task<Result<size_t>> read_some(std::span<std::byte> into) = 0;
  // All bytes or an error.
  virtual Task<Status> write(std::span<const Buffer> buffers) = 0;
  // TLS handshake, nothing else pending. permission: the peer could not prove who it is.
  virtual Task<Result<PeerIdentity>> secure(TlsConfig config, Side side) = 0;
  virtual const PeerIdentity& peer() const = 0;
  virtual Address local_address() const = 0;
  virtual Address remote_address() const = 0;
  virtual bool is_local() const = 0;  // a Unix socket: the other side dies with this host
  // Nothing can come any more but what has come already, read or not: who does not read sees by this that nobody is
  // there.
  virtual bool has_peer_left() const = 0;
  virtual void close() = 0;  // idempotent
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual Task<Result<std::unique_ptr<Stream>>> accept() = 0;  // gone after close()
  virtual Address address() const = 0;                         // with the port that was really taken
  virtual void close() = 0;
};

class Network {
 public:
  virtual ~Network() = default;
  // Port 0 takes any; a stale Unix socket file is replaced. `mode` is that of a Unix socket file.
  virtual Task<Result<std::unique_ptr<Listener>>> listen(Address address, uint32_t mode = 0600) = 0;
  // unreachable, timed_out, refused.
  virtual Task<Result<std::unique_ptr<Stream>>> connect(Address address) = 0;
};

// Fills the whole span; end only at a frame's first byte when nothing was read, gone in the middle.
Task<Status> read_all(Stream& stream, std::span<std::byte> into);
Task<Status> write_all(Stream& stream, std::span<const std::byte> from);

}  // namespace mars::io
