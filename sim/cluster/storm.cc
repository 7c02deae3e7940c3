#include "sim/cluster/storm.h"

#include <algorithm>

namespace mars::sim {

using namespace std::chrono_literals;
using control::ExitCode;

namespace {

constexpr const char* resource = "mydata";

}  // namespace

char WriteModel::next_value(uint64_t block) {
  next_ = next_ % 100 + 1;
  Block& its = blocks_[block];
  its.tried.push_back(static_cast<char>(next_));
  its.is_acknowledged = false;
  return static_cast<char>(next_);
}

void WriteModel::flushed() {
  for (auto& [block, its] : blocks_) {
    if (!its.is_acknowledged || its.tried.empty()) continue;
    its.kept = its.tried.back();
    its.tried.clear();
  }
}

void WriteModel::power_lost() {
  for (auto& [block, its] : blocks_) its.is_acknowledged = false;
}

bool WriteModel::allows(uint64_t block, char value) const {
  const Block& its = blocks_.at(block);
  return value == its.kept || std::find(its.tried.begin(), its.tried.end(), value) != its.tried.end();
}

std::vector<uint64_t> WriteModel::blocks() const {
  std::vector<uint64_t> written;
  for (const auto& [block, its] : blocks_) written.push_back(block);
  return written;
}

std::vector<std::string> hosts_with_device(Cluster& cluster, const std::vector<std::string>& hosts,
                                           const std::string& name) {
  std::vector<std::string> found;
  for (const std::string& host : hosts) {
    if (!cluster.is_up(host) || !cluster.host(host).is_running()) continue;
    const SimDevice* device = cluster.device(host, name);
    if (device != nullptr && device->is_open()) found.push_back(host);
  }
  return found;
}

std::string all_events(Cluster& cluster, const std::vector<std::string>& hosts) {
  std::string text;
  for (const std::string& host : hosts) {
    const bool is_alive = cluster.is_up(host) && cluster.host(host).is_running();
    text += "== " + host + (is_alive ? "\n" + cluster.events(host) : " is down") + "\n";
  }
  return text;
}

Storm::Storm(uint64_t seed, std::function<void(const std::string&)> tell)
    : prng_(seed), cluster_(seed, hosts_), tell_(std::move(tell)) {}

void Storm::tell(const std::string& what) {
  if (tell_) tell_(std::to_string(cluster_.world().now().count() / 1'000'000) + " ms: " + what);
}

std::string Storm::run(int steps) {
  cluster_.form();
  cluster_.make_resource(resource);
  for (int step = 0; step < steps; ++step) {
    act();
    look();
    if (were_two_) return problem("two hosts may write at once");
  }
  if (std::string wrong = settle(); !wrong.empty()) return wrong;
  return check_content();
}

void Storm::act() {
  switch (prng_.below(10)) {
    case 0:
    case 1:
    case 2:
      return write_some();
    case 3:
      return flush();
    case 4:
      return change_link();
    case 5:
      return crash(prng_.chance(1, 2));
    case 6:
      return start_all();
    case 7:
      return hand_over();
    default:
      return rest();
  }
}

void Storm::look() { were_two_ = were_two_ || hosts_with_device(cluster_, hosts_, resource).size() > 1; }

std::optional<std::string> Storm::primary() {
  const std::vector<std::string> found = hosts_with_device(cluster_, hosts_, resource);
  return found.empty() ? std::nullopt : std::optional(found.front());
}

void Storm::write_some() {
  for (uint64_t i = prng_.between(1, 10); i > 0; --i) {
    const auto host = primary();
    if (!host) return;
    const uint64_t block = prng_.below(blocks_max);
    const char value = model_.next_value(block);
    const Status status = cluster_.write(*host, resource, block, value);
    tell("write " + *host + " block " + std::to_string(block) + " = " + std::to_string(int{value}) + ": " +
         std::string(name(status)));
    if (status == Status::ok) model_.acknowledged(block);
  }
}

void Storm::flush() {
  const auto host = primary();
  if (!host) return;
  const Status status = cluster_.flush(*host, resource);
  tell("flush " + *host + ": " + std::string(name(status)));
  if (status == Status::ok) model_.flushed();
}

void Storm::crash(bool is_power_loss) {
  const std::string& host = any();
  if (!cluster_.is_up(host)) return;
  tell((is_power_loss ? "power loss of " : "kill ") + host);
  if (is_power_loss) {
    const auto holder = primary();
    if (!holder || *holder == host) model_.power_lost();
    cluster_.power_loss(host);
  } else {
    cluster_.kill(host);
  }
}

void Storm::start_all() {
  for (const std::string& host : hosts_) {
    if (cluster_.is_up(host)) continue;
    tell("start " + host);
    CHECK(cluster_.start(host).has_value());
  }
}

void Storm::change_link() {
  const std::string& x = any();
  const std::string& y = any();
  if (x == y) return;
  if (prng_.chance(1, 2)) {
    tell("cut " + x + "-" + y);
    cluster_.cut(x, y);
  } else {
    tell("heal " + x + "-" + y);
    cluster_.heal(x, y);
  }
}

void Storm::hand_over() {
  const std::string& host = any();
  tell("hand over to " + host);
  if (cluster_.is_up(host)) commands_.push_back(cluster_.begin(host, "primary mydata --timeout 10s"));
}

void Storm::rest() {
  for (uint64_t i = prng_.between(1, 40); i > 0 && !were_two_; --i) {
    cluster_.run_for(50ms);
    look();
  }
}

// All is well again; then one is made primary.
std::string Storm::settle() {
  for (const std::string& x : hosts_) {
    for (const std::string& y : hosts_) {
      if (x < y) cluster_.heal(x, y);
    }
  }
  start_all();
  if (!cluster_.all_connected()) return problem("the hosts do not find each other again");
  cluster_.run_for(15s);
  const control::Answer answer = cluster_.run("c", "primary mydata");
  if (answer.code != ExitCode::done) return problem("c does not become primary: " + answer.text);
  if (!cluster_.all_up_to_date(resource)) return problem("not all replicas come up to date");
  return {};
}

std::string Storm::check_content() {
  for (const uint64_t block : model_.blocks()) {
    const std::optional<char> value = cluster_.read("c", resource, block);
    if (!value) return problem("block " + std::to_string(block) + " cannot be read");
    if (model_.allows(block, *value)) continue;
    return problem("block " + std::to_string(block) + " has " + std::to_string(int{*value}) +
                   ", which is neither what was flushed nor newer");
  }
  const auto are_equal = [this] { return cluster_.disks_equal("a", "b") && cluster_.disks_equal("a", "c"); };
  return cluster_.wait(are_equal, 10s) ? std::string() : problem("the disks are not equal at equal positions");
}

}  // namespace mars::sim
