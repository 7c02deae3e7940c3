// KnownBytes: what a device must contain, as far as that can be known from the requests that passed. A unit is known
// when the last write of it succeeded and no other write was in flight on it meanwhile; what was never written is not
// known. Changes are numbered by the caller, upwards.
#pragma once

#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"

namespace mars::bricks {

class KnownBytes {
 public:
  KnownBytes(uint64_t bytes, uint32_t unit_bytes);

  bool covers(uint64_t offset, uint64_t bytes) const {
    return offset <= bytes_.size() && bytes <= bytes_.size() - offset;
  }

  // All ranges below are covered. A change goes down: `data` is the new content, null for zeroes.
  void begin(uint64_t offset, uint64_t bytes, const std::byte* data, uint64_t number);
  // It came back; `number` is the one of its begin, `now` a fresh one. A failed change leaves its units unknown.
  void end(uint64_t offset, uint64_t bytes, uint64_t number, uint64_t now, bool succeeded);

  // The first offset at which `data`, read from `offset` by a request that went down after change `since`, is wrong.
  // Units that are not known, or changed since, are passed over; *compared counts the bytes that were looked at.
  std::optional<uint64_t> mismatch(uint64_t offset, ByteView data, uint64_t since, uint64_t& compared) const;
  // The hash of a range, when all of it is known and did not change since.
  std::optional<Hash128> digest(uint64_t offset, uint64_t bytes, uint64_t since) const;

 private:
  struct Unit {
    uint64_t changed = 0;    // number of the last begin or end
    uint32_t in_flight = 0;  // changes
    bool known = false;
    bool known_after = false;  // when the change in flight succeeds
  };
  bool is_known(const Unit& unit, uint64_t since) const {
    return unit.known && unit.in_flight == 0 && unit.changed <= since;
  }
  template <class F>
  void for_each_unit(uint64_t offset, uint64_t bytes, F&& f);

  const uint32_t unit_bytes_;
  std::vector<std::byte> bytes_;
  std::vector<Unit> units_;
};

}  // namespace mars::bricks
