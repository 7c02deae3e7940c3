#include "io/linux/readiness.h"

#include <fcntl.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "io/linux/asio.h"

namespace mars::io {

namespace {
// How often we look at a descriptor that the kernel does not watch for us.
constexpr auto poll_interval = std::chrono::milliseconds(20);
}  // namespace

struct Readiness::Impl {
  struct Slot {
    void (*call)(void*) = nullptr;
    void* context = nullptr;
  };

  // The kernel may have no watch left (epoll's ENOSPC, ENOMEM); marsd goes on, more slowly there.
  Impl(Reactor& reactor, int number)
      : descriptor(reactor.asio().context),
        clocks{asio::steady_timer(reactor.asio().context), asio::steady_timer(reactor.asio().context)} {
    boost::system::error_code error;
    if (descriptor.assign(number, error)) unwatched = number;
  }
  void cancel() {
    if (unwatched < 0) {
      descriptor.cancel();
      return;
    }
    for (asio::steady_timer& clock : clocks) clock.cancel();
  }

  Slot take(size_t index) { return std::exchange(slots[index], Slot{}); }
  // As its last step: what is called may destroy the owner.
  void finish(size_t index, bool aborted) {
    --handlers;
    if (orphaned) {
      if (handlers == 0) delete this;
      return;
    }
    if (aborted) return;  // the slot may already serve the next wait
    const Slot slot = take(index);
    if (slot.call != nullptr) slot.call(slot.context);
  }

  void look_later(size_t index) {
    clocks[index].expires_after(poll_interval);
    clocks[index].async_wait([this, index](const boost::system::error_code& error) {
      const bool is_awaited = !error && !orphaned && slots[index].call != nullptr;
      if (is_awaited && !is_ready(index)) return look_later(index);
      finish(index, error == asio::error::operation_aborted);
    });
  }
  bool is_ready(size_t index) const {
    const bool is_read = index == static_cast<size_t>(Direction::read);
    pollfd asked{unwatched, static_cast<short>(is_read ? POLLIN : POLLOUT), 0};
    return ::poll(&asked, 1, 0) != 0;
  }

  asio::posix::stream_descriptor descriptor;
  std::array<asio::steady_timer, 2> clocks;
  int unwatched = -1;
  std::array<Slot, 2> slots;
  size_t handlers = 0;  // that Asio still holds
  bool orphaned = false;
};

Readiness::Readiness(Reactor& reactor, int descriptor) : impl_(new Impl(reactor, descriptor)) {}

Readiness::~Readiness() {
  impl_->orphaned = true;
  if (impl_->unwatched < 0) {
    impl_->descriptor.release();
  } else {
    impl_->cancel();
  }
  if (impl_->handlers == 0) delete impl_;
}

void Readiness::wait(Direction direction, void (*call)(void*), void* context) {
  const size_t index = static_cast<size_t>(direction);
  CHECK(impl_->slots[index].call == nullptr);
  impl_->slots[index] = {call, context};
  ++impl_->handlers;
  if (impl_->unwatched >= 0) {
    ::fcntl(impl_->unwatched, F_SETFL, ::fcntl(impl_->unwatched, F_GETFL) | O_NONBLOCK);
    impl_->look_later(index);
    return;
  }
  const auto what = direction == Direction::read ? asio::posix::stream_descriptor::wait_read
                                                 : asio::posix::stream_descriptor::wait_write;
  Impl* impl = impl_;
  impl_->descriptor.async_wait(what, [impl, index](const boost::system::error_code& error) {
    impl->finish(index, error == asio::error::operation_aborted);
  });
}

bool Readiness::is_waiting(Direction direction) const {
  return impl_->slots[static_cast<size_t>(direction)].call != nullptr;
}

void Readiness::cancel() {
  impl_->cancel();
  // Taken first: what is called may destroy this object.
  const Impl::Slot read = impl_->take(0);
  const Impl::Slot write = impl_->take(1);
  if (read.call != nullptr) read.call(read.context);
  if (write.call != nullptr) write.call(write.context);
}

void Readiness::abandon() {
  impl_->take(0);
  impl_->take(1);
  impl_->cancel();
}

}  // namespace mars::io
