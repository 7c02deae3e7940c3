#include "io/linux/reactor.h"

#include <chrono>
#include <cstdint>
#include <utility>

#include <sys/eventfd.h>

#include "base/check.h"
#include "io/linux/asio.h"

namespace mars::io {
namespace {

struct Posted : Job {
  explicit Posted(std::move_only_function<void()> f) : function(std::move(f)) {
    run = [](Job& job) {
      std::unique_ptr<Posted> self(static_cast<Posted*>(&job));
      self->function();
    };
  }
  std::move_only_function<void()> function;
};

}  // namespace

Instant monotonic_now() { return std::chrono::steady_clock::now().time_since_epoch(); }

Reactor::Reactor() : doorbell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  CHECK(doorbell_);
  asio_ = std::make_unique<Asio>(doorbell_.get());
  listen_to_doorbell();
}

Reactor::~Reactor() {
  // Only orphans are left: handlers of cancelled waits and posted functions that nobody awaits.
  asio_->signals.clear();
  asio_->alarm.cancel();
  collect();
  ready_.run();
  while (asio_->context.poll() > 0) {
  }
  asio_->doorbell.release();
}

void Reactor::hand_over(Job& job) {
  {
    std::scoped_lock lock(mutex_);
    job.next = nullptr;
    *handed_over_tail_ = &job;
    handed_over_tail_ = &job.next;
    has_handed_over_ = true;
  }
  if (is_waiting_.exchange(false)) ring_doorbell();
}

void Reactor::post(std::move_only_function<void()> function) { hand_over(*new Posted(std::move(function))); }

void Reactor::on_signal(int number, std::move_only_function<void()> function) {
  asio_->signals.emplace_back(asio_->context, number, std::move(function)).listen();
}

void Reactor::collect() {
  is_waiting_ = false;
  if (!has_handed_over_) return;
  Job* first = nullptr;
  {
    std::scoped_lock lock(mutex_);
    first = std::exchange(handed_over_, nullptr);
    handed_over_tail_ = &handed_over_;
    has_handed_over_ = false;
  }
  while (first != nullptr) {
    Job* next = first->next;
    ready_.push(*first);
    first = next;
  }
}

// One by one and not poll(): a handler that waits again for a descriptor which is always ready would keep it for ever.
bool Reactor::poll(size_t most) {
  size_t events = 0;
  while (events < most && asio_->context.poll_one() > 0) ++events;
  return events > 0;
}

bool Reactor::prepare_to_wait() {
  is_waiting_ = true;
  return !has_handed_over_;
}

void Reactor::wait(std::optional<Instant> until) {
  // An alarm that goes off too early only costs a turn; so it is moved forward but never back.
  if (until && (!asio_->alarm_at || *until < *asio_->alarm_at)) {
    asio_->alarm_at = until;
    asio_->alarm.expires_at(std::chrono::steady_clock::time_point(*until));
    asio_->alarm.async_wait([this](const boost::system::error_code& error) {
      if (!error) asio_->alarm_at.reset();
    });
  }
  asio_->context.run_one();
}

void Reactor::listen_to_doorbell() {
  asio_->doorbell.async_wait(asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (error) return;
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t bytes = ::read(doorbell_.get(), &count, sizeof count);
    listen_to_doorbell();
  });
}

void Reactor::ring_doorbell() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t bytes = ::write(doorbell_.get(), &one, sizeof one);
}

}  // namespace mars::io
