// Ring: the disk engine on io_uring. Operations of one turn are collected and given to the kernel with one call; what
// does not fit waits here, foreground first. Completions ring the reactor's doorbell only while the reactor sleeps.
#pragma once

#include <cstdint>
#include <memory>

#include <liburing.h>

#include "base/ready.h"
#include "base/status.h"
#include "io/linux/disk_file.h"

namespace mars::io {

class Ring final : public DiskEngine {
 public:
  // `doorbell` is an eventfd. unsupported or permission: io_uring is not to be had here, the text says why.
  static Result<std::unique_ptr<Ring>> make(Ready& ready, int doorbell);
  explicit Ring(Ready& ready) : ready_(ready) {}
  ~Ring() override;

  std::string_view name() const override { return "uring"; }
  uint32_t in_flight_max() const override { return 64; }  // of 1,024, and of 512 kernel workers
  void submit(FileOp& op) override;
  void turn() override;
  bool has_completed() const override;
  bool prepare_to_wait() override;
  Duration wait_max() const override;

 private:
  bool try_queue(FileOp& op);
  void reap();
  void queue_waiting();
  void submit_queued();

  Ready& ready_;
  io_uring ring_ = {};
  bool is_open_ = false;
  bool can_be_silent_ = false;
  uint32_t in_flight_ = 0;  // queued or in the kernel
  FairLines waiting_;
};

}  // namespace mars::io
