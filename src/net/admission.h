// Admission: which of two sessions with one host stays. A pure function; both ends come to the same answer, because
// what it looks at is the same for both: who dialled, and the incarnation that was said in the hello.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "format/values.h"

namespace mars::net {

// One connection with a proven member.
struct Claim {
  Incarnation incarnation;             // of the peer
  bool is_dialled_by_smaller = false;  // by whichever of the two hosts has the smaller uuid
};

enum class Admission : uint8_t {
  take,             // there is no other
  replace,          // the new one stays, the other is closed
  refuse_crossing,  // the other one stays; nothing is wrong
  refuse_second,    // another process with this host's id lives (R6)
};

// `is_silent`: nothing was heard on the existing one for longer than a keep-alive takes.
Admission decide_admission(const std::optional<Claim>& existing, bool is_silent, const Claim& candidate);

}  // namespace mars::net
