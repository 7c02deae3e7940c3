#include "bricks/shadow_index.h"

#include <algorithm>
#include <vector>

namespace mars::bricks {

ShadowIndex::ShadowIndex(uint32_t Admitted::* count, std::move_only_function<void(Admitted&)> dropped)
    : count_(count), dropped_(std::move(dropped)) {}

void ShadowIndex::add(uint64_t offset, uint64_t bytes, Admitted& owner) {
  pieces_.emplace(offset, Value{bytes, &owner});
  ++(owner.*count_);
}

void ShadowIndex::insert(Admitted& newest) {
  cut_out(newest.offset, newest.bytes, nullptr);
  add(newest.offset, newest.bytes, newest);
}

void ShadowIndex::remove(Admitted& owner, uint64_t offset, uint64_t bytes) { cut_out(offset, bytes, &owner); }

// Takes the range out of every piece, or of those of `only`; what sticks out on both sides stays.
void ShadowIndex::cut_out(uint64_t offset, uint64_t bytes, const Admitted* only) {
  const uint64_t end = offset + bytes;
  auto at = pieces_.upper_bound(offset);
  if (at != pieces_.begin()) --at;
  std::vector<Admitted*> dropped;
  while (at != pieces_.end() && at->first < end) {
    const uint64_t piece = at->first;
    const Value value = at->second;
    const uint64_t piece_end = piece + value.bytes;
    if (piece_end <= offset || (only != nullptr && value.owner != only)) {
      ++at;
      continue;
    }
    at = pieces_.erase(at);
    if (piece < offset) add(piece, offset - piece, *value.owner);
    if (piece_end > end) {
      add(end, piece_end - end, *value.owner);
      at = pieces_.find(end);
    }
    if (--(value.owner->*count_) == 0) dropped.push_back(value.owner);
  }
  for (Admitted* owner : dropped) dropped_(*owner);
}

void ShadowIndex::walk(uint64_t offset, uint64_t bytes, const std::function<void(const Piece&)>& visit) const {
  const uint64_t end = offset + bytes;
  auto at = pieces_.upper_bound(offset);
  if (at != pieces_.begin()) --at;
  for (; at != pieces_.end() && at->first < end; ++at) {
    const uint64_t from = std::max(offset, at->first);
    const uint64_t to = std::min(end, at->first + at->second.bytes);
    if (from >= to) continue;
    if (from > offset) visit({offset, from - offset, nullptr});
    visit({from, to - from, at->second.owner});
    offset = to;
  }
  if (offset < end) visit({offset, end - offset, nullptr});
}

ShadowIndex::Piece ShadowIndex::next(uint64_t offset) const {
  auto at = pieces_.upper_bound(offset);
  if (at != pieces_.begin() && std::prev(at)->first + std::prev(at)->second.bytes > offset) --at;
  if (at == pieces_.end()) return {};
  return {at->first, at->second.bytes, at->second.owner};
}

}  // namespace mars::bricks
