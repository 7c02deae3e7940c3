// FuseDevice: one resource as a real block device `<device directory>/NAME` on a kernel that has neither nbd nor
// ublk: a FUSE session (session.h) with one file, a keeper process (keeper_process.h) that holds a loop device over
// it, and the link. Opens in this order, closes in reverse. What the operator sees of it: doc/front/fuse.md.
//
// Closed means closed (T3): close() succeeds only after the kernel has said that nobody has the loop device open
// and that its handle on the file is released. On the reactor of `below`; everything that may block runs off it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "front/fuse/keeper_process.h"
#include "front/fuse/session.h"
#include "front/fuse/sweep.h"

namespace mars::fuse {

struct DeviceOptions {
  std::string name;         // [a-z0-9][a-z0-9._-]*, at most 62 + a volume's suffix
  Places places;            // resolved
  std::string keeper_path;  // of the program mars-keeper
  size_t requests_max = 128;
  size_t large_max = 12;
};

class FuseDevice {
 public:
  FuseDevice(io::Machine& machine, xio::Output& below, DeviceOptions options);
  FuseDevice(const FuseDevice&) = delete;
  FuseDevice& operator=(const FuseDevice&) = delete;
  ~FuseDevice();  // closed, and stop() awaited

  // The verbs wait for each other and are idempotent; after a failed one the next try goes on where it ended.

  // open: afterwards the link is there. On failure nothing is left behind but what is in flight. unsupported: no FUSE
  // or no loop in this kernel.
  Task<Result<void>> open();
  // busy: in use, by whom the text says; the device stays as it was. timed_out: under way, or the disks do not answer
  // what is in flight; ask again.
  Task<Result<void>> close();
  // Nobody finds it by its name any more; who has it open keeps it. An open() under way ends as stopped; the next one
  // shows it again.
  Task<void> hide();
  // Dead at once, in use or not: whoever uses it gets EIO until he lets go. Also ends an open() or close() that
  // hangs. What is in flight below still comes back; force_off below if that can take long.
  Task<void> abort();
  // The device below has grown.
  Task<Result<void>> resize();
  // abort() unless closed; then ends the watch over the keeper. Before destruction.
  Task<void> stop();

  // Fully working: the link is there.
  bool is_open() const { return stage_ == Stage::open; }
  // Nothing in flight, nothing mounted, no process: led_off.
  bool is_closed() const { return stage_ == Stage::closed; }
  // Of requests that have not come back from below; also of a device that is dead already.
  size_t in_flight() const { return session_ == nullptr ? 0 : session_->in_flight(); }
  uint64_t request_count() const { return session_ == nullptr ? 0 : session_->request_count(); }
  // What a refusal says while there are some.
  std::string still_waits() const;
  // Notified when one of these changed; also when the device went away by itself (the keeper killed, then the last
  // user gone): then it is closed, and open() makes a new one.
  Notifier& changed() { return changed_; }

  // Who has it open now, as sentences. A snapshot for status; close() alone decides.
  Task<std::vector<std::string>> users();
  std::string link() const { return link_path(options_.places, options_.name); }
  // "/dev/loop3"; empty while closed.
  const std::string& loop_path() const { return loop_path_; }
  // The kernel has refused a close a moment ago, and no list named a user. For ten seconds: then only another close can
  // tell.
  bool has_unseen_user() const { return machine_.now() < unseen_until_; }
  // The last close() met dirty pages of somebody who never called fsync, and they could not be written.
  bool has_lost_pages() const { return has_lost_pages_; }

 private:
  // detached: the loop device is off for good, the rest is not taken down yet.
  enum class Stage { closed, opening, open, detached };

  Task<Result<void>> build();
  Task<Result<void>> assemble();
  Task<std::string> name_is_taken();
  Task<Result<void>> make_link();
  Task<Result<void>> start_keeper(int adopt_number);
  std::vector<std::string> keeper_command(int adopt_number) const;
  Task<Result<void>> detach();
  Task<void> pause(io::Duration duration);
  Task<Result<bool>> ask_close();
  Task<Result<void>> keeper_lost_in_close();
  Task<void> detached(bool is_lossy);
  Task<Result<void>> wait_released();
  Task<void> give_up();
  Task<void> take_down();
  Task<void> dismiss_keeper();
  Task<void> remove_link();
  Task<void> unmount_now();

  bool needs_care() const;
  Task<void> mind();
  Task<void> care();
  void set(Stage stage);

  io::Machine& machine_;
  xio::Output& below_;
  const DeviceOptions options_;
  Notifier changed_;  // also of session and keeper
  Semaphore verb_;    // one at a time
  Stage stage_ = Stage::closed;
  int aborts_ = 0;         // abort() calls under way
  bool is_asked_ = false;  // "close" was said and not answered yet
  bool is_hidden_ = false;
  bool is_given_up_ = false;
  bool is_stopping_ = false;
  bool has_lost_pages_ = false;
  io::Instant unseen_until_ = {};
  std::string loop_path_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<KeeperProcess> keeper_;
  Scope scope_;
};

}  // namespace mars::fuse
