// Probe: a place that is rarely reached and that a test must have reached: `reached("log: torn tail")`. The simulated
// world counts them (sim/storm/reached.h); without an observer a probe is one load beside work that touches a disk or a
// peer. Never on the path of a request. Single-threaded, as everything above io/.
#pragma once

#include <string_view>

namespace mars {

using ProbeObserver = void (*)(std::string_view place, std::string_view which);
// Set once by a simulator, before anything runs.
inline ProbeObserver probe_observer = nullptr;

// `which`: the name of one of several cases of that place.
inline void reached(std::string_view place, std::string_view which = {}) {
  if (probe_observer != nullptr) [[unlikely]] {
    probe_observer(place, which);
  }
}

}  // namespace mars
