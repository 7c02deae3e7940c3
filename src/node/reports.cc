#include "node/reports.h"

#include <utility>

namespace mars::node {

using replication::Report;

namespace {

enum class Kind : uint8_t { report = 1, withdrawn = 2 };

// Whatever somebody waits for or decides by; positions move all the time.
bool is_urgent(const Report& before, const Report& now) {
  return before.life != now.life || before.branch != now.branch || before.is_consistent != now.is_consistent ||
         before.is_attached != now.is_attached || before.is_holder != now.is_holder ||
         before.is_primary != now.is_primary || before.is_in_use != now.is_in_use || before.is_whole != now.is_whole ||
         before.state != now.state || before.switches != now.switches || before.device != now.device ||
         before.durable.position.epoch != now.durable.position.epoch;
}

net::Bytes encode_message(const Uuid& resource, const std::optional<Report>& report) {
  net::Bytes message;
  Writer writer(message);
  writer.u8(static_cast<uint8_t>(report ? Kind::report : Kind::withdrawn));
  if (report) {
    writer.bytes(replication::encode(*report));
  } else {
    write_uuid(writer, resource);
  }
  return message;
}

}  // namespace

Reports::Reports(io::Machine& machine, ReportOwner& owner)
    : machine_(machine),
      owner_(owner),
      look_due_(machine.ready()),
      stop_(machine.ready()),
      changed_(machine.ready()),
      scope_(machine.ready()) {}

void Reports::start() { scope_.spawn(look_loop()); }

Task<void> Reports::stop() {
  stop_.set();
  look_due_.set();
  changed_.notify();
  co_await scope_.join();
}

void Reports::local_changed(const Uuid& resource) {
  to_look_.insert(resource);
  look_due_.set();
}

// A replica says that it changed at each step of its work; how often that is looked at is bounded here.
Task<void> Reports::look_loop() {
  while (!stop_.is_set()) {
    co_await look_due_.wait();
    look_due_.reset();
    for (const Uuid& resource : std::exchange(to_look_, {})) look(resource);
    co_await io::sleep_for(machine_, pause, stop_);
  }
}

void Reports::look(const Uuid& resource) {
  std::optional<Report> now = owner_.local_report(resource);
  Local& local = local_[resource];
  if (local.version > 0 && local.report == now) return;
  const bool is_urgent_now = !now || !local.report || is_urgent(*local.report, *now);
  local.report = std::move(now);
  ++local.version;
  if (is_urgent_now) local.urgent_version = local.version;
  changed_.notify();
  owner_.on_board_changed();
}

const Report* Reports::mine(const Uuid& resource) const {
  const auto found = local_.find(resource);
  return found == local_.end() || !found->second.report ? nullptr : &*found->second.report;
}

Reports::Heard* Reports::find(const Uuid& resource, const Uuid& host) {
  const auto found = board_.find(resource);
  if (found == board_.end()) return nullptr;
  const auto entry = found->second.find(host);
  return entry == found->second.end() ? nullptr : &entry->second;
}

const Reports::Heard* Reports::find(const Uuid& resource, const Uuid& host) const {
  return const_cast<Reports*>(this)->find(resource, host);
}

const std::map<Uuid, Reports::Heard>& Reports::of(const Uuid& resource) const {
  static const std::map<Uuid, Heard> none;
  const auto found = board_.find(resource);
  return found == board_.end() ? none : found->second;
}

void Reports::forget(const Uuid& resource) { board_.erase(resource); }

void Reports::forget(const Uuid& resource, const Uuid& host) {
  if (const auto found = board_.find(resource); found != board_.end()) found->second.erase(host);
}

void Reports::on_peer_down(const Uuid& peer) {
  for (auto& [resource, hosts] : board_) {
    if (const auto heard = hosts.find(peer); heard != hosts.end()) heard->second.is_current = false;
  }
}

// ---- the conversation

Task<void> Reports::converse(std::unique_ptr<net::Channel> channel) {
  Sending sending(machine_.ready());
  Scope sender(machine_.ready());
  sender.spawn(send_loop(*channel, sending));
  Error reason = Status::ok;
  while (reason.status == Status::ok) {
    Result<net::Bytes> message = co_await channel->receive();
    if (!message) break;
    reason = take(channel->peer(), *message);
  }
  sending.ended.set();
  channel->close(std::move(reason));
  changed_.notify();
  co_await sender.join();
}

Error Reports::take(const Uuid& peer, ByteView message) {
  Reader reader(message);
  const auto kind = static_cast<Kind>(reader.u8());
  if (kind == Kind::withdrawn) {
    const Uuid resource = read_uuid(reader);
    if (!reader.finished()) return {Status::invalid, "a malformed report"};
    forget(resource, peer);
    owner_.on_board_changed();
    return Status::ok;
  }
  if (kind != Kind::report) return {Status::invalid, "an unknown message on the channel of reports"};
  Result<Report> report = replication::decode_report(message.subspan(1));
  if (!report) return report.error();
  if (!board_.contains(report->resource) && board_.size() >= resources_max) {
    return {Status::no_space, "too many resources are reported"};
  }
  Heard& heard = board_[report->resource][peer];
  heard = {std::move(*report), machine_.now(), false};
  owner_.on_report(peer, heard.report);
  owner_.on_board_changed();
  return Status::ok;
}

// Which reports go out now; `is_more`: others wait for the interval.
std::vector<Uuid> Reports::due(const Sending& sending, bool& is_more) const {
  const bool is_time = machine_.now() >= sending.last + interval;
  std::vector<Uuid> resources;
  is_more = false;
  for (const auto& [resource, local] : local_) {
    const auto found = sending.sent.find(resource);
    const uint64_t sent = found == sending.sent.end() ? 0 : found->second;
    if (sent == local.version || (sent == 0 && !local.report)) continue;
    if (is_time || sent < local.urgent_version) {
      resources.push_back(resource);
    } else {
      is_more = true;
    }
  }
  return resources;
}

Task<void> Reports::send_loop(net::Channel& channel, Sending& sending) {
  while (!sending.ended.is_set() && !stop_.is_set()) {
    bool is_more = false;
    const std::vector<Uuid> resources = due(sending, is_more);
    for (const Uuid& resource : resources) {
      const auto found = local_.find(resource);
      if (found == local_.end()) continue;
      sending.sent[resource] = found->second.version;
      net::Bytes message = encode_message(resource, found->second.report);
      if (co_await channel.send(std::move(message)) != Status::ok) co_return;
      sending.last = machine_.now();
    }
    if (!resources.empty()) continue;
    if (is_more) {
      co_await io::wait_until(machine_, changed_, sending.last + interval);
    } else {
      co_await changed_.wait();
    }
  }
}

}  // namespace mars::node
