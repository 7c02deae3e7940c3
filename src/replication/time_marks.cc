#include "replication/time_marks.h"

#include <algorithm>
#include <iterator>

namespace mars::replication {

void TimeMarks::add(Lsn end, Stamp time, Lsn oldest) {
  if (!marks_.empty() && end < marks_.back().end) clear();  // a tail was dropped, or it is another log
  if (!marks_.empty() && end == marks_.back().end) return;
  while (marks_.size() > 1 && marks_[1].end <= oldest) marks_.pop_front();
  if (marks_.size() < 2) stride_ = 1;
  if (marks_.size() >= count_max) thin_out();
  // The newest is always known; it stays only when its turn has come.
  if (marks_.size() > 1 && ++skipped_ % stride_ != 0) marks_.pop_back();
  marks_.push_back({end, time});
}

void TimeMarks::thin_out() {
  size_t number = 0;
  std::erase_if(marks_, [&](const Mark&) { return number++ % 2 == 1; });
  stride_ *= 2;
}

Stamp TimeMarks::at(Lsn lsn) const {
  const auto behind =
      std::upper_bound(marks_.begin(), marks_.end(), lsn, [](Lsn one, const Mark& mark) { return one < mark.end; });
  return behind == marks_.begin() ? Stamp{} : std::prev(behind)->time;
}

void TimeMarks::clear() {
  marks_.clear();
  stride_ = 1;
  skipped_ = 0;
}

}  // namespace mars::replication
