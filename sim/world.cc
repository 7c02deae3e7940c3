#include "sim/world.h"

#include <algorithm>
#include <utility>

namespace mars::sim {

World::World(uint64_t seed) : prng_(seed), network_(std::make_unique<Fabric>(*this, prng_.fork())) {}

World::~World() = default;

Host& World::host(const std::string& name) {
  std::unique_ptr<Host>& host = hosts_[name];
  if (!host) {
    host = std::make_unique<Host>(*this, name, static_cast<uint32_t>(hosts_.size()), prng_.fork());
    network_->add_host(*host);
    host->start();
  }
  return *host;
}

void World::at(io::Instant when, std::move_only_function<void()> what) {
  events_.push_back({std::max(when, now_), ++sequence_, std::move(what)});
  std::ranges::push_heap(events_, is_later);
}

bool World::step() {
  if (events_.empty()) return false;
  std::ranges::pop_heap(events_, is_later);
  Event event = std::move(events_.back());
  events_.pop_back();
  now_ = event.when;
  event.what();
  return true;
}

bool World::run_until(const std::function<bool()>& predicate, io::Duration limit) {
  const io::Instant deadline = now_ + limit;
  while (!predicate()) {
    if (events_.empty() || events_.front().when > deadline) {
      now_ = deadline;
      return predicate();
    }
    step();
  }
  return true;
}

void World::run_for(io::Duration duration) {
  run_until([] { return false; }, duration);
}

bool World::run_idle(io::Duration limit) {
  const io::Instant deadline = now_ + limit;
  while (!events_.empty() && events_.front().when <= deadline) step();
  return events_.empty();
}

Task<void> World::finish(Task<void> task, bool& done) {
  co_await task;
  done = true;
}

void World::run(SimMachine& machine, Task<void> task, io::Duration limit) {
  bool done = false;
  machine.scope().spawn(finish(std::move(task), done));
  CHECK(run_until([&] { return done; }, limit));
}

void World::note(TraceKind kind, uint32_t host, uint64_t a, uint64_t b) { trace_.add({kind, host, now_, a, b}); }

}  // namespace mars::sim
