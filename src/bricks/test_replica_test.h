// One resource on one simulated host, as bricks without a strategy: state file, log, pool, data disk, trans_logger, and
// the sequence that brings them up again after whatever happened.
#pragma once

#include <memory>
#include <string>

#include "bricks/disk.h"
#include "bricks/log.h"
#include "bricks/pool.h"
#include "bricks/replayer.h"
#include "bricks/state_file.h"
#include "bricks/trans_logger.h"
#include "format/random_uuid.h"
#include "sim/world.h"

namespace mars::bricks {

inline Uuid test_uuid(uint8_t number) {
  Uuid uuid;
  uuid.bytes.fill(number);
  return Uuid::from_random(uuid.bytes);
}

struct TestReplicaOptions {
  std::string host = "a";
  uint64_t volume_bytes = 256 << 10;
  uint32_t block_bytes = 512;
  uint32_t log_block_bytes = 512;
  uint64_t segment_bytes = 384 << 10;
  uint64_t in_flight_bytes_max = 256 << 10;
  uint64_t pool_bytes = 2 << 20;
  Pool* pool = nullptr;  // somebody else's, who lives longer
  bool write_cache = true;
  io::Duration rest = std::chrono::milliseconds(5);
};

// An origin whose requests can be awaited, with get and put.
class TestOrigin {
 public:
  struct Request : xio::Request {
    std::coroutine_handle<> caller;
  };
  explicit TestOrigin(xio::Output& below) : below_(xio::On<&TestOrigin::left>{}, this, nullptr, below) {}

  auto send(Request& request) {
    struct Awaiter {
      TestOrigin& origin;
      Request& request;
      bool await_ready() const { return false; }
      void await_suspend(std::coroutine_handle<> caller) {
        request.caller = caller;
        origin.below_.enter(request);
      }
      Status await_resume() const { return request.status; }
    };
    return Awaiter{*this, request};
  }

  Task<Status> write(uint64_t offset, std::vector<std::byte> bytes, bool fua = false) {
    Request request;
    request.prepare(xio::Op::write, offset, static_cast<uint32_t>(bytes.size()), bytes.data());
    request.fua = fua;
    co_return co_await send(request);
  }
  // As front ends do: with buffers from below, as long as they come.
  Task<Status> write_supplied(uint64_t offset, std::vector<std::byte> bytes) {
    for (size_t done = 0; done < bytes.size();) {
      Request request;
      request.prepare(xio::Op::write, offset + done, static_cast<uint32_t>(bytes.size() - done), nullptr);
      request.step = xio::Step::get;
      if (Status status = co_await send(request); status != Status::ok) co_return status;
      std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(done), request.bytes, request.data);
      done += request.bytes;
      request.step = xio::Step::io;
      const Status status = co_await send(request);
      request.put();
      if (status != Status::ok) co_return status;
    }
    co_return Status::ok;
  }
  Task<std::vector<std::byte>> read(uint64_t offset, uint32_t count) {
    std::vector<std::byte> bytes(count);
    Request request;
    request.prepare(xio::Op::read, offset, count, bytes.data());
    if (co_await send(request) != Status::ok) bytes.clear();
    co_return bytes;
  }
  Task<Status> other(xio::Op op, uint64_t offset = 0, uint32_t count = 0, bool fua = false) {
    Request request;
    request.prepare(op, offset, count, nullptr);
    request.fua = fua;
    co_return co_await send(request);
  }
  Task<Status> flush() { return other(xio::Op::flush); }

 private:
  void left(xio::Request& request) { static_cast<Request&>(request).caller.resume(); }
  xio::Input<> below_;
};

class TestReplica {
 public:
  static constexpr const char* directory = "/mars/r";
  static constexpr const char* state_path = "/mars/r/state";
  static constexpr const char* data_path = "/dev/sdb";

  explicit TestReplica(sim::World& world, const TestReplicaOptions& options = {}) : world_(world), options_(options) {
    sim::DeviceOptions device;
    device.block_bytes = options.block_bytes;
    host().disks().add_device(data_path, options.volume_bytes, device);
    if (options.log_block_bytes == 512) return;
    sim::FileSystemOptions log_disk;
    log_disk.block_bytes = options.log_block_bytes;
    host().disks().mount("/mars", log_disk);
  }
  ~TestReplica() { close(); }

  sim::World& world() { return world_; }
  sim::Host& host() { return world_.host(options_.host); }
  sim::SimMachine& machine() { return *machine_; }
  const TestReplicaOptions& options() const { return options_; }
  bool is_open() const { return logger_ != nullptr; }
  Pool& pool() { return options_.pool != nullptr ? *options_.pool : *pool_; }
  StateFile& state() { return *state_; }
  Log& log() { return *log_; }
  Disk& disk() { return *disk_; }
  Replayer& replayer() { return *replayer_; }
  TransLogger& logger() { return *logger_; }
  TestOrigin& origin() { return *origin_; }
  const Log::Recovery& recovery() const { return recovery_; }

  template <class T>
  T run(Task<T> task) {
    return world_.run(*machine_, std::move(task));
  }

  SegmentsOptions segments_options() const {
    SegmentsOptions options{directory, test_uuid(1), test_uuid(2), options_.segment_bytes,
                            options_.in_flight_bytes_max};
    options.control_bytes = 64 << 10;
    return options;
  }
  io::Bytes data(uint64_t offset, uint64_t bytes) { return host().disks().peek(data_path, offset, bytes); }

  // Makes the files and the first epoch, and opens.
  Result<void> create() {
    machine_ = &host().machine();
    return run(creating(true));
  }
  // The same with an empty log that waits for batches of another host.
  Result<void> create_follower() {
    machine_ = &host().machine();
    return run(creating(false));
  }
  // The way back after a crash or a close, on the host's present process.
  Result<void> open() {
    machine_ = &host().machine();
    return run(opening(true, {}));
  }
  // The same without an own epoch and without trans_logger: as a replica that follows.
  Result<void> follow(Lsn peers_know = {}) {
    machine_ = &host().machine();
    return run(opening(false, peers_know));
  }
  // Kills the process, or takes the power away, and lets go of what ran there.
  void kill() {
    host().kill();
    close();
    host().start();
  }
  void power_loss() {
    host().power_loss();
    close();
    host().start();
  }
  // Everything is let go, whether the machine lives or not; nothing is drained.
  void close() {
    if (machine_ == nullptr) return;
    world_.run(*machine_, closing());
    origin_.reset();
    logger_.reset();
    replayer_.reset();
    log_.reset();
    disk_.reset();
    data_file_.reset();
    state_.reset();
    pool_.reset();
    machine_ = nullptr;
  }
  Result<void> reopen() {
    close();
    if (!host().is_running()) host().start();
    return open();
  }

  Task<Status> begin_epoch(EpochCause cause) {
    format::EpochStart start;
    start.id = random_uuid(*machine_);
    start.number = log_->branch().empty() ? 1 : log_->branch().back().number + 1;
    start.host = test_uuid(3);
    start.cause = cause;
    start.parent = log_->tail().position.epoch;
    start.parent_end = log_->tail().position.lsn;
    start.parent_hash = log_->tail().hash;
    const Status status = co_await log_->begin_epoch(start, log_->admitted(), recovery_.evidence);
    if (status != Status::ok) co_return status;
    co_return co_await state_->update([this](format::StateBlock& state) { state.branch = log_->branch(); });
  }

  void start_replayer() {
    ReplayerOptions options;
    options.bytes = options_.volume_bytes;
    options.block_bytes = options_.block_bytes;
    options.window_bytes = 512 << 10;
    options.write_back = write_back_options();
    replayer_ = std::make_unique<Replayer>(*machine_, *log_, *state_, *disk_, options);
    replayer_->start(state_->value().applied);
  }

 private:
  WriteBackOptions write_back_options() const {
    WriteBackOptions options;
    options.run_bytes_max = 64 << 10;
    options.delay = options_.rest;
    return options;
  }

  Task<Result<void>> creating(bool is_first) {
    if (auto opened = co_await opening_parts(); !opened) co_return opened;
    format::StateBlock first;
    first.cluster = test_uuid(1);
    first.resource = test_uuid(2);
    first.host = test_uuid(3);
    first.state = format::ReplicaState::consistent;
    if (Status status = co_await machine_->storage().make_directory(directory); status != Status::ok) {
      co_return failure(status);
    }
    if (auto made = co_await state_->create(state_path, first); !made) co_return made;
    if (auto opened = co_await log_->segments().open(); !opened) co_return opened;
    log_->begin_at({}, {});
    fill_state();
    if (!is_first) co_return Result<void>();
    if (Status status = co_await begin_epoch(EpochCause::create); status != Status::ok) co_return failure(status);
    co_return start_logger({});
  }

  // Whoever owns the replica says what the state block cannot know by itself.
  void fill_state() {
    state_->on_write([this](format::StateBlock& state) { log_->fill(state); });
  }

  Task<Result<void>> opening_parts() {
    auto opened = Pool::open(*machine_, "pool", options_.pool_bytes);
    if (!opened) co_return failure(opened.error());
    pool_ = std::move(*opened);
    state_ = std::make_unique<StateFile>(*machine_);
    log_ = std::make_unique<Log>(*machine_, *state_, segments_options());
    auto file = co_await machine_->storage().open(data_path, {.exclusive = true});
    if (!file) co_return failure(file.error());
    data_file_ = std::move(*file);
    disk_ = std::make_unique<Disk>(machine_->ready(), *data_file_);
    co_return Result<void>();
  }

  // D11, D6: recover, replay, adopt into the old epoch, and only then a new one.
  Task<Result<void>> opening(bool as_primary, Lsn peers_know) {
    if (auto opened = co_await opening_parts(); !opened) co_return opened;
    if (auto opened = co_await state_->open(state_path); !opened) co_return opened;
    std::vector<Position> positions;
    for (const format::BranchEpoch& epoch : state_->value().branch) positions.push_back({epoch.id, peers_know});
    auto recovered = co_await log_->recover(positions);
    if (!recovered) co_return failure(recovered.error());
    recovery_ = *recovered;
    fill_state();
    if (recovery_.is_damaged) co_return failure(Status::damaged, recovery_.reason);
    if (!as_primary) co_return Result<void>();
    start_replayer();
    Status status = co_await replayer_->catch_up(log_->durable().position.lsn);
    co_await replayer_->stop();
    if (status != Status::ok)
      co_return failure(replayer_->failed().status == Status::ok ? status : replayer_->failed());
    replayer_.reset();
    if (auto started = start_logger(state_->value().applied); !started) co_return started;
    if (status = co_await logger_->adopt(); status != Status::ok) co_return failure(status, "adopt");
    if (status = co_await begin_epoch(EpochCause::recover); status != Status::ok) co_return failure(status, "epoch");
    co_return Result<void>();
  }

  Result<void> start_logger(Tip applied) {
    TransLoggerOptions options;
    options.bytes = options_.volume_bytes;
    options.block_bytes = options_.block_bytes;
    options.write_cache = options_.write_cache;
    options.batches.batch_bytes_target = 64 << 10;
    options.batches.payload_alignment = options_.log_block_bytes;
    options.write_back = write_back_options();
    logger_ = std::make_unique<TransLogger>(*machine_, pool(), *log_, *state_, *disk_, options);
    logger_->start(applied, log_->admitted());
    origin_ = std::make_unique<TestOrigin>(*logger_);
    return {};
  }

  Task<void> closing() {
    if (replayer_) co_await replayer_->stop();
    if (logger_) co_await logger_->stop();
    if (log_) co_await log_->close();
  }

  sim::World& world_;
  const TestReplicaOptions options_;
  sim::SimMachine* machine_ = nullptr;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<StateFile> state_;
  std::unique_ptr<io::File> data_file_;
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<Replayer> replayer_;
  std::unique_ptr<TransLogger> logger_;
  std::unique_ptr<TestOrigin> origin_;
  Log::Recovery recovery_;
};

inline std::vector<std::byte> filled_with(size_t bytes, char letter) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(letter));
}

}  // namespace mars::bricks
