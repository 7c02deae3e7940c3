#include "bricks/delay.h"

namespace mars::bricks {

Delay::Delay(io::Machine& machine, xio::Output& below, DelayOptions options)
    : Output(machine.ready()),
      Switch(machine.ready()),
      machine_(machine),
      options_(options),
      prng_(options.seed),
      below_(xio::On<&Delay::left>{}, this, this, below),
      timer_(machine, [](void* self) { static_cast<Delay*>(self)->on_time(); }, this) {
  CHECK(options.shortest <= options.longest);
}

void Delay::enter(xio::Request& request) {
  if (!button()) return below_.enter(request);
  const auto spread = static_cast<uint64_t>((options_.longest - options_.shortest).count());
  const io::Instant when = machine_.now() + options_.shortest + io::Duration(prng_.below(spread + 1));
  held_.emplace(std::pair(when, number_++), &request);
  arm();
}

void Delay::arm() {
  if (held_.empty()) {
    timer_.cancel();
  } else {
    timer_.arm_at(held_.begin()->first.first);
  }
}

void Delay::on_time() {
  const io::Instant now = machine_.now();
  while (!held_.empty() && held_.begin()->first.first <= now) {
    below_.enter(*held_.extract(held_.begin()).mapped());
  }
  arm();
}

void Delay::on_button() {
  if (button()) return light(Led::on);
  timer_.cancel();
  while (!held_.empty()) {
    xio::Request& request = *held_.extract(held_.begin()).mapped();
    if (is_forced()) {
      complete(request, Status::gone);
    } else {
      below_.enter(request);
    }
  }
  light(Led::off);
}

}  // namespace mars::bricks
