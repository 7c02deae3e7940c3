// Switch: how a brick is turned on and off. The owner presses the button; the brick moves towards it and lights a LED
// when it has arrived. Both LEDs dark: on its way. Every verb is idempotent, returns at once and runs nobody's code.
#pragma once

#include <utility>

#include "base/check.h"
#include "base/ready.h"
#include "base/sync.h"
#include "base/task.h"

namespace mars::brick {

class Switch {
 public:
  explicit Switch(Ready& ready);
  Switch(const Switch&) = delete;
  Switch& operator=(const Switch&) = delete;
  virtual ~Switch();

  // What the owner wants. Pressing again asks the brick to look again.
  void press(bool on);
  bool button() const { return button_; }
  // Off, and at once: whatever waits inside, and children under way, end with Status::gone. Lasts until pressed on.
  void force_off();
  bool is_forced() const { return forced_; }

  // Fully working.
  bool led_on() const { return led_ == Led::on; }
  // Nothing in flight, no buffer out, no timer armed: safe to destroy. So is a new brick.
  bool led_off() const { return led_ == Led::off && !queued_; }

  // Returns when it is safe to destroy. The switch lives until then.
  Task<void> until_off();
  // For who waits with a deadline: notified whenever the brick has looked at its button, whether a LED changed or not.
  Notifier& turned() { return turned_; }

 protected:
  enum class Led { off, dark, on };
  // Called from the ready queue after the button moved: look at button() and is_forced(), take what steps are possible,
  // and light a LED when there. Called again by look_again(), so it may be written level-triggered; look_again() from
  // inside on_button() itself does nothing.
  virtual void on_button() = 0;
  void light(Led led);
  void look_again();

 private:
  struct Turn : Job {
    Switch* self;
  };
  void turn();

  Ready& ready_;
  Turn turn_;
  bool button_ = false;
  bool forced_ = false;
  bool queued_ = false;
  Led led_ = Led::off;
  Notifier turned_;
};

}  // namespace mars::brick
