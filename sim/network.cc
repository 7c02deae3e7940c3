#include "sim/network.h"

#include <algorithm>

#include "base/check.h"
#include "sim/host.h"
#include "sim/stream.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

constexpr LinkOptions inside_host = {
    .latency = std::chrono::microseconds(5), .jitter = std::chrono::microseconds(5), .bytes_per_second = 5'000'000'000};

}  // namespace

Fabric::~Fabric() = default;

void Fabric::add_host(Host& host) {
  hosts_[host.name()] = &host;
  link(host, host).options = inside_host;
}

Host* Fabric::find_host(const std::string& name) {
  auto host = hosts_.find(name);
  return host == hosts_.end() ? nullptr : host->second;
}

Fabric::Link& Fabric::link(const std::string& from, const std::string& to) {
  return link(world_.host(from), world_.host(to));
}

void Fabric::set_link(const std::string& a, const std::string& b, LinkOptions options) {
  link(a, b).options = options;
  link(b, a).options = options;
}

void Fabric::cut_one_way(const std::string& from, const std::string& to) {
  CHECK(from != to);
  link(from, to).is_cut = true;
  world_.note(TraceKind::cut, world_.host(from).id(), world_.host(to).id());
}

void Fabric::heal_one_way(const std::string& from, const std::string& to) {
  link(from, to).is_cut = false;
  world_.note(TraceKind::heal, world_.host(from).id(), world_.host(to).id());
  kick();
}

void Fabric::cut(const std::string& a, const std::string& b) {
  cut_one_way(a, b);
  cut_one_way(b, a);
}

void Fabric::heal(const std::string& a, const std::string& b) {
  heal_one_way(a, b);
  heal_one_way(b, a);
}

void Fabric::isolate(const std::string& host) {
  for (const auto& [name, other] : hosts_) {
    if (name != host) cut(host, name);
  }
}

void Fabric::rejoin(const std::string& host) {
  for (const auto& [name, other] : hosts_) {
    if (name != host) heal(host, name);
  }
}

std::vector<uint64_t> Fabric::between(const std::string& a, const std::string& b) {
  std::vector<uint64_t> found;
  for (const auto& [id, connection] : connections_) {
    const std::string& from = sender(*connection, 0).name();
    const std::string& to = receiver(*connection, 0).name();
    if (!connection->is_unix && ((from == a && to == b) || (from == b && to == a))) found.push_back(id);
  }
  return found;
}

void Fabric::reset(const std::string& a, const std::string& b) {
  for (uint64_t id : between(a, b)) {
    break_end(id, 0);
    break_end(id, 1);
  }
}

void Fabric::reset_one_end(const std::string& host, const std::string& other) {
  for (uint64_t id : between(host, other)) break_end(id, sender(*find(id), 0).name() == host ? 0 : 1);
}

uint64_t Fabric::bytes_delivered(const std::string& from, const std::string& to) { return link(from, to).delivered; }

bool Fabric::is_open(Host& from, Host& to) { return to.is_up() && !link(from, to).is_cut; }

io::Duration Fabric::trip(Host& from, Host& to) {
  const LinkOptions& options = link(from, to).options;
  return options.latency + io::Duration(prng_.below(static_cast<uint64_t>(options.jitter.count()) + 1));
}

Host& Fabric::sender(Connection& connection, int side) { return connection.ends[side].machine->host(); }

Fabric::Connection& Fabric::connect(SimMachine& client, SimMachine& server, const io::Address& to, bool is_unix) {
  auto connection = std::make_unique<Connection>();
  connection->id = next_id_++;
  connection->is_unix = is_unix;
  connection->ends[0].machine = &client;
  connection->ends[1].machine = &server;
  connection->ends[0].address = is_unix ? to : client.host().name() + ":" + any_port(client.host());
  connection->ends[1].address = is_unix ? to : server.host().name() + ":" + split_address(to).second;
  world_.note(TraceKind::connected, client.host().id(), server.host().id(), connection->id);
  return *connections_.emplace(connection->id, std::move(connection)).first->second;
}

Fabric::Connection* Fabric::find(uint64_t id) {
  auto connection = connections_.find(id);
  return connection == connections_.end() ? nullptr : connection->second.get();
}

void Fabric::send(Connection& connection, int side, std::vector<std::byte> bytes, bool is_refusal) {
  Flow& flow = connection.ends[side].out;
  Link& way = link(sender(connection, side), receiver(connection, side));
  const auto size = static_cast<int64_t>(bytes.size());
  const io::Duration transfer(size * 1'000'000'000 / static_cast<int64_t>(way.options.bytes_per_second));
  way.busy_until = std::max(way.busy_until, world_.now()) + transfer;
  flow.last_arrival =
      std::max(flow.last_arrival, way.busy_until + trip(sender(connection, side), receiver(connection, side)));
  flow.sent += bytes.size();
  flow.wire.push_back({flow.last_arrival, std::move(bytes), is_refusal});
  move(connection, side);
}

void Fabric::move(Connection& connection, int side) {
  Flow& flow = connection.ends[side].out;
  if (flow.is_moving || flow.is_stalled || flow.wire.empty()) return;
  flow.is_moving = true;
  world_.at(flow.wire.front().arrival, [this, id = connection.id, side] { deliver(id, side); });
}

void Fabric::deliver(uint64_t id, int side) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  Flow& flow = connection->ends[side].out;
  flow.is_moving = false;
  if (flow.wire.empty()) return;
  if (!is_open(sender(*connection, side), receiver(*connection, side))) {
    flow.is_stalled = true;
    return stall(*connection, side);
  }
  End& target = connection->ends[1 - side];
  Segment segment = std::move(flow.wire.front());
  flow.wire.pop_front();
  ++flow.progress;
  if (!connection->is_unix && ++delivery_count_ == lose_at_) {
    break_end(id, 0);
    return break_end(id, 1);
  }
  if (!target.is_open || target.is_broken) {
    flow.wire.clear();
    return send_reset(*connection, side);
  }
  world_.note(TraceKind::delivered, receiver(*connection, side).id(), id, segment.bytes.size());
  link(sender(*connection, side), receiver(*connection, side)).delivered += segment.bytes.size();
  if (segment.bytes.empty()) target.has_ended = true;
  if (segment.is_refusal) target.is_refused = true;
  if (target.inbox_begin > 0) {
    target.inbox.erase(target.inbox.begin(), target.inbox.begin() + static_cast<std::ptrdiff_t>(target.inbox_begin));
    target.inbox_begin = 0;
  }
  target.inbox.insert(target.inbox.end(), segment.bytes.begin(), segment.bytes.end());
  if (target.stream != nullptr) target.stream->changed();
  move(*connection, side);
}

// The reader took bytes that `side` had sent; the sender hears of it a trip later.
void Fabric::consumed(Connection& connection, int side, uint64_t bytes) {
  Flow& flow = connection.ends[side].out;
  flow.consumed += bytes;
  if (flow.is_credit_moving || flow.is_credit_stalled) return;
  flow.is_credit_moving = true;
  world_.after(trip(receiver(connection, side), sender(connection, side)),
               [this, id = connection.id, side] { credit(id, side); });
}

void Fabric::credit(uint64_t id, int side) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  End& end = connection->ends[side];
  end.out.is_credit_moving = false;
  if (!is_open(receiver(*connection, side), sender(*connection, side))) {
    end.out.is_credit_stalled = true;
    return stall(*connection, side);
  }
  end.out.credited = end.out.consumed;
  ++end.out.progress;
  if (end.stream != nullptr) end.stream->changed();
}

// The sender's patience begins to run out.
void Fabric::stall(Connection& connection, int side) {
  const uint64_t progress = connection.ends[side].out.progress;
  world_.after(patience, [this, id = connection.id, side, progress] {
    Connection* stalled = find(id);
    if (stalled == nullptr) return;
    const Flow& flow = stalled->ends[side].out;
    if ((flow.is_stalled || flow.is_credit_stalled) && flow.progress == progress) break_end(id, side);
  });
}

void Fabric::kick() {
  for (auto& [id, connection] : connections_) {
    for (int side : {0, 1}) {
      Flow& flow = connection->ends[side].out;
      const io::Duration resent = std::chrono::microseconds(prng_.between(1'000, 200'000));
      if (flow.is_stalled && is_open(sender(*connection, side), receiver(*connection, side))) {
        flow.is_stalled = false;
        flow.is_moving = true;
        world_.after(resent, [this, id = id, side] { deliver(id, side); });
      }
      if (flow.is_credit_stalled && is_open(receiver(*connection, side), sender(*connection, side))) {
        flow.is_credit_stalled = false;
        flow.is_credit_moving = true;
        world_.after(resent, [this, id = id, side] { credit(id, side); });
      }
    }
  }
}

void Fabric::host_came_up(Host&) { kick(); }

void Fabric::break_end(uint64_t id, int side) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  End& end = connection->ends[side];
  if (end.is_broken) return;
  world_.note(TraceKind::reset, sender(*connection, side).id(), id);
  end.is_broken = true;
  end.out.wire.clear();
  if (end.stream != nullptr) end.stream->changed();
}

void Fabric::send_reset(Connection& connection, int to_side) {
  Host& from = sender(connection, 1 - to_side);
  Host& to = sender(connection, to_side);
  world_.after(trip(from, to), [this, id = connection.id, to_side, &from, &to] {
    if (is_open(from, to)) break_end(id, to_side);
  });
}

void Fabric::close(uint64_t id, int side, Farewell farewell) {
  Connection* connection = find(id);
  if (connection == nullptr) return;
  End& end = connection->ends[side];
  end.stream = nullptr;
  if (!end.is_open) return;
  end.is_open = false;
  // Bytes that nobody will read any more are answered with a reset.
  if (farewell == Farewell::end && (!end.unread().empty() || end.is_broken)) farewell = Farewell::reset;
  if (farewell == Farewell::end) send(*connection, side, {});
  if (farewell == Farewell::refusal && !end.is_broken) send(*connection, side, {}, true);
  if (farewell == Farewell::reset && !end.is_broken) {
    end.out.wire.clear();
    send_reset(*connection, 1 - side);
  }
  if (farewell == Farewell::silence) end.out.wire.clear();
  forget_if_closed(id);
}

void Fabric::forget_if_closed(uint64_t id) {
  Connection* connection = find(id);
  if (!connection->ends[0].is_open && !connection->ends[1].is_open) connections_.erase(id);
}

std::pair<std::string, std::string> split_address(const io::Address& address) {
  if (address.starts_with("unix:")) return {"", address};
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return {"", ""};
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return {host, address.substr(colon + 1)};
}

Task<Result<std::unique_ptr<io::Listener>>> SimNetwork::listen(io::Address address, uint32_t) {
  std::unique_ptr<io::Listener> listener;
  Effect effect = [&](Fate) {
    Fabric& fabric = machine_.world().network();
    auto [host, service] = split_address(address);
    if (service.empty()) return Status::invalid;
    if (service == "0") service = fabric.any_port(machine_.host());
    if (fabric.listeners().contains({machine_.host().id(), service})) return Status::busy;
    const io::Address taken = host.empty() ? service : address.substr(0, address.rfind(':') + 1) + service;
    listener = std::make_unique<SimListener>(machine_, taken, service);
    return Status::ok;
  };
  const Status status = co_await machine_.operate(std::chrono::microseconds(10), std::move(effect));
  if (status != Status::ok) co_return failure(status, address + ": " + std::string(name(status)));
  co_return std::move(listener);
}

// One attempt: the connection stands at the other side, or refused, or (nobody answered) timed_out at once.
Task<Status> SimNetwork::knock(Host& target, std::string service, uint64_t& connection) {
  Fabric& fabric = machine_.world().network();
  Host& self = machine_.host();
  Effect effect = [&](Fate) {
    if (!fabric.is_open(self, target) || !fabric.is_open(target, self)) return Status::timed_out;
    auto listener = fabric.listeners().find({target.id(), service});
    if (listener == fabric.listeners().end()) return Status::refused;
    const bool is_unix = service.starts_with("unix:");
    const io::Address to = is_unix ? service : target.name() + ":" + service;
    connection = fabric.connect(machine_, listener->second->machine(), to, is_unix).id;
    listener->second->arrived(connection);
    return Status::ok;
  };
  co_return co_await machine_.operate(fabric.trip(self, target), std::move(effect));
}

Task<Result<std::unique_ptr<io::Stream>>> SimNetwork::connect(io::Address address) {
  const auto [host, service] = split_address(address);
  Fabric& fabric = machine_.world().network();
  const bool is_here = host.empty() || host == "localhost" || host == "127.0.0.1" || host == "::1";
  Host* target = is_here ? &machine_.host() : fabric.find_host(host);
  uint64_t id = 0;
  Status status = target == nullptr ? Status::unreachable : Status::timed_out;
  for (int attempt = 0; attempt < 3 && status == Status::timed_out; ++attempt) {
    status = co_await knock(*target, service, id);
    if (status != Status::timed_out) break;
    Effect nothing = [](Fate) { return Status::timed_out; };
    status = co_await machine_.operate(std::chrono::seconds(attempt == 0 ? 1 : 2), std::move(nothing));
  }
  if (target != nullptr && (status == Status::ok || status == Status::refused)) {
    const Status outcome = status;
    Effect answer = [outcome](Fate) { return outcome; };
    status = co_await machine_.operate(fabric.trip(*target, machine_.host()), std::move(answer));
  } else if (target == nullptr) {
    Effect answer = [](Fate) { return Status::unreachable; };
    status = co_await machine_.operate(std::chrono::milliseconds(1), std::move(answer));
  }
  Fabric::Connection* connection = fabric.find(id);
  if (status == Status::ok && connection == nullptr) status = Status::refused;
  if (status != Status::ok) {
    const auto farewell = machine_.host().is_up() ? Fabric::Farewell::reset : Fabric::Farewell::silence;
    if (connection != nullptr) fabric.close(id, 0, farewell);
    co_return failure(status, address + ": " + std::string(name(status)));
  }
  std::unique_ptr<io::Stream> stream = std::make_unique<SimStream>(machine_, *connection, 0);
  co_return std::move(stream);
}

}  // namespace mars::sim
