#include "io/linux/linux_machine.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "io/linux/child.h"
#include "io/linux/keys.h"
#include "io/linux/linux_network.h"
#include "io/linux/linux_storage.h"
#include "io/linux/pool_memory.h"
#include "io/linux/reactor.h"
#include "io/linux/ring.h"
#include "io/linux/thread_disk.h"
#include "io/linux/thread_pool.h"

namespace mars::io {
namespace {

constexpr size_t jobs_per_turn = 64;  // then disks and sockets are looked at again

constexpr size_t events_per_turn = 64;
constexpr uint64_t slice_ns = 100'000;  // the least that the kernel grants

// sched_setattr(2), which this libc does not wrap.
struct SchedulerAttributes {
  uint32_t size = sizeof(SchedulerAttributes);
  uint32_t policy = 0;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};

// The reactor works in short pieces and sleeps between them. With a short slice, which takes nothing away from anybody,
// it gets the processor when it wakes and not at the end of somebody's slice of milliseconds (Linux 6.12 and later;
// before, this changes nothing). Threads made from here inherit it, those of io_uring too.
void ask_for_short_slices() {
  SchedulerAttributes attributes;
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 || attributes.policy != 0) return;
  attributes.runtime_ns = slice_ns;
  (void)::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Without memory: there is nobody yet who could be told that there is none.
std::array<std::byte, 16> read_boot_id() {
  char buffer[64];
  const int file = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  const ssize_t bytes = file < 0 ? -1 : ::read(file, buffer, sizeof(buffer));
  if (file >= 0) (void)::close(file);
  CHECK(bytes > 0);  // no /proc
  std::string text(buffer, static_cast<size_t>(bytes));
  std::erase_if(text, [](char c) { return c == '-' || c == '\n'; });
  std::array<std::byte, 16> id = {};
  CHECK(text.size() == 2 * id.size());
  for (size_t i = 0; i < id.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    CHECK(high >= 0 && low >= 0);
    id[i] = static_cast<std::byte>(high * 16 + low);
  }
  return id;
}

std::unique_ptr<DiskEngine> make_disks(Reactor& reactor, const LinuxOptions& options, std::string& note) {
  if (options.io != DiskEngineChoice::threads) {
    Result<std::unique_ptr<Ring>> ring = Ring::make(reactor.ready(), reactor.doorbell());
    if (ring) return std::move(*ring);
    note = ring.error().text;
  } else {
    note = "io = threads is configured";
  }
  return std::make_unique<ThreadDisk>(reactor, options.disk_threads);
}

}  // namespace

struct LinuxMachine::Parts {
  Parts(Machine& machine, Reactor& reactor, DiskEngine& disks, size_t off_load_threads)
      : off_load(reactor, off_load_threads), storage(reactor, disks), network(machine, reactor) {}

  ThreadPool off_load;
  LinuxStorage storage;
  LinuxNetwork network;
  OpensslKeys keys;
};

LinuxMachine::LinuxMachine(LinuxOptions options)
    : options_(std::move(options)),
      boot_id_(read_boot_id()),
      patience_(std::thread::hardware_concurrency() > 1),
      reactor_(std::make_unique<Reactor>()),
      disks_(make_disks(*reactor_, options_, disk_engine_note_)),
      parts_(std::make_unique<Parts>(*this, *reactor_, *disks_, options_.off_load_threads)) {}

LinuxMachine::~LinuxMachine() = default;

LinuxMachine& LinuxMachine::of(Machine& machine) {
  auto* self = dynamic_cast<LinuxMachine*>(&machine);
  CHECK(self != nullptr);
  return *self;
}

void LinuxMachine::run() {
  ask_for_short_slices();
  while (!is_stopping_.exchange(false)) turn();
}

void LinuxMachine::stop() {
  is_stopping_ = true;
  reactor_->post([] {});  // ends a sleep
}

void LinuxMachine::turn() {
  disks_->turn();
  reactor_->collect();
  timers_.fire_due(now());
  ready().run(jobs_per_turn);
  disks_->turn();
  const bool has_work = !ready().empty() || is_stopping_;
  if (!has_work && finds_work()) return;
  if (has_work || !disks_->prepare_to_wait() || !reactor_->prepare_to_wait()) {
    reactor_->poll(events_per_turn);
    return;
  }
  std::optional<Instant> until = timers_.next();
  const Duration most = disks_->wait_max();
  if (most != Duration::max()) until = std::min(until.value_or(Instant::max()), now() + most);
  const Instant begun = now();
  reactor_->wait(until);
  patience_.slept(now() - begun);
}

// Looks a little longer before it sleeps, if that has paid lately.
bool LinuxMachine::finds_work() {
  const Duration length = patience_.length();
  if (length == Duration::zero()) return false;
  const Instant end = now() + length;
  const Instant alarm = timers_.next().value_or(Instant::max());
  for (Instant at = now(); at < end; at = now()) {
    if (reactor_->poll(1) || reactor_->has_handed_over() || disks_->has_completed()) {
      patience_.has_found();
      return true;
    }
    if (at >= alarm) return true;
  }
  return false;
}

void LinuxMachine::post(std::move_only_function<void()> function) { reactor_->post(std::move(function)); }

void LinuxMachine::on_signal(int number, std::move_only_function<void()> function) {
  reactor_->on_signal(number, std::move(function));
}

std::string_view LinuxMachine::disk_engine() const { return disks_->name(); }

Ready& LinuxMachine::ready() { return reactor_->ready(); }
Instant LinuxMachine::now() { return monotonic_now(); }
WallTime LinuxMachine::wall_now() { return std::chrono::system_clock::now().time_since_epoch(); }

void LinuxMachine::random_bytes(std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t count = ::getrandom(into.data(), into.size(), 0);
    CHECK(count > 0 || errno == EINTR);
    if (count > 0) into = into.subspan(static_cast<size_t>(count));
  }
}

Storage& LinuxMachine::storage() { return parts_->storage; }
Network& LinuxMachine::network() { return parts_->network; }
Keys& LinuxMachine::keys() { return parts_->keys; }

Result<std::unique_ptr<PoolMemory>> LinuxMachine::map_pool(std::string name, uint64_t bytes) {
  return io::map_pool(options_.run_dir, name, bytes);
}

Status LinuxMachine::remove_pool(std::string name) { return io::remove_pool(options_.run_dir, name); }

Task<void> LinuxMachine::off_load(std::move_only_function<void()> work) {
  return parts_->off_load.off_load(std::move(work));
}

Task<Result<Finished>> LinuxMachine::exec(std::vector<std::string> argv, Duration limit) {
  return run_child(*this, parts_->off_load, std::move(argv), limit);
}

}  // namespace mars::io
