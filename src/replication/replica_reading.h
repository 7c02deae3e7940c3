// Replica: who reads the log while it may be replaced.
#pragma once

#include "replication/replica.h"

namespace mars::replication {

// While it lives a step reads the log, and a sync that begins beside it waits before it takes the log away.
class Replica::Reading {
 public:
  explicit Reading(Replica& replica) : replica_(replica) { ++replica_.readings_; }
  ~Reading() {
    if (--replica_.readings_ == 0) replica_.served_.notify();
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

 private:
  Replica& replica_;
};

}  // namespace mars::replication
