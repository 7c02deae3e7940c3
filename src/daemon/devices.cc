#include "daemon/devices.h"

#include <utility>

#include "front/fuse/own_disk.h"
#include "front/fuse/users.h"

namespace mars::daemon {

using namespace std::chrono_literals;

namespace {

constexpr io::Duration release_limit = 10s;

// One resource's device, whichever front end it has at the moment.
class FrontDevice final : public replication::Device {
 public:
  FrontDevice(io::Machine& machine, nbd::NbdServer& nbd, const DevicesOptions& options, node::DeviceOrder order)
      : machine_(machine),
        nbd_(nbd),
        options_(options),
        order_(std::move(order)),
        closing_(machine.ready()),
        scope_(machine.ready()) {}
  ~FrontDevice() override { CHECK(!is_open()); }

  Task<Result<void>> open(xio::Output& top) override;
  Task<Result<void>> close() override;
  Task<void> bar() override;
  Task<void> force_close() override;
  bool is_open() const override { return export_ != nullptr || (fuse_ != nullptr && fuse_->is_open()); }
  bool is_in_use() const override { return export_ ? export_->is_in_use() : is_fuse_in_use(); }
  std::string users() const override;
  std::string path() const override;
  std::string front_end() const override { return export_ ? "nbd" : fuse_ ? "fuse" : ""; }

 private:
  std::string wanted() const;
  bool is_fuse_in_use() const { return fuse_ != nullptr && (!fuse_users_.empty() || fuse_->has_unseen_user()); }
  Task<Result<void>> open_fuse(xio::Output& top);
  void open_nbd(xio::Output& top);
  Task<void> watch_users();
  Task<void> drop_fuse();
  Task<bool> close_nbd();

  io::Machine& machine_;
  nbd::NbdServer& nbd_;
  const DevicesOptions& options_;
  const node::DeviceOrder order_;
  std::unique_ptr<fuse::FuseDevice> fuse_;
  std::unique_ptr<nbd::NbdExport> export_;
  std::string fuse_users_;
  bool is_barred_ = false;
  Event closing_;
  Scope scope_;
};

std::string FrontDevice::wanted() const {
  const std::string of_resource = order_.front_end();
  return of_resource.empty() || of_resource == "auto" ? options_.front_end : of_resource;
}

std::string FrontDevice::path() const {
  if (export_) return "nbd+unix:///" + order_.name + "?socket=" + options_.nbd_socket;
  return is_open() ? fuse_->link() : "";
}

std::string FrontDevice::users() const {
  if (!export_ && !fuse_users_.empty()) return fuse_users_;
  if (!export_) return is_fuse_in_use() ? fuse::unseen_user : "";
  const size_t count = export_->client_count();
  if (count == 0) return "";
  return count == 1 ? "an NBD client is connected" : std::to_string(count) + " NBD clients are connected";
}

Task<Result<void>> FrontDevice::open(xio::Output& top) {
  if (is_open()) co_return Result<void>();
  if (is_barred_) co_return failure(Status::stopped, "marsd is stopping");
  const std::string front_end = wanted();
  if (front_end == "none") co_return failure(Status::refused, "the option front-end is none");
  if (front_end == "auto" || front_end == "fuse") {
    auto opened = co_await open_fuse(top);
    // What is only short for a moment is tried again: an export in its place would stay.
    const Status why = opened ? Status::ok : opened.error().status;
    const bool is_lasting = why == Status::unsupported || why == Status::permission || why == Status::not_found;
    if (opened || front_end == "fuse" || !is_lasting) co_return opened;
    if (options_.log)
      options_.log(order_.name + ": no block device here (" + opened.error().text + "); it is an NBD export");
  }
  if (nbd_.has_export(order_.name)) {
    co_return failure(Status::exists, "another resource here has the device " + order_.name);
  }
  if (is_barred_) co_return failure(Status::stopped, "marsd is stopping");
  open_nbd(top);
  co_return Result<void>();
}

Task<Result<void>> FrontDevice::open_fuse(xio::Output& top) {
  // One that went by itself, because its keeper was killed while nobody used it, has its activities still. One that was
  // aborted may wait for its disks for ever, and the replica's turn must not.
  if (fuse_ != nullptr && fuse_->in_flight() > 0) co_return failure(Status::busy, fuse_->still_waits());
  if (fuse_ != nullptr) co_await drop_fuse();
  if (is_barred_) co_return failure(Status::stopped, "marsd is stopping");
  fuse::DeviceOptions options;
  options.name = order_.name;
  options.places = options_.places;
  options.keeper_path = options_.keeper_path;
  fuse_ = std::make_unique<fuse::FuseDevice>(machine_, top, std::move(options));
  auto opened = co_await fuse_->open();
  if (!opened) {
    if (fuse_->in_flight() == 0) co_await drop_fuse();
    co_return opened;
  }
  closing_.reset();
  fuse_users_.clear();
  scope_.spawn(watch_users());
  co_return Result<void>();
}

// For status only; whether it may be closed is decided by the kernel at that moment. To look costs a walk through
// /proc: every two seconds, and after half a second when a device that is in use has fallen silent: the last that an
// unmount does is to write.
Task<void> FrontDevice::watch_users() {
  bool goes_on = true;
  while (goes_on) {
    fuse_users_ = fuse::sentence(co_await fuse_->users());
    const uint64_t at_look = fuse_->request_count();
    uint64_t seen = at_look;
    if (fuse_users_.empty()) {
      goes_on = co_await io::sleep_for(machine_, 2s, closing_);
      continue;
    }
    for (unsigned tenths = 1; goes_on && tenths <= 20; ++tenths) {
      goes_on = co_await io::sleep_for(machine_, 100ms, closing_);
      const bool is_silent = std::exchange(seen, fuse_->request_count()) == seen && fuse_->in_flight() == 0;
      if (is_silent && tenths >= 5 && seen != at_look) break;
    }
  }
}

void FrontDevice::open_nbd(xio::Output& top) {
  export_ = std::make_unique<nbd::NbdExport>(nbd_, order_.name, top);
  export_->press(true);
}

Task<Result<void>> FrontDevice::close() {
  if (export_) {
    if (export_->is_in_use()) {
      co_return failure(Status::busy, users() + " to " + order_.name + "; disconnect first");
    }
    if (!co_await close_nbd()) {
      if (!is_barred_) export_->press(true);  // as it was
      co_return failure(Status::timed_out, "requests of clients that have left " + order_.name +
                                               " still wait for its disks; look at them, and at the room in the log");
    }
  }
  if (fuse_ == nullptr) co_return Result<void>();
  auto closed = co_await fuse_->close();
  if (!closed) {
    fuse_users_ = fuse::sentence(co_await fuse_->users());
    co_return closed;
  }
  if (fuse_->has_lost_pages() && options_.log) {
    options_.log(order_.name + ": somebody wrote without fsync in the moment of the close, and those pages are lost");
  }
  co_await drop_fuse();
  co_return Result<void>();
}

// Whoever has the loop device itself open by its number cannot be kept out; the name is what people open.
Task<void> FrontDevice::bar() {
  is_barred_ = true;
  if (export_) export_->press(false);
  if (fuse_) co_await fuse_->hide();
}

Task<void> FrontDevice::force_close() {
  if (export_) {
    export_->force_off();
    co_await export_->until_off();
    export_.reset();
  }
  if (fuse_ == nullptr) co_return;
  co_await fuse_->abort();
  co_await drop_fuse();
}

// False: what clients that are gone have asked for is still under way.
Task<bool> FrontDevice::close_nbd() {
  const io::Instant deadline = machine_.now() + release_limit;
  export_->press(false);
  while (!export_->led_off() && machine_.now() < deadline) {
    co_await io::wait_until(machine_, export_->turned(), deadline);
  }
  if (!export_->led_off()) co_return false;
  export_.reset();
  co_return true;
}

Task<void> FrontDevice::drop_fuse() {
  closing_.set();
  co_await scope_.join();
  co_await fuse_->stop();
  fuse_.reset();
}

}  // namespace

Devices::Devices(io::Machine& machine, nbd::NbdServer& nbd, DevicesOptions options)
    : machine_(machine), nbd_(nbd), options_(std::move(options)) {}

std::unique_ptr<replication::Device> Devices::make(node::DeviceOrder order) {
  return std::make_unique<FrontDevice>(machine_, nbd_, options_, std::move(order));
}

Task<bool> Devices::is_own(std::string disk) {
  bool is_own = false;
  auto work = [&] { is_own = fuse::lies_on_own_device(disk, options_.places); };
  co_await machine_.off_load(std::move(work));
  co_return is_own;
}

}  // namespace mars::daemon
