// Time as everything above io/ sees it: nanoseconds as values, no clock. Instants are monotonic since an arbitrary
// start (io::Machine::now), wall times are nanoseconds since the Unix epoch (io::Machine::wall_now) and decide nothing
// (R2).
#pragma once

#include <chrono>
#include <cstdint>

namespace mars::io {

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::nanoseconds;
using WallTime = std::chrono::nanoseconds;

using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

}  // namespace mars::io
