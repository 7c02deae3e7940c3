#include "bricks/known_bytes.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace mars::bricks {

KnownBytes::KnownBytes(uint64_t bytes, uint32_t unit_bytes)
    : unit_bytes_(unit_bytes), bytes_(bytes), units_((bytes + unit_bytes - 1) / unit_bytes) {}

// f(unit, whole): `whole` when the range covers all of the unit.
template <class F>
void KnownBytes::for_each_unit(uint64_t offset, uint64_t bytes, F&& f) {
  CHECK(covers(offset, bytes));
  const uint64_t end = offset + bytes;
  for (uint64_t index = offset / unit_bytes_; index * unit_bytes_ < end; ++index) {
    const uint64_t start = index * unit_bytes_;
    const uint64_t stop = std::min<uint64_t>(start + unit_bytes_, bytes_.size());
    f(units_[index], offset <= start && stop <= end);
  }
}

void KnownBytes::begin(uint64_t offset, uint64_t bytes, const std::byte* data, uint64_t number) {
  for_each_unit(offset, bytes, [&](Unit& unit, bool whole) {
    unit.known_after = unit.in_flight == 0 && (whole || unit.known);
    unit.known = false;
    unit.changed = number;
    ++unit.in_flight;
  });
  if (data != nullptr) {
    std::memcpy(bytes_.data() + offset, data, bytes);
  } else {
    std::memset(bytes_.data() + offset, 0, bytes);
  }
}

// Of two that overlapped, whichever ends finds a number that is not its own. The end counts as a change too: a read
// that went down while the write was in flight may have seen either content.
void KnownBytes::end(uint64_t offset, uint64_t bytes, uint64_t number, uint64_t now, bool succeeded) {
  for_each_unit(offset, bytes, [&](Unit& unit, bool) {
    CHECK(unit.in_flight > 0);
    --unit.in_flight;
    unit.known = succeeded && unit.in_flight == 0 && unit.changed == number && unit.known_after;
    unit.changed = now;
  });
}

std::optional<uint64_t> KnownBytes::mismatch(uint64_t offset, ByteView data, uint64_t since, uint64_t& compared) const {
  CHECK(covers(offset, data.size()));
  const uint64_t end = offset + data.size();
  for (uint64_t at = offset; at < end;) {
    const uint64_t stop = std::min((at / unit_bytes_ + 1) * unit_bytes_, end);
    if (is_known(units_[at / unit_bytes_], since)) {
      compared += stop - at;
      for (uint64_t i = at; i < stop; ++i) {
        if (bytes_[i] != data[i - offset]) return i;
      }
    }
    at = stop;
  }
  return std::nullopt;
}

std::optional<Hash128> KnownBytes::digest(uint64_t offset, uint64_t bytes, uint64_t since) const {
  CHECK(covers(offset, bytes));
  for (uint64_t index = offset / unit_bytes_; index * unit_bytes_ < offset + bytes; ++index) {
    if (!is_known(units_[index], since)) return std::nullopt;
  }
  return hash(ByteView(bytes_.data() + offset, bytes));
}

}  // namespace mars::bricks
