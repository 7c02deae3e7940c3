// What resources of one host do for each other on the log disk that they share (G4). Each replica frees what is its
// own; the host carries the requests (Environment).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/values.h"

namespace mars::replication {

// What one resource could make free there, in bytes.
struct RoomOffer {
  uint64_t spare = 0;   // files kept for the next roll, given-up histories, log that nobody needs: nobody misses it
  uint64_t claims = 0;  // the log that goes when the fewest replicas furthest behind lose their claim on it
};

enum class RoomRequest : uint8_t { spare, claims };

// The replicas furthest behind, as few as free a file together.
struct Sacrifice {
  std::vector<Uuid> members;
  uint64_t bytes = 0;
};

struct LogBeside {
  std::string resource;  // its name; empty: there is none
  uint64_t bytes = 0;
};

}  // namespace mars::replication
