#include "sim/host.h"

#include <utility>

#include "base/check.h"
#include "sim/machine.h"
#include "sim/world.h"

namespace mars::sim {

Host::Host(World& world, std::string name, uint32_t id, Prng prng)
    : world_(world), name_(std::move(name)), id_(id), prng_(prng), disks_(std::to_string(id), prng_.fork()) {}

Host::~Host() = default;

SimMachine& Host::machine() {
  CHECK(is_running());
  return *processes_.at(daemon);
}

SimMachine& Host::process(const std::string& name) {
  CHECK(is_up_);
  auto running = processes_.find(name);
  return running != processes_.end() ? *running->second : spawn(name);
}

SimMachine& Host::spawn(const std::string& process) {
  incarnations_.push_back(std::make_unique<SimMachine>(world_, *this, process, prng_.fork()));
  processes_[process] = incarnations_.back().get();
  world_.note(TraceKind::start, id_, incarnations_.size());
  return *incarnations_.back();
}

void Host::boot() {
  for (std::byte& byte : boot_id_) byte = static_cast<std::byte>(prng_.next());
  is_up_ = true;
  world_.network().host_came_up(*this);
}

void Host::start() {
  CHECK(!is_running());
  if (!is_up_) boot();
  spawn(daemon);
}

void Host::kill() { kill(daemon); }

void Host::kill(const std::string& process) {
  auto running = processes_.find(process);
  if (running == processes_.end()) return;
  SimMachine* machine = running->second;
  processes_.erase(running);
  world_.note(TraceKind::kill, id_);
  machine->die();
}

void Host::power_loss() {
  if (!is_up_) return;
  world_.note(TraceKind::power_loss, id_);
  is_up_ = false;
  for (auto& [name, machine] : std::exchange(processes_, {})) machine->die();
  disks_.power_loss();
  pools_.clear();
}

void Host::pause() {
  world_.note(TraceKind::paused, id_);
  machine().set_paused(true);
}

void Host::resume() {
  world_.note(TraceKind::resumed, id_);
  machine().set_paused(false);
}

bool Host::is_paused() const { return is_running() && processes_.at(daemon)->is_paused(); }

void Host::stop_clock() {
  if (!clock_stands_) clock_stands_ = world_.now();
}

void Host::go_on_clock() {
  clock_skew_ = clock_error();
  clock_stands_.reset();
}

io::Duration Host::clock_error() const {
  return clock_stands_ ? clock_skew_ - (world_.now() - *clock_stands_) : clock_skew_;
}

void Host::kill_at_disk_op(uint64_t n) {
  disks_.on_change([this, at = disks_.change_count() + n](uint64_t count) {
    if (count == at) kill();
  });
}

void Host::power_loss_at_disk_op(uint64_t n) {
  disks_.on_change([this, at = disks_.change_count() + n](uint64_t count) {
    if (count == at) power_loss();
  });
}

Execution Host::execute(std::vector<std::string> argv) {
  executed_.push_back(std::move(argv));
  return program_ ? program_(executed_.back()) : Execution{};
}

}  // namespace mars::sim
