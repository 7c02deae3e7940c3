// ThreadDisk: the disk engine on a pool of threads with preadv2 and pwritev2, for kernels and containers without
// io_uring.
#pragma once

#include "io/linux/disk_file.h"
#include "io/linux/thread_pool.h"

namespace mars::io {

class ThreadDisk final : public DiskEngine {
 public:
  ThreadDisk(Reactor& reactor, size_t threads) : pool_(reactor, threads, &ThreadDisk::work) {}

  std::string_view name() const override { return "threads"; }
  uint32_t in_flight_max() const override { return 8; }  // of 32 threads
  void submit(FileOp& op) override;

 private:
  static void work(Job& job);

  ThreadPool pool_;
};

}  // namespace mars::io
