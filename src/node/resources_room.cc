// Resources: room on the log disk, which all resources of this host share.
#include <algorithm>

#include "node/resources.h"

namespace mars::node {

using replication::LogBeside;
using replication::RoomOffer;
using replication::RoomRequest;

RoomOffer Resources::room_beside(const Uuid& resource) const {
  RoomOffer best;
  for (const auto& [id, hosted] : hosted_) {
    if (id == resource || !hosted.replica) continue;
    const RoomOffer offer = hosted.replica->room_offer();
    best.spare = std::max(best.spare, offer.spare);
    best.claims = std::max(best.claims, offer.claims);
  }
  return best;
}

LogBeside Resources::longest_log_beside(const Uuid& resource) const {
  LogBeside longest;
  for (const auto& [id, hosted] : hosted_) {
    if (id == resource || !hosted.replica || hosted.replica->log_bytes() <= longest.bytes) continue;
    longest = {hosted.file.record.name, hosted.replica->log_bytes()};
  }
  return longest;
}

// What nobody misses is asked of all that have it; a claim is given up by the one whose log is the longest for it.
void Resources::ask_for_room(const Uuid& resource, RoomRequest request) {
  const RoomOffer best = room_beside(resource);
  for (auto& [id, hosted] : hosted_) {
    if (id == resource || !hosted.replica) continue;
    const RoomOffer offer = hosted.replica->room_offer();
    const bool is_asked = request == RoomRequest::spare ? offer.spare > 0 : offer.claims == best.claims;
    if (!is_asked) continue;
    hosted.replica->ask_for_room(request);
    if (request == RoomRequest::claims) break;
  }
}

void Resources::room_was_made() {
  for (auto& [id, hosted] : hosted_) {
    if (hosted.replica) hosted.replica->room_was_made();
  }
}

}  // namespace mars::node
