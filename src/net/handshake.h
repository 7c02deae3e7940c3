// Handshake: what happens on a fresh connection until it is a session: TLS, hello, and what the owners tell each other
// (frames as in doc/net/session.md). The dialler speaks first; the side that accepts decides first.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "base/task.h"
#include "format/frame.h"
#include "io/machine.h"
#include "net/channel.h"
#include "net/frame_reader.h"

namespace mars::net {

inline constexpr uint32_t hello_extra_bytes_max = 256u << 10;

// A connection whose two ends know and accept each other.
struct Contact {
  std::unique_ptr<io::Stream> stream;
  std::unique_ptr<FrameReader> reader;
  io::Side side = io::Side::client;  // ours
  io::PeerIdentity identity;         // of the peer
  format::Hello hello;               // the peer's
  Bytes extra;                       // the peer's
  uint16_t version = 1;
};

// The text that a host's certificate carries as URI: "mars:<cluster>/host/<uuid>".
std::string host_uri(const Uuid& cluster, const Uuid& host);

// Our side of it.
struct Introduction {
  io::TlsConfig tls;
  format::Hello hello;
  io::Side side = io::Side::client;
};

// Whoever asks for a handshake decides in it.
class Doorkeeper {
 public:
  virtual ~Doorkeeper() = default;
  // The peer is proven (identity) and has said hello. ok: it may have a session. Otherwise the peer is told this.
  virtual Error admit(const io::PeerIdentity& identity, const format::Hello& hello) = 0;
  // Dialler only, after TLS and before our hello: ok to go on.
  virtual Error proceed(const io::PeerIdentity& identity) = 0;
  // What to add to our hello; asked only between hosts.
  virtual Bytes extra() = 0;
};

// refused, permission and unsupported carry the sentence of whichever side said no. The stream is closed when it
// failed, and at the instant `limit`.
Task<Result<Contact>> shake_hands(io::Machine& machine, std::unique_ptr<io::Stream> stream, const Introduction& mine,
                                  Doorkeeper& doorkeeper, io::Duration limit);

}  // namespace mars::net
