#include "sim/cluster/sim_device.h"

namespace mars::sim {

namespace {
// As long as the FUSE device waits.
constexpr io::Duration write_back_limit = std::chrono::seconds(60);
constexpr io::Duration release_limit = std::chrono::seconds(10);
}  // namespace

SimDevice::SimDevice(io::Machine& machine, std::string name, SimDevice** slot)
    : machine_(machine), name_(std::move(name)), slot_(slot), idle_(machine.ready()), scope_(machine.ready()) {
  *slot_ = this;
}

SimDevice::~SimDevice() {
  CHECK(!is_open() && in_flight_ == 0);
  if (*slot_ == this) *slot_ = nullptr;
}

Task<Result<void>> SimDevice::open(xio::Output& top) {
  CHECK(!is_open());
  if (in_flight_ > 0) co_return failure(Status::busy, still_waits());
  if (is_barred_) co_return failure(Status::stopped, "marsd is stopping");
  is_closing_ = false;
  ++open_count_;
  port_.emplace(top);
  co_return Result<void>{};
}

Task<Result<void>> SimDevice::close() {
  if (is_in_use()) co_return failure(Status::busy, name_ + " is mounted");
  if (!dirty_.empty() && scope_.count() == 0) scope_.spawn(write_back());
  io::Instant deadline = machine_.now() + write_back_limit;
  while (scope_.count() > 0) {
    if (machine_.now() >= deadline) co_return failure(Status::timed_out, name_ + " is still being written back");
    co_await io::wait_until(machine_, idle_, deadline);
  }
  is_closing_ = true;
  deadline = machine_.now() + release_limit;
  while (in_flight_ > 0) {
    if (machine_.now() >= deadline) co_return failure(Status::timed_out, still_waits());
    co_await io::wait_until(machine_, idle_, deadline);
  }
  port_.reset();
  co_return Result<void>{};
}

// What the keeper does beside: it goes on when whoever closes has stopped waiting.
Task<void> SimDevice::write_back() {
  while (!dirty_.empty()) {
    const auto [offset, page] = std::move(dirty_.front());
    dirty_.pop_front();
    if (co_await write(offset, page.span()) != Status::ok) dirty_.clear();
  }
  idle_.notify();
}

std::string SimDevice::still_waits() const {
  return "the former device of " + name_ + " still waits for " + std::to_string(in_flight_) + " requests";
}

Task<void> SimDevice::bar() {
  is_barred_ = true;
  co_return;
}

Task<void> SimDevice::force_close() {
  is_closing_ = true;
  dirty_.clear();
  co_await scope_.join();
  while (in_flight_ > 0) co_await idle_.wait();
  port_.reset();
}

void SimDevice::leave() {
  if (--in_flight_ == 0) idle_.notify();
}

Task<Status> SimDevice::write(uint64_t offset, std::span<const std::byte> bytes, bool fua) {
  if (!port_ || is_closing_) co_return Status::gone;
  ++in_flight_;
  const Status status = co_await port_->write(offset, bytes, fua);
  leave();
  co_return status;
}

Task<Status> SimDevice::read(uint64_t offset, std::span<std::byte> into) {
  if (!port_ || is_closing_) co_return Status::gone;
  ++in_flight_;
  const Status status = co_await port_->read(offset, into);
  leave();
  co_return status;
}

Task<Status> SimDevice::write_zeroes(uint64_t offset, uint64_t length) {
  if (!port_ || is_closing_) co_return Status::gone;
  ++in_flight_;
  const Status status = co_await port_->write_zeroes(offset, length);
  leave();
  co_return status;
}

Task<Status> SimDevice::discard(uint64_t offset, uint64_t length) {
  if (port_ && port_->info().discard != io::Support::native) co_return co_await write_zeroes(offset, length);
  if (!port_ || is_closing_) co_return Status::gone;
  ++in_flight_;
  const Status status = co_await port_->discard(offset, length);
  leave();
  co_return status;
}

Task<Status> SimDevice::flush() {
  if (!port_ || is_closing_) co_return Status::gone;
  ++in_flight_;
  const Status status = co_await port_->flush();
  leave();
  co_return status;
}

}  // namespace mars::sim
