// Simulated TLS: the outcomes of a mutual handshake (io::Stream::secure) by the logic of SimKeys, without cryptography.
// Its messages travel on the stream, so a cut or a death in mid-handshake has its place. As in TLS 1.3 the client is
// done before the server has judged it: a refused client hears of it at its next read.
#pragma once

#include "io/network.h"

namespace mars::sim {

// On `permission` the stream is to be closed.
Task<Result<io::PeerIdentity>> handshake(io::Stream& stream, io::TlsConfig config, io::Side side);

}  // namespace mars::sim
