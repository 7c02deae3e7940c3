// Runs a program and collects what it says. It gets no shell, no descriptor but 0 (/dev/null), 1 and 2 (collected), and
// a process group of its own, which is killed as a whole when the time is over.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "io/linux/thread_pool.h"
#include "io/machine.h"

namespace mars::io {

// timed_out: killed after `limit`. not_found, permission: it could not be started.
Task<Result<Finished>> run_child(Machine& machine, ThreadPool& pool, std::vector<std::string> argv, Duration limit);

}  // namespace mars::io
