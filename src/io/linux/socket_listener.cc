#include "io/linux/socket_listener.h"

#include <cerrno>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include "io/linux/errno_status.h"
#include "io/linux/socket_stream.h"
#include "io/machine.h"

namespace mars::io {
namespace {

constexpr int backlog = 128;
constexpr Duration shortage_pause = 100ms;

void set_option(int descriptor, int level, int option, int value) {
  ::setsockopt(descriptor, level, option, &value, sizeof value);
}

uint64_t inode_of(const Address& address) {
  const auto path = unix_path(address);
  struct stat info = {};
  return path && ::lstat(path->c_str(), &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_ino : 0;
}

// What a killed process left is removed; where somebody answers it stays.
Status remove_stale_socket(const SocketAddress& address, const std::string& path) {
  if (inode_of(address_text(address)) == 0) return Status::ok;
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(probe.get(), address.get(), address.bytes) == 0) return Status::busy;
  const bool is_dead = errno == ECONNREFUSED || errno == ENOENT;  // anything else says nothing about who is there
  if (!is_dead) return Status::busy;
  return ::unlink(path.c_str()) == 0 || errno == ENOENT ? Status::ok : status_from_errno(errno);
}

// The file appears with its mode already: the socket's own mode is what bind() gives it.
int bind_unix(int descriptor, const SocketAddress& address, const std::string& path, uint32_t mode) {
  if (::fchmod(descriptor, mode) != 0) return errno;
  if (::bind(descriptor, address.get(), address.bytes) != 0) return errno;
  return ::chmod(path.c_str(), mode) == 0 ? 0 : errno;  // what the umask took away
}

int bind_tcp(int descriptor, const SocketAddress& address) {
  set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
  if (address.family() == AF_INET6) set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  return ::bind(descriptor, address.get(), address.bytes) == 0 ? 0 : errno;
}

// [::] on a host without IPv6 means every address that there is.
SocketAddress without_v6(const SocketAddress& address) {
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
  if (address.family() != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) return address;
  SocketAddress result;
  auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
  v4.sin_family = AF_INET;
  v4.sin_port = v6.sin6_port;
  result.bytes = sizeof v4;
  return result;
}

bool is_about_one_connection(int number) {
  return number == ECONNABORTED || number == EPROTO || number == EINTR || number == EPERM || number == ENETDOWN ||
         number == EHOSTUNREACH || number == ENETUNREACH || number == ETIMEDOUT;
}

bool is_shortage(int number) { return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM; }

}  // namespace

Result<std::unique_ptr<Listener>> SocketListener::make(Machine& machine, Reactor& reactor, SocketAddress address,
                                                       uint32_t mode) {
  const Address name = address_text(address);
  const auto path = unix_path(name);
  if (path) {
    const Status status = remove_stale_socket(address, *path);
    if (status != Status::ok) return failure(status, "cannot listen on " + name + ": somebody else does");
  }
  constexpr int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  Descriptor descriptor(::socket(address.family(), type, 0));
  if (!descriptor && errno == EAFNOSUPPORT) {
    address = without_v6(address);
    descriptor = Descriptor(::socket(address.family(), type, 0));
  }
  if (!descriptor) return errno_failure(errno, "cannot make a socket for " + name);
  const int result = path ? bind_unix(descriptor.get(), address, *path, mode) : bind_tcp(descriptor.get(), address);
  if (result != 0) return errno_failure(result, "cannot listen on " + name);
  if (::listen(descriptor.get(), backlog) != 0) return errno_failure(errno, "cannot listen on " + name);
  return std::make_unique<SocketListener>(machine, reactor, std::move(descriptor), address.family());
}

SocketListener::SocketListener(Machine& machine, Reactor& reactor, Descriptor descriptor, int family)
    : machine_(machine),
      reactor_(reactor),
      descriptor_(std::move(descriptor)),
      family_(family),
      address_(local_address_text(descriptor_.get())),
      inode_(inode_of(address_)),
      readiness_(std::make_unique<Readiness>(reactor, descriptor_.get())) {}

Task<Result<std::unique_ptr<Stream>>> SocketListener::accept() {
  while (!is_closed_) {
    Descriptor descriptor(::accept4(descriptor_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (descriptor) {
      const Address remote = family_ == AF_UNIX ? address_ : remote_address_text(descriptor.get());
      co_return make_stream(reactor_, std::move(descriptor), family_, remote);
    }
    if (errno == EAGAIN) {
      ReadinessWait ready(reactor_.ready(), *readiness_, Readiness::Direction::read);
      co_await ready;
    } else if (is_shortage(errno)) {
      // Somebody has to close something first; the connection waits in the backlog.
      Notifier nobody(reactor_.ready());
      (void)co_await wait_until(machine_, nobody, machine_.now() + shortage_pause);
    } else if (!is_about_one_connection(errno)) {
      co_return errno_failure(errno, "cannot accept on " + address_);
    }
  }
  co_return failure(Status::gone, address_ + " was closed");
}

void SocketListener::close() {
  if (is_closed_) return;
  is_closed_ = true;
  if (inode_ != 0 && inode_of(address_) == inode_) ::unlink(unix_path(address_)->c_str());
  readiness_->cancel();
  readiness_.reset();
  descriptor_.reset();
}

std::unique_ptr<Stream> make_stream(Reactor& reactor, Descriptor descriptor, int family, Address remote) {
  const int number = descriptor.get();
  const bool is_local = family == AF_UNIX;
  if (!is_local) {
    set_option(number, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(number, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(number, IPPROTO_TCP, TCP_KEEPIDLE, 10);
    set_option(number, IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set_option(number, IPPROTO_TCP, TCP_KEEPCNT, 3);
    // The same bound where something is on its way: the kernel does not ask then, and waits a quarter of an hour.
    set_option(number, IPPROTO_TCP, TCP_USER_TIMEOUT, 25'000);
  }
  Address local = local_address_text(number);
  return std::make_unique<SocketStream>(reactor, std::move(descriptor), std::move(local), std::move(remote), is_local);
}

}  // namespace mars::io
