#include "bricks/check.h"

#include <algorithm>

namespace mars::bricks {

using xio::Op;
using xio::Step;

namespace {

bool changes(Op op) { return op == Op::write || op == Op::discard || op == Op::write_zeroes; }

constexpr uint64_t unwatched = ~uint64_t{0};  // as the slot of a request

std::string describe(Op op, Step step, uint64_t offset, uint32_t bytes, uint64_t number) {
  return "#" + std::to_string(number) + " " + (step == Step::get ? "get of " : "") + std::string(name(op)) + " " +
         std::to_string(offset) + "+" + std::to_string(bytes);
}

}  // namespace

Check::Check(Ready& ready, xio::Output& below, CheckOptions options)
    : Output(ready), entries_(options.in_flight_max), below_(xio::On<&Check::left>{}, this, this, below) {
  for (uint64_t slot = entries_.size(); slot-- > 0;) free_.push_back(slot);
  if (options.compare) copy_.emplace(info().bytes, options.unit_bytes);
}

void Check::enter(xio::Request& request) {
  if (free_.empty()) return pass_unwatched(request);
  const Aspect aspect{free_.back()};
  free_.pop_back();
  Entry& entry = entries_[aspect.slot];
  entry = {++number_, request.offset, request.bytes, request.op, request.step, request.digest_only};
  ++counts_[index(entry.op, entry.step)].in;
  if (watches(entry)) begin(entry, request);
  below_.enter(request, aspect);
}

// A running resource must not end because it is looked at. Writes that were not seen make the copy worthless.
void Check::pass_unwatched(xio::Request& request) {
  ++unwatched_;
  copy_.reset();
  below_.enter(request, {unwatched});
}

void Check::left(xio::Request& request, Aspect aspect) {
  if (aspect.slot == unwatched) return complete(request, request.status);
  const Entry entry = std::exchange(entries_[aspect.slot], Entry{});
  free_.push_back(aspect.slot);
  Counts& counts = counts_[index(entry.op, entry.step)];
  ++counts.out;
  if (request.status != Status::ok) ++counts.failed;
  check_fields(entry, request);
  if (watches(entry)) end(entry, request);
  complete(request, request.status);
}

// A request outside of the device fails below; a device that has grown is watched up to its former end.
bool Check::watches(const Entry& entry) const { return copy_ && copy_->covers(entry.offset, entry.bytes); }

void Check::check_fields(const Entry& entry, const xio::Request& request) {
  if (request.offset != entry.offset || request.op != entry.op || request.step != entry.step) {
    fault(entry, "came back with another operation or offset");
  }
  const bool shortened = entry.step == Step::get && request.bytes > 0 && request.bytes < entry.bytes;
  if (request.bytes != entry.bytes && !shortened) fault(entry, "came back with another length");
}

void Check::begin(const Entry& entry, const xio::Request& request) {
  if (entry.step == Step::get || !changes(entry.op)) return;
  copy_->begin(entry.offset, entry.bytes, entry.op == Op::write ? request.data : nullptr, entry.number);
}

// What a discard leaves behind depends on who does it, so it counts as not known.
void Check::end(const Entry& entry, const xio::Request& request) {
  const bool ok = request.status == Status::ok;
  if (entry.op == Op::read) {
    if (ok && (entry.step == Step::io || request.filled)) compare(entry, request);
  } else if (entry.step == Step::io && changes(entry.op)) {
    copy_->end(entry.offset, entry.bytes, entry.number, ++number_, ok && entry.op != Op::discard);
  }
}

void Check::compare(const Entry& entry, const xio::Request& request) {
  if (entry.digest_only) {
    auto digest = copy_->digest(entry.offset, entry.bytes, entry.number);
    if (!digest) return;
    bytes_compared_ += entry.bytes;
    if (*digest != request.digest) fault(entry, "came back with a wrong digest");
    return;
  }
  auto at = copy_->mismatch(entry.offset, ByteView(request.data, request.bytes), entry.number, bytes_compared_);
  if (at) fault(entry, "came back with a wrong byte at " + std::to_string(*at));
}

void Check::fault(const Entry& entry, const std::string& what) {
  if (faults_++ > 0) return;
  first_fault_ = describe(entry.op, entry.step, entry.offset, entry.bytes, entry.number) + " " + what;
}

Check::Counts Check::counts() const {
  Counts sum;
  for (const Counts& counts : counts_) {
    sum.in += counts.in;
    sum.out += counts.out;
    sum.failed += counts.failed;
  }
  return sum;
}

uint64_t Check::in_flight() const { return entries_.size() - free_.size(); }

std::string Check::report() const {
  std::string text;
  for (size_t i = 0; i < counts_.size(); ++i) {
    const Counts& counts = counts_[i];
    if (counts.in == 0) continue;
    text += std::string(i % 2 == 0 ? "get of " : "") + std::string(name(static_cast<Op>(i / 2))) + ": in " +
            std::to_string(counts.in) + ", out " + std::to_string(counts.out) + ", failed " +
            std::to_string(counts.failed) + '\n';
  }
  text += "faults " + std::to_string(faults_) + ", compared " + std::to_string(bytes_compared_) + " bytes\n";
  if (unwatched_ > 0) text += "passed unwatched: " + std::to_string(unwatched_) + ", too many were in flight\n";
  if (faults_ > 0) text += "first fault: " + first_fault_ + '\n';
  std::vector<Entry> open;
  for (const Entry& entry : entries_) {
    if (entry.number != 0) open.push_back(entry);
  }
  std::sort(open.begin(), open.end(), [](const Entry& a, const Entry& b) { return a.number < b.number; });
  for (const Entry& entry : open) {
    text += "in flight: " + describe(entry.op, entry.step, entry.offset, entry.bytes, entry.number) + '\n';
  }
  return text;
}

}  // namespace mars::bricks
