#include "brick/switch.h"

#include <utility>

namespace mars::brick {

Switch::Switch(Ready& ready) : ready_(ready), turned_(ready) {
  turn_.self = this;
  turn_.run = [](Job& job) { static_cast<Turn&>(job).self->turn(); };
}

Switch::~Switch() { CHECK(led_off()); }

void Switch::press(bool on) {
  button_ = on;
  if (on) forced_ = false;
  look_again();
}

void Switch::force_off() {
  button_ = false;
  forced_ = true;
  look_again();
}

void Switch::light(Led led) {
  if (led_ == led) return;
  led_ = led;
  look_again();
}

void Switch::look_again() {
  if (std::exchange(queued_, true)) return;
  ready_.push(turn_);
}

// Every way to led_off ends with a turn.
Task<void> Switch::until_off() {
  while (!led_off()) co_await turned_.wait();
}

void Switch::turn() {
  on_button();
  queued_ = false;
  turned_.notify();
}

}  // namespace mars::brick
