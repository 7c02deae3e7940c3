// SimDevice: the device of a resource in a simulated world: whoever opens it reads and writes through a Port on the top
// brick, as an application would through a block device.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/aligned.h"
#include "base/sync.h"
#include "base/task.h"
#include "io/machine.h"
#include "node/options.h"
#include "replication/device.h"
#include "xio/port.h"

namespace mars::sim {

class SimDevice final : public replication::Device {
 public:
  // `slot` of whoever made it is emptied when it dies.
  SimDevice(io::Machine& machine, std::string name, SimDevice** slot);
  ~SimDevice() override;

  Task<Result<void>> open(xio::Output& top) override;
  Task<Result<void>> close() override;
  Task<void> bar() override;
  Task<void> force_close() override;
  // False while what was admitted before it closed is still under way.
  bool is_open() const override { return port_.has_value() && !is_closing_; }
  bool is_in_use() const override { return is_open() && users_ > 0; }
  std::string users() const override { return is_in_use() ? "mounted" : ""; }
  std::string path() const override { return is_open() ? "/dev/mars/" + name_ : ""; }
  std::string front_end() const override { return "sim"; }

  // A filesystem is mounted on it. False: nobody gets in any more.
  bool set_in_use(bool in_use) {
    if (in_use && is_barred_) return false;
    users_ = in_use ? 1 : 0;
    return true;
  }
  // The kernel keeps a page for this user, and writes it back when the device is to be closed: for a minute at a
  // stretch, then close() says so and is asked again.
  void keep_dirty(uint64_t offset, AlignedBuffer page) { dirty_.emplace_back(offset, std::move(page)); }
  // gone: it is not open.
  Task<Status> write(uint64_t offset, std::span<const std::byte> bytes, bool fua = false);
  Task<Status> read(uint64_t offset, std::span<std::byte> into);
  Task<Status> write_zeroes(uint64_t offset, uint64_t length);
  // Where the device does not offer it, an application writes zeroes instead.
  Task<Status> discard(uint64_t offset, uint64_t length);
  Task<Status> flush();
  // How often it was opened: a user of one opening does not know the next.
  uint64_t open_count() const { return open_count_; }

 private:
  Task<void> write_back();
  std::string still_waits() const;
  void leave();

  io::Machine& machine_;
  const std::string name_;
  SimDevice** slot_;
  std::deque<std::pair<uint64_t, AlignedBuffer>> dirty_;
  std::optional<xio::Port> port_;
  bool is_closing_ = false;
  bool is_barred_ = false;
  uint64_t open_count_ = 0;
  int users_ = 0;
  int in_flight_ = 0;
  Notifier idle_;
  Scope scope_;
};

}  // namespace mars::sim
