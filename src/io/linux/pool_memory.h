// The pool of a reactor (D6): a file on tmpfs that survives the process. Blocking only for the time of an allocation in
// RAM.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "io/machine.h"

namespace mars::io {

// `run_dir` itself if it is on tmpfs, else a private directory under /dev/shm that belongs to this run directory alone.
Result<std::unique_ptr<PoolMemory>> map_pool(const std::string& run_dir, const std::string& name, uint64_t bytes);
Status remove_pool(const std::string& run_dir, const std::string& name);

}  // namespace mars::io
