#include "io/linux/socket_address.h"

#include <cstring>
#include <memory>

#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace mars::io {
namespace {

constexpr std::string_view unix_prefix = "unix:";

struct HostAndPort {
  std::string host;
  std::string port;
};

std::optional<HostAndPort> split(const Address& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) return std::nullopt;
  HostAndPort result{address.substr(0, colon), address.substr(colon + 1)};
  if (result.port.size() > 5 || result.port.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  if (std::stoi(result.port) > 65535) return std::nullopt;
  if (result.host.starts_with('[') && result.host.ends_with(']')) {
    result.host = result.host.substr(1, result.host.size() - 2);
  } else if (result.host.find(':') != std::string::npos) {
    return std::nullopt;  // v6 without brackets: nobody can say where the port begins
  }
  if (result.host.empty()) return std::nullopt;
  return result;
}

Result<std::vector<SocketAddress>> resolve_unix(const std::string& path) {
  SocketAddress address;
  auto& name = reinterpret_cast<sockaddr_un&>(address.storage);
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    return failure(Status::invalid,
                   fmt::format("a socket's path has 1 to {} bytes: {}", sizeof name.sun_path - 1, path));
  }
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);
  address.bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return std::vector<SocketAddress>{address};
}

Address named(int descriptor, int (*ask)(int, sockaddr*, socklen_t*)) {
  SocketAddress address;
  address.bytes = sizeof address.storage;
  return ask(descriptor, address.get(), &address.bytes) == 0 ? address_text(address) : "";
}

// A v4 peer of a v6 socket is shown as what it is.
void unmap_v4(SocketAddress& address) {
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
  if (address.family() != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return;
  sockaddr_in v4 = {};
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  std::memcpy(&v4.sin_addr, &v6.sin6_addr.s6_addr[12], sizeof v4.sin_addr);
  address = {};
  std::memcpy(&address.storage, &v4, sizeof v4);
  address.bytes = sizeof v4;
}

}  // namespace

std::optional<std::string> unix_path(const Address& address) {
  if (!address.starts_with(unix_prefix)) return std::nullopt;
  return address.substr(unix_prefix.size());
}

Result<std::vector<SocketAddress>> resolve(const Address& address, bool may_block) {
  if (const auto path = unix_path(address)) return resolve_unix(*path);
  const auto parts = split(address);
  if (!parts) return failure(Status::invalid, "not an address (host:port, [v6]:port or unix:/path): " + address);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (may_block ? 0 : AI_NUMERICHOST);
  addrinfo* list = nullptr;
  const int result = ::getaddrinfo(parts->host.c_str(), parts->port.c_str(), &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  if (result != 0) {
    const Status status = result == EAI_NONAME ? Status::not_found : Status::unreachable;
    return failure(status, fmt::format("cannot resolve {}: {}", parts->host, ::gai_strerror(result)));
  }
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    SocketAddress& found = addresses.emplace_back();
    std::memcpy(&found.storage, entry->ai_addr, entry->ai_addrlen);
    found.bytes = entry->ai_addrlen;
  }
  return addresses;
}

Address address_text(const SocketAddress& address) {
  if (address.family() == AF_UNIX) {
    const auto& name = reinterpret_cast<const sockaddr_un&>(address.storage);
    const size_t most = address.bytes - std::min<size_t>(address.bytes, offsetof(sockaddr_un, sun_path));
    return std::string(unix_prefix) + std::string(name.sun_path, ::strnlen(name.sun_path, most));
  }
  SocketAddress shown = address;
  unmap_v4(shown);
  char host[NI_MAXHOST] = {};
  char port[NI_MAXSERV] = {};
  const int flags = NI_NUMERICHOST | NI_NUMERICSERV;
  if (::getnameinfo(shown.get(), shown.bytes, host, sizeof host, port, sizeof port, flags) != 0) return "";
  return shown.family() == AF_INET6 ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

Address local_address_text(int descriptor) { return named(descriptor, &::getsockname); }
Address remote_address_text(int descriptor) { return named(descriptor, &::getpeername); }

}  // namespace mars::io
