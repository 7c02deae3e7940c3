#include "io/linux/linux_network.h"

#include <cerrno>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include "io/linux/errno_status.h"
#include "io/linux/socket_listener.h"
#include "io/linux/socket_stream.h"
#include "io/machine.h"

namespace mars::io {
namespace {

constexpr Duration connect_patience = 5s;
constexpr Duration resolve_patience = 5s;

// Waits until a socket is connected or has failed, at most until an instant.
class ConnectWait : public Job {
 public:
  ConnectWait(Machine& machine, Reactor& reactor, int descriptor, Instant deadline)
      : ready_(machine.ready()),
        readiness_(reactor, descriptor),
        timer_(machine, &ConnectWait::on_deadline, this),
        deadline_(deadline) {
    run = [](Job& job) { static_cast<ConnectWait&>(job).caller_.resume(); };
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    caller_ = caller;
    readiness_.wait(Readiness::Direction::write, &ConnectWait::on_ready, this);
    timer_.arm_at(deadline_);
  }
  bool await_resume() {
    timer_.cancel();
    return is_ready_;
  }

 private:
  static void on_ready(void* self) {
    ConnectWait& wait = *static_cast<ConnectWait*>(self);
    wait.is_ready_ = true;
    wait.ready_.push(wait);
  }
  static void on_deadline(void* self) {
    ConnectWait& wait = *static_cast<ConnectWait*>(self);
    if (wait.is_ready_) return;
    wait.readiness_.abandon();
    wait.ready_.push(wait);
  }

  Ready& ready_;
  Readiness readiness_;
  Timer timer_;
  Instant deadline_;
  std::coroutine_handle<> caller_;
  bool is_ready_ = false;
};

int pending_error(int descriptor) {
  int number = 0;
  socklen_t bytes = sizeof number;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &bytes) == 0 ? number : errno;
}

// unreachable, timed_out or refused, whatever the kernel calls it.
Error connect_error(int number, const Address& address) {
  Error error = error_from_errno(number, "cannot connect to " + address);
  if (number == ENOENT) error.status = Status::refused;  // nobody has made that socket
  const bool is_known = error.status == Status::timed_out || error.status == Status::refused;
  if (!is_known) error.status = Status::unreachable;
  return error;
}

}  // namespace

LinuxNetwork::LinuxNetwork(Machine& machine, Reactor& reactor)
    : machine_(machine),
      reactor_(reactor),
      resolver_(machine, reactor, resolve_patience, [](const Address& address) { return resolve(address, true); }) {}

Task<Result<std::unique_ptr<Listener>>> LinuxNetwork::listen(Address address, uint32_t mode) {
  auto finding = find(address);
  const Result<std::vector<SocketAddress>> found = co_await finding;
  if (!found) co_return failure(found.error());
  Error error = Error(Status::not_found, "nothing to listen on: " + address);
  for (const SocketAddress& candidate : *found) {
    Result<std::unique_ptr<Listener>> listener = SocketListener::make(machine_, reactor_, candidate, mode);
    if (listener) co_return listener;
    error = listener.error();
  }
  co_return failure(error);
}

Task<Result<std::unique_ptr<Stream>>> LinuxNetwork::connect(Address address) {
  auto finding = find(address);
  const Result<std::vector<SocketAddress>> found = co_await finding;
  if (!found) co_return failure(Status::unreachable, found.error().text);
  const Instant deadline = machine_.now() + connect_patience;
  Error error = Error(Status::unreachable, "no address behind " + address);
  for (size_t i = 0; i < found->size(); ++i) {
    // One silent address must not eat the time of those behind it.
    const Duration share = (deadline - machine_.now()) / static_cast<int64_t>(found->size() - i);
    auto connecting = connect_to((*found)[i], machine_.now() + share);
    Result<std::unique_ptr<Stream>> stream = co_await connecting;
    if (stream) co_return stream;
    error = stream.error();
  }
  co_return failure(error);
}

// Numbers at once, names on a thread.
Task<Result<std::vector<SocketAddress>>> LinuxNetwork::find(Address address) {
  Result<std::vector<SocketAddress>> found = resolve(address, false);
  if (found || found.error().status != Status::not_found) co_return found;
  auto finding = resolver_.find(std::move(address));
  co_return co_await finding;
}

Task<Result<std::unique_ptr<Stream>>> LinuxNetwork::connect_to(SocketAddress address, Instant deadline) {
  const Address name = address_text(address);
  Descriptor descriptor(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!descriptor) co_return failure(connect_error(errno, name));
  if (::connect(descriptor.get(), address.get(), address.bytes) != 0) {
    if (errno != EINPROGRESS) co_return failure(connect_error(errno, name));
    ConnectWait wait(machine_, reactor_, descriptor.get(), deadline);
    if (!co_await wait) co_return failure(Status::timed_out, name + " does not answer");
    const int number = pending_error(descriptor.get());
    if (number != 0) co_return failure(connect_error(number, name));
  }
  co_return make_stream(reactor_, std::move(descriptor), address.family(), name);
}

}  // namespace mars::io
