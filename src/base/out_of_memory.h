// What happens when there is no memory: the process ends, and says so.
#pragma once

namespace mars {

// Says so on stderr and aborts; does not allocate. The log has what was acknowledged, so the next start goes on from
// there; to unwind from any allocation would be thousands of ways that nobody has gone.
[[noreturn]] void out_of_memory();

// Whatever allocates ends there from now on: operator new, and who throws std::bad_alloc or cannot start a thread.
void end_when_out_of_memory();

}  // namespace mars
