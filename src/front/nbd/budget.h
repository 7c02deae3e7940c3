// Budget: the bytes of own buffers that all connections of a server may have in use. Nobody gets all of it: who has
// some already may have at most an eighth of what is left (the dynamic threshold of Choudhury and Hahne, as in
// bricks/pool.h), so that clients which do not read their replies leave room for the others. Single-threaded.
#pragma once

#include <cstdint>

#include "base/sync.h"

namespace mars::nbd {

class Budget {
 public:
  // What one connection has of it.
  struct Share {
    explicit Share(uint64_t most) : bytes_max(most) {}
    const uint64_t bytes_max;
    uint64_t bytes = 0;
  };

  Budget(Ready& ready, uint64_t bytes) : bytes_(bytes), free_(bytes), freed_(ready) {}

  // What is taken at once should not be more.
  uint64_t portion() const { return bytes_ / 16; }

  // Who needs several pieces before it gives one back takes all of them at once. `has_some`: and it will come back by
  // itself; who has nothing gets what is free. False: wait for freed(), try again.
  bool try_take(Share& share, uint64_t bytes, bool has_some) {
    if (bytes > free_) return false;
    const uint64_t then = share.bytes + bytes;
    if (has_some && (then > share.bytes_max || 8 * then > free_ - bytes)) return false;
    free_ -= bytes;
    share.bytes = then;
    return true;
  }
  void give_back(Share& share, uint64_t bytes) {
    share.bytes -= bytes;
    free_ += bytes;
    freed_.notify();
  }
  Notifier& freed() { return freed_; }

 private:
  const uint64_t bytes_;
  uint64_t free_;
  Notifier freed_;
};

}  // namespace mars::nbd
