// Session: the origin that serves one file, `disk`, of a FUSE file system of its own, and turns what the kernel
// asks into Requests. The loop device above it is the keeper's business (device.h), the descriptor on /dev/fuse is
// its own.
//
// One file handle is given out in the life of a session: the keeper's. Whoever else opens the file is refused, so
// that the kernel's RELEASE of that handle means: no write can come any more (T3, "device closed"). Memory is
// bounded: a fixed number of requests; while all are in use, the kernel's queue is not read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/sync.h"
#include "front/fuse/buffers.h"
#include "io/machine.h"
#include "xio/request.h"

namespace mars::fuse {

// Aborts the FUSE connection that is mounted there and unmounts it, in use or not. Blocking, but needs no answer
// from any server.
void unmount_blocking(const std::string& directory);

struct SessionOptions {
  std::string directory;      // empty and our own; mounted over
  std::string name;           // [a-z0-9._-]: what `mount` shows as fuse.NAME
  size_t requests_max = 128;  // in flight
  size_t large_max = 12;      // of these longer than Buffers::small_bytes, one for receiving included; at least 3
};

class Session {
 public:
  static constexpr const char* file_name = "disk";

  // `changed` is notified when one of the answers below changed. It outlives the session.
  Session(io::Machine& machine, xio::Output& below, Notifier& changed, SessionOptions options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();  // after unmount()

  // Mounts and begins to serve. unsupported, permission: with the kernel's reason.
  Task<Result<void>> mount();
  // Aborts what the kernel still waits for, unmounts, and returns when every request has come back from below:
  // led_off. Idempotent; may be called while another unmount() is under way.
  Task<void> unmount();

  // Somebody (the loop device) has the file open.
  // The kernel has said that the handle was closed for good.
  bool is_released() const { return released_; }
  // The connection to the kernel is over: unmounted or aborted.
  bool is_ended() const { return ended_; }
  size_t in_flight() const { return in_flight_; }
  uint64_t request_count() const { return request_count_; }  // since the mount

  // Whether discards are passed on; decided at the mount, because it is announced once. Those that are not are refused.
  bool takes_discard() const { return takes_discard_; }

  // The device below has another size: the kernel asks again when somebody looks.
  void size_changed();

 private:
  struct Slot;
  struct Kernel;  // libfuse's objects and what it calls

  void begin_serving();
  void on_readable();
  bool has_room() const;
  bool receive();
  void end();

  Slot& take(void* reply_to, xio::Op op, uint64_t offset, uint64_t bytes);
  void start(Slot& slot);
  void next_piece(Slot& slot);
  void left(xio::Request& request);
  void got(Slot& slot);
  void moved(Slot& slot);
  void finish(Slot& slot, Status status);
  void give_back_large(Slot& slot);

  io::Machine& machine_;
  const SessionOptions options_;
  Notifier& changed_;
  Buffers buffers_;
  std::byte* receiving_ = nullptr;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> free_slots_;
  std::unique_ptr<Kernel> kernel_;
  size_t in_flight_ = 0;
  uint64_t request_count_ = 0;
  bool is_starved_ = false;
  bool takes_discard_ = false;
  bool opened_ = false;
  bool released_ = false;
  bool ended_ = true;
  xio::Input<> below_;
};

}  // namespace mars::fuse
