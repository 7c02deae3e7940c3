// ShadowIndex: which admitted request holds the newest bytes of which range. Newer requests cut older ones; a request
// may be left with several pieces. trans_logger keeps two: everything admitted (for reads) and everything durable (for
// write-back, which takes the newest *durable* version: D13). Replay uses one to coalesce a window of the log.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "bricks/admitted.h"

namespace mars::bricks {

class ShadowIndex {
 public:
  // `count`: the member of Admitted that counts its pieces here; `dropped` is called when it fell to zero, after the
  // index has changed; it may give the request back but must not touch the index.
  ShadowIndex(uint32_t Admitted::* count, std::move_only_function<void(Admitted&)> dropped);

  void insert(Admitted& newest);
  // Takes out what still belongs to `owner` within the range.
  void remove(Admitted& owner, uint64_t offset, uint64_t bytes);

  struct Piece {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    Admitted* owner = nullptr;  // null: a gap, nothing is known of it here
    // Where the piece's bytes lie; null when it reads as zeroes.
    const std::byte* data() const { return owner->data == nullptr ? nullptr : owner->data + (offset - owner->offset); }
  };
  // The range in order, gaps included; `visit` must not change the index.
  void walk(uint64_t offset, uint64_t bytes, const std::function<void(const Piece&)>& visit) const;
  // The first piece at or behind `offset`; owner null: there is none.
  Piece next(uint64_t offset) const;

  bool empty() const { return pieces_.empty(); }
  size_t size() const { return pieces_.size(); }

 private:
  struct Value {
    uint64_t bytes;
    Admitted* owner;
  };
  using Map = std::map<uint64_t, Value>;

  void cut_out(uint64_t offset, uint64_t bytes, const Admitted* only);
  void add(uint64_t offset, uint64_t bytes, Admitted& owner);

  uint32_t Admitted::* count_;
  std::move_only_function<void(Admitted&)> dropped_;
  Map pieces_;
};

}  // namespace mars::bricks
