#include "sim/storm/neighbour.h"

#include <algorithm>
#include <cstring>

#include "base/aligned.h"

namespace mars::sim {

using namespace std::chrono_literals;
using control::State;

namespace {

constexpr const char* its_name = "second";
constexpr const char* its_disk = "/dev/sdc";
constexpr uint64_t its_bytes = 1u << 20;
constexpr unsigned block_count = its_bytes / Cluster::block_bytes;

uint32_t value_in(std::span<const std::byte> block) {
  uint32_t value = 0;
  std::memcpy(&value, block.data(), sizeof value);
  return value;
}

}  // namespace

void Neighbour::set_up() {
  if (!is_wanted_) return;
  is_there_ = true;
  for (const std::string& host : stage_.hosts) {
    stage_.cluster.host(host).disks().add_device(its_disk, its_bytes);
    order(host,
          std::string(host == stage_.hosts[0] ? "create-resource " : "join-resource ") + its_name + " " + its_disk);
  }
  for (const Uuid& id : stage_.cluster.node("a").cluster()->resources().ids()) {
    if (id != stage_.resource) id_ = id;
  }
  stage_.cluster.world().run_until([&] { return is_all_well(); }, 60s);
  if (!is_all_well()) stage_.broke("the neighbour cannot be set up");
}

replication::Replica* Neighbour::replica(const std::string& host) {
  if (!stage_.is_alive(host) || stage_.cluster.node(host).cluster() == nullptr) return nullptr;
  return stage_.cluster.node(host).cluster()->resources().find(id_);
}

std::string Neighbour::primary() {
  for (const std::string& host : stage_.alive()) {
    const SimDevice* device = stage_.cluster.device(host, its_name);
    if (device != nullptr && device->is_open()) return host;
  }
  return {};
}

void Neighbour::act(Prng prng) {
  if (!is_there_ || prng.chance(1, 2)) return;
  const std::string host = primary();
  if (host.empty() || !stage_.is_responsive(host)) return;
  const unsigned count = static_cast<unsigned>(prng.between(1, 200));
  const unsigned first = static_cast<unsigned>(prng.below(block_count - count));
  SimMachine& machine = stage_.cluster.host(host).machine();
  const uint64_t opening = stage_.cluster.device(host, its_name)->open_count();
  machine.scope().spawn(write(host, opening, first, count, machine));
}

Task<void> Neighbour::write(std::string host, uint64_t opening, unsigned first, unsigned count, SimMachine& machine) {
  const auto device = [&]() -> SimDevice* {
    SimDevice* its = machine.is_alive() ? stage_.cluster.device(host, its_name) : nullptr;
    return its != nullptr && its->is_open() && its->open_count() == opening ? its : nullptr;
  };
  std::map<unsigned, uint32_t> written;
  AlignedBuffer buffer(Cluster::block_bytes);
  for (unsigned block = first; block < first + count && device() != nullptr; ++block) {
    const uint32_t value = ++last_value_;
    std::memcpy(buffer.data(), &value, sizeof value);
    auto& its = blocks_[block];
    if (its.values.empty()) its.values.push_back(0);
    its.values.push_back(value);
    if (co_await device()->write(uint64_t{block} * Cluster::block_bytes, buffer.span()) != Status::ok) co_return;
    written[block] = value;
  }
  if (device() == nullptr || co_await device()->flush() != Status::ok || !machine.is_alive()) co_return;
  stage_.reached.count("a neighbour has flushed");
  for (const auto& [block, value] : written) {
    if (!is_excused_) std::erase_if(blocks_[block].values, [value](uint32_t older) { return older < value; });
  }
}

bool Neighbour::is_all_well() {
  if (!is_there_) return true;
  for (const std::string& host : stage_.hosts) {
    if (replica(host) == nullptr) return false;
  }
  return !primary().empty() && stage_.cluster.all_up_to_date(its_name, 1ms);
}

// ---- the operator

void Neighbour::order(const std::string& host, const std::string& line) {
  if (!stage_.is_responsive(host)) return;
  stage_.tell(host + "# marsadm " + line);
  const auto running = stage_.cluster.begin(host, line);
  stage_.cluster.world().run_until([&] { return running->answer.has_value(); }, 120s);
  if (!running->answer) return stage_.broke("\"" + line + "\" on " + host + " does not end");
  stage_.tell("  " + line + ": " + std::string(control::name(running->answer->code)) + " " + running->answer->text);
}

// Who holds the right, else who has the longest whole log.
std::string Neighbour::choose_winner() {
  std::string winner;
  std::pair<int, Lsn> best;
  for (const std::string& host : stage_.hosts) {
    replication::Replica* its = replica(host);
    if (its == nullptr) continue;
    const replication::Report report = its->report();
    const bool is_version = report.is_attached && report.is_consistent;
    const int worth = 1 + (report.is_holder ? 8 : 0) + (is_version && report.is_whole ? 4 : 0) + (is_version ? 2 : 0);
    const std::pair now(worth, report.durable.position.lsn);
    if (now > best) best = now, winner = host;
  }
  return winner;
}

void Neighbour::recover_host(const std::string& host, const std::string& winner) {
  const std::string name = its_name;
  replication::Replica* its = replica(host);
  if (its == nullptr) {
    const node::Resources& here = stage_.cluster.node(host).cluster()->resources();
    const std::vector<Uuid> ids = here.ids();
    if (std::ranges::find(ids, id_) != ids.end()) order(host, "leave-resource " + name);
    return order(host, "join-resource " + name + " " + its_disk + " --overwrite");
  }
  const replication::Report report = its->report();
  const bool may_invalidate = host != winner;
  const std::string give_up = "invalidate " + name;
  switch (report.state) {
    case State::disk_changed:
      is_excused_ = true;
      return order(host, "attach " + name + " --accept-disk --force");
    case State::writes_lost:
      is_excused_ = true;
      return order(host, "attach " + name + " --accept-loss");
    case State::log_damaged:
      if (may_invalidate) return order(host, give_up);
      is_excused_ = true;
      order(host, "detach " + name);
      order(host, "attach " + name);
      return order(host, "attach " + name + " --accept-loss");
    case State::log_failed:
    case State::disk_failed:
    case State::failed:
      stage_.stop(host);
      stage_.start(host);
      return;
    case State::fork:
    case State::rolled_back:
      if (may_invalidate) order(host, give_up);
      return;
    default:
      if (may_invalidate && report.next_step.find("invalidate") != std::string::npos) order(host, give_up);
  }
}

void Neighbour::recover(int round) {
  if (!is_there_ || is_all_well()) return;
  const std::string winner = choose_winner();
  for (const std::string& host : stage_.hosts) {
    if (stage_.is_responsive(host)) recover_host(host, winner);
  }
  if (!primary().empty() || winner.empty()) return;
  order(winner, std::string("primary ") + its_name + " --timeout 30s");
  if (!primary().empty() || round <= 2) return;
  is_excused_ = true;
  order(winner, std::string("primary ") + its_name + " --force --timeout 30s");
}

// ---- what must hold

void Neighbour::final_look() {
  if (!is_there_) return;
  for (const std::string& host : stage_.hosts) {
    for (const auto& [block, its] : blocks_) {
      const auto bytes = stage_.cluster.host(host).disks().peek(its_disk, uint64_t{block} * Cluster::block_bytes, 4);
      const uint32_t value = value_in(bytes);
      const bool is_old = is_excused_ && value < its.values.back();
      if (is_old || std::ranges::find(its.values, value) != its.values.end()) continue;
      stage_.broke("P2: block " + std::to_string(block) + " of the neighbour on " + host + " has " +
                   std::to_string(value) + " and not one of " + std::to_string(its.values.front()) + " to " +
                   std::to_string(its.values.back()));
    }
    const auto content = stage_.cluster.host(host).disks().content(its_disk);
    if (!content.reads_as(stage_.cluster.host(stage_.hosts[0]).disks().content(its_disk), its_bytes)) {
      stage_.broke("P1: the neighbour differs on " + host);
    }
  }
}

std::string Neighbour::describe() {
  std::string text;
  for (const std::string& host : stage_.hosts) {
    replication::Replica* its = is_there_ ? replica(host) : nullptr;
    if (its == nullptr) continue;
    const replication::Report report = its->report();
    text += std::string("== ") + its_name + " on " + host + ": " + std::string(control::name(report.state)) + " " +
            report.reason + "; durable " + short_text(report.durable.position) + ", applied " +
            short_text(report.applied.position) + (report.is_primary ? ", primary" : "") + "\n";
  }
  return text;
}

}  // namespace mars::sim
