// trans_logger: reads. What memory holds is copied, what it does not hold comes from the data disk. A gap is asked from
// the disk at the moment in which memory holds nothing newer for it; what is written to it later is concurrent.
#include <cstring>

#include "bricks/trans_logger.h"

namespace mars::bricks {

void TransLogger::read(xio::Request& request) {
  const auto first = newest_.next(request.offset);
  const bool is_below = first.owner == nullptr || first.offset >= request.end();
  if (is_below) return below_.enter(request);
  gather(request);
}

void TransLogger::passed(xio::Request& request) { answer(request, request.status); }

void TransLogger::gather(xio::Request& request) {
  Gather gathering;
  std::byte* into = request.data;
  if (request.digest_only) {
    gathering.scratch = new AlignedBuffer(request.bytes);
    into = gathering.scratch->data();
  }
  keep(request, gathering);
  newest_.walk(request.offset, request.bytes, [&](const ShadowIndex::Piece& piece) {
    std::byte* target = into + (piece.offset - request.offset);
    if (piece.owner == nullptr) {
      read_gap(request, piece.offset, piece.bytes, target);
    } else if (const std::byte* data = piece.data()) {
      std::memcpy(target, data, piece.bytes);
    } else {
      std::memset(target, 0, piece.bytes);
    }
  });
  part_done(request, Status::ok);
}

void TransLogger::read_gap(xio::Request& parent, uint64_t offset, uint64_t bytes, std::byte* into) {
  ++kept<Gather>(parent).left;
  Part* part = nullptr;
  if (free_parts_.empty()) {
    part = &part_stock_.emplace_back();
  } else {
    part = free_parts_.back();
    free_parts_.pop_back();
  }
  part->parent = &parent;
  part->priority = parent.priority;
  part->offset = offset;
  part->bytes = static_cast<uint32_t>(bytes);
  part->data = into;
  parts_.enter(*part);
}

void TransLogger::part_left(xio::Request& request) {
  Part& part = static_cast<Part&>(request);
  xio::Request& parent = *part.parent;
  const Status status = part.status;
  free_parts_.push_back(&part);
  part_done(parent, status);
}

void TransLogger::part_done(xio::Request& parent, Status status) {
  Gather& gathering = kept<Gather>(parent);
  if (status != Status::ok) gathering.status = status;
  if (--gathering.left > 0) return;
  const Status outcome = gathering.status;
  if (gathering.scratch != nullptr) {
    parent.digest = hash(gathering.scratch->span());
    delete gathering.scratch;
  }
  answer(parent, outcome);
}

}  // namespace mars::bricks
