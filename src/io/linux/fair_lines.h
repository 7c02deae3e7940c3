// FairLines: jobs that wait for a place, foreground before background, each line in the order in which they came. Every
// eighth place is for the background all the same: else write-back would stand still as long as somebody reads without
// pause. Intrusive, so waiting never allocates. Single-threaded.
#pragma once

#include <cstdint>

#include "base/ready.h"

namespace mars::io {

class FairLines {
 public:
  bool empty() const { return foreground_.head == nullptr && background_.head == nullptr; }
  void push(Job& job, bool is_background) { (is_background ? background_ : foreground_).push(job); }
  // Whose turn it is; null when nobody waits.
  Job* front() const { return is_turn_of_background() ? background_.head : foreground_.head; }
  Job* pop() {
    Line& line = is_turn_of_background() ? background_ : foreground_;
    ++turn_;
    return line.pop();
  }

 private:
  struct Line {
    Job* head = nullptr;
    Job** tail = &head;
    void push(Job& job) {
      job.next = nullptr;
      *tail = &job;
      tail = &job.next;
    }
    Job* pop() {
      Job* job = head;
      if (job != nullptr && (head = job->next) == nullptr) tail = &head;
      return job;
    }
  };
  bool is_turn_of_background() const {
    return background_.head != nullptr && (foreground_.head == nullptr || turn_ % 8 == 7);
  }

  Line foreground_;
  Line background_;
  uint32_t turn_ = 0;
};

}  // namespace mars::io
