#include "io/linux/readiness.h"

#include <array>
#include <utility>

#include "base/check.h"
#include "io/linux/asio.h"

namespace mars::io {

struct Readiness::Impl {
  struct Slot {
    void (*call)(void*) = nullptr;
    void* context = nullptr;
  };

  Impl(Reactor& reactor, int number) : descriptor(reactor.asio().context, number) {}

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

  asio::posix::stream_descriptor descriptor;
  std::array<Slot, 2> slots;
  size_t handlers = 0;  // that Asio still holds
  bool orphaned = false;
};

Readiness::Readiness(Reactor& reactor, int descriptor) : impl_(new Impl(reactor, descriptor)) {}

Readiness::~Readiness() {
  impl_->orphaned = true;
  impl_->descriptor.release();
  if (impl_->handlers == 0) delete impl_;
}

void Readiness::wait(Direction direction, void (*call)(void*), void* context) {
  const size_t index = static_cast<size_t>(direction);
  CHECK(impl_->slots[index].call == nullptr);
  impl_->slots[index] = {call, context};
  ++impl_->handlers;
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
  impl_->descriptor.cancel();
  // Taken first: what is called may destroy this object.
  const Impl::Slot read = impl_->take(0);
  const Impl::Slot write = impl_->take(1);
  if (read.call != nullptr) read.call(read.context);
  if (write.call != nullptr) write.call(write.context);
}

void Readiness::abandon() {
  impl_->take(0);
  impl_->take(1);
  impl_->descriptor.cancel();
}

}  // namespace mars::io
