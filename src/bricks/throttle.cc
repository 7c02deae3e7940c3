#include "bricks/throttle.h"

#include <algorithm>

namespace mars::bricks {
namespace {

// Units of which `rate` pass in a second; no limit costs nothing. Bytes of a request have 32 bits: no overflow.
io::Duration time_of(uint64_t units, uint64_t rate) {
  return rate == 0 ? io::Duration(0) : io::Duration(units * 1'000'000'000 / rate);
}

}  // namespace

Throttle::Throttle(io::Machine& machine, xio::Output& below, ThrottleRates rates)
    : Output(machine.ready()),
      Switch(machine.ready()),
      machine_(machine),
      rates_(rates),
      below_(xio::On<&Throttle::left>{}, this, this, below),
      timer_(machine, [](void* self) { static_cast<Throttle*>(self)->let_pass(); }, this) {}

io::Duration Throttle::cost(const xio::Request& request) const {
  return std::max(time_of(request.bytes, rates_.bytes_per_second), time_of(1, rates_.requests_per_second));
}

void Throttle::enter(xio::Request& request) {
  if (!button() || request.step == xio::Step::get) return below_.enter(request);
  waiting_.push(request);
  if (!timer_.is_armed()) let_pass();
}

// A request passes when the time that its predecessors cost is over, whatever it costs itself.
void Throttle::let_pass() {
  const io::Instant now = machine_.now();
  next_ = std::max(next_, now - rates_.burst);
  while (!waiting_.empty() && next_ <= now) {
    xio::Request& request = *waiting_.pop();
    next_ += cost(request);
    below_.enter(request);
  }
  if (!waiting_.empty()) timer_.arm_at(next_);
}

void Throttle::on_button() {
  if (button()) return light(Led::on);
  timer_.cancel();
  while (xio::Request* request = waiting_.pop()) {
    if (is_forced()) {
      complete(*request, Status::gone);
    } else {
      below_.enter(*request);
    }
  }
  light(Led::off);
}

}  // namespace mars::bricks
