// TimeMarks: when the writes of a log were made, by a sample now and then. Bounded: with many marks every second one is
// forgotten and fewer are taken, so a long backlog is known less exactly. Pure values.
#pragma once

#include <deque>

#include "format/values.h"

namespace mars::replication {

class TimeMarks {
 public:
  static constexpr size_t count_max = 512;

  // The write that ends at `end` was made at `time`; both grow from call to call, else what was known is forgotten.
  // Nobody asks any more for what lies before `oldest`.
  void add(Lsn end, Stamp time, Lsn oldest);
  // Of the newest write that is known to end at or before `lsn`; zero: none is.
  Stamp at(Lsn lsn) const;
  void clear();
  size_t count() const { return marks_.size(); }

 private:
  struct Mark {
    Lsn end;
    Stamp time;
  };
  void thin_out();

  std::deque<Mark> marks_;  // the last is the newest that was given, and may be replaced
  uint64_t stride_ = 1;     // so many samples become one mark
  uint64_t skipped_ = 0;
};

}  // namespace mars::replication
