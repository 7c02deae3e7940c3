// Address texts ("host:port", "[v6]:port", "unix:/path") and the kernel's socket addresses.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/socket.h>

#include "base/status.h"
#include "io/network.h"

namespace mars::io {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t bytes = 0;

  int family() const { return storage.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// The path of a Unix address; nothing for any other.
std::optional<std::string> unix_path(const Address& address);

// The addresses behind the text, in the resolver's order. Numbers never leave this host; names may block for seconds
// when `may_block`, else not_found. invalid: not an address.
Result<std::vector<SocketAddress>> resolve(const Address& address, bool may_block);

// Numeric: "192.0.2.1:7790", "[2001:db8::1]:7790", "unix:/path".
Address address_text(const SocketAddress& address);
Address local_address_text(int descriptor);
Address remote_address_text(int descriptor);

}  // namespace mars::io
