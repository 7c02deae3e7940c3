#include "sim/machine.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/aligned.h"
#include "base/check.h"
#include "base/sync.h"
#include "sim/host.h"
#include "sim/keys.h"
#include "sim/network.h"
#include "sim/sqlite_vfs.h"
#include "sim/storage.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

constexpr std::array<std::byte, 4096> zeroes = {};
constexpr io::WallTime wall_start = std::chrono::seconds(1'700'000'000);

// The host's memory, mapped. When the process dies, the host goes on with a copy: whatever the dead still does there is
// seen by nobody.
class SimPool : public io::PoolMemory, public Mortal {
 public:
  SimPool(SimMachine& machine, std::string name, bool is_fresh)
      : machine_(machine), name_(std::move(name)), is_fresh_(is_fresh), memory_(machine.host().pools().at(name_)) {
    machine.mourn(*this);
  }
  std::span<std::byte> bytes() override { return memory_->span(); }
  bool is_fresh() const override { return is_fresh_; }
  void on_death() override {
    auto kept = machine_.host().pools().find(name_);  // gone when it was removed meanwhile, or power went
    if (kept == machine_.host().pools().end() || kept->second != memory_) return;
    kept->second = std::make_shared<AlignedBuffer>(memory_->size());
    const std::span<const std::byte> dead = memory_->span();
    for (size_t at = 0; at < dead.size(); at += zeroes.size()) {
      const size_t count = std::min(zeroes.size(), dead.size() - at);
      const std::byte* from = dead.data() + at;
      // The copy is zero, and memory that nobody touches costs nothing.
      if (std::memcmp(from, zeroes.data(), count) != 0) std::memcpy(kept->second->data() + at, from, count);
    }
  }

 private:
  SimMachine& machine_;
  std::string name_;
  bool is_fresh_;
  std::shared_ptr<AlignedBuffer> memory_;
};

}  // namespace

// An operation under way. Owned by the event that completes it, so it may outlive the caller, who has been told gone.
class SimMachine::Pending : public Mortal {
 public:
  Pending(SimMachine& machine, Operation operation) : machine_(machine), operation_(std::move(operation)) {}

  static void take_place(std::unique_ptr<Pending> self) {
    if (self->is_finished_) return;
    Operation& operation = self->operation_;
    if (operation.drive != nullptr && operation.drive->is_stuck()) {
      Drive& drive = *operation.drive;
      drive.hold([self = std::move(self)]() mutable {
        SimMachine& machine = self->machine_;
        machine.world_.after(io::Duration(1), [self = std::move(self)]() mutable { take_place(std::move(self)); });
      });
      return;
    }
    // Whoever counts may end the process here: then on_death() has been called, and this change was in flight.
    if (operation.is_change) self->machine_.host_.disks().count_change(operation.path, operation.how);
    if (self->is_finished_) return;
    self->is_finished_ = true;
    self->unlink();
    const bool was_helping = std::exchange(self->machine_.is_helping_, operation.is_helper);
    const Status status = operation.effect(Fate::whole);
    self->machine_.is_helping_ = was_helping;
    operation.done(status);
  }

  void on_death() override {
    is_finished_ = true;
    Prng& prng = machine_.prng_;
    const uint64_t choice = prng.below(4);
    if (operation_.is_change && choice >= 2)
      static_cast<void>(operation_.effect(choice == 2 ? Fate::torn : Fate::whole));
    // SQLite must not be entered twice; work that is not done now finds a dead machine later.
    if (operation_.is_helper && choice >= 2 && !machine_.is_helping_) {
      machine_.last_changes_ = choice == 2 ? prng.below(16) : 1'000'000;
      static_cast<void>(operation_.effect(Fate::whole));
      machine_.last_changes_ = 0;
    }
    operation_.done(Status::gone);
  }

 private:
  SimMachine& machine_;
  Operation operation_;
  bool is_finished_ = false;
};

SimMachine::SimMachine(World& world, Host& host, std::string process, Prng prng)
    : world_(world), host_(host), process_(std::move(process)), prng_(prng), boot_id_(host.boot_id()), scope_(ready_) {
  storage_ = std::make_unique<SimStorage>(*this);
  network_ = std::make_unique<SimNetwork>(*this);
  keys_ = std::make_unique<SimKeys>(prng_.fork());
  vfs_ = std::make_unique<SqliteVfs>(*this);
  ready_.on_work([](void* self) { static_cast<SimMachine*>(self)->schedule_turn(); }, this);
}

SimMachine::~SimMachine() = default;

io::Instant SimMachine::now() { return world_.now(); }
io::WallTime SimMachine::wall_now() { return wall_start + world_.now() + host_.clock_error(); }
const char* SimMachine::sqlite_vfs() { return vfs_->name(); }

void SimMachine::random_bytes(std::span<std::byte> into) {
  for (std::byte& byte : into) byte = static_cast<std::byte>(prng_.next());
}

void SimMachine::schedule_turn() {
  if (is_turn_scheduled_ || is_paused_) return;
  is_turn_scheduled_ = true;
  world_.after(io::Duration(prng_.between(100, 1000)), [this] { turn(); });
}

void SimMachine::turn() {
  is_turn_scheduled_ = false;
  if (is_paused_) return;
  if (Job* job = ready_.pop()) {
    world_.note(TraceKind::job, host_.id());
    job->run(*job);
  }
  if (!ready_.empty()) schedule_turn();
}

void SimMachine::timers_changed() {
  const std::optional<io::Instant> next = timers_.next();
  if (!next || is_paused_ || (timer_event_ && *timer_event_ <= *next)) return;
  timer_event_ = std::max(*next, world_.now());
  world_.at(*timer_event_, [this, when = *timer_event_] {
    if (timer_event_ == when) fire_timers();
  });
}

void SimMachine::fire_timers() {
  timer_event_.reset();
  if (is_paused_) return;
  world_.note(TraceKind::timer, host_.id());
  timers_.fire_due(world_.now());
  timers_changed();
}

void SimMachine::set_paused(bool paused) {
  is_paused_ = paused;
  if (paused) return;
  if (!ready_.empty()) schedule_turn();
  timers_changed();
}

void SimMachine::mourn(Mortal& mortal) {
  if (is_alive_) mortals_.push_back(mortal);
}

void SimMachine::die() {
  if (!is_alive_) return;
  is_alive_ = false;
  while (Mortal* mortal = mortals_.pop_front()) mortal->on_death();
  host_.disks().let_go_all(*this);
  if (is_paused_) set_paused(false);  // what is left of it unwinds
}

bool SimMachine::may_change() {
  if (is_alive_) return true;
  if (last_changes_ == 0) return false;
  --last_changes_;
  return true;
}

void SimMachine::start(Operation operation) {
  if (!is_alive_) return operation.done(Status::gone);
  const io::Duration delay = operation.delay;
  auto pending = std::make_unique<Pending>(*this, std::move(operation));
  mourn(*pending);
  world_.after(delay, [pending = std::move(pending)]() mutable { Pending::take_place(std::move(pending)); });
}

namespace {

// Suspends one activity over one operation.
struct Operated {
  SimMachine& machine;
  SimMachine::Operation operation;
  Waiter waiter = {};
  Status status = Status::ok;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) {
    waiter.suspend(caller);
    operation.done = [this](Status outcome) {
      status = outcome;
      waiter.wake(machine.ready());
    };
    machine.start(std::move(operation));
  }
  Status await_resume() const noexcept { return status; }
};

}  // namespace

Task<Status> SimMachine::operate(io::Duration delay, Effect effect, Drive* drive, std::string_view change) {
  Operation operation{.delay = delay, .effect = std::move(effect), .drive = drive, .is_change = !change.empty()};
  operation.path = change;
  operation.how = " (change)";
  Operated operated{*this, std::move(operation)};
  co_return co_await operated;
}

Task<void> SimMachine::next_turn() {
  Effect nothing = [](Fate) { return Status::ok; };
  static_cast<void>(co_await operate(io::Duration(0), std::move(nothing)));
}

Result<std::unique_ptr<io::PoolMemory>> SimMachine::map_pool(std::string name, uint64_t bytes) {
  if (!is_alive_) return failure(Status::gone);
  if (!host_.has_tmpfs()) return failure(Status::unsupported, "there is no tmpfs on " + host_.name());
  auto [pool, is_fresh] = host_.pools().try_emplace(name);
  if (is_fresh) pool->second = std::make_shared<AlignedBuffer>(bytes);
  std::unique_ptr<io::PoolMemory> memory = std::make_unique<SimPool>(*this, name, is_fresh);
  return memory;
}

Status SimMachine::remove_pool(std::string name) {
  if (!is_alive_) return Status::gone;
  return host_.pools().erase(name) > 0 ? Status::ok : Status::not_found;
}

Task<void> SimMachine::off_load(std::move_only_function<void()> work) {
  bool has_run = false;
  Operation operation{.delay = io::Duration(prng_.between(10'000, 1'000'000)), .is_helper = true};
  operation.effect = [&](Fate) {
    has_run = true;
    world_.note(TraceKind::helper, host_.id());
    work();
    return Status::ok;
  };
  Operated operated{*this, std::move(operation)};
  static_cast<void>(co_await operated);
  if (!has_run) work();  // on a dead machine: SQLite below it fails
}

Task<Result<io::Finished>> SimMachine::exec(std::vector<std::string> argv, io::Duration limit) {
  if (!is_alive_) {
    co_await next_turn();
    co_return failure(Status::gone);
  }
  world_.note(TraceKind::exec, host_.id(), argv.size());
  Execution execution = host_.execute(std::move(argv));
  Effect effect = [](Fate) { return Status::ok; };
  const Status status = co_await operate(std::min(execution.takes, limit), std::move(effect));
  if (status != Status::ok) co_return failure(status);
  if (execution.takes > limit) co_return failure(Status::timed_out, "the program did not end in time");
  co_return std::move(execution.finished);
}

}  // namespace mars::sim
