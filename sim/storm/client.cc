#include "sim/storm/client.h"

#include <algorithm>

#include "base/aligned.h"

namespace mars::sim {

using namespace std::chrono_literals;

namespace {
// A disk takes at most some milliseconds; whoever waited this long waited for somebody else.
constexpr io::Duration ack_max = 2s;
}  // namespace

// Nothing: the device is not open, or nobody knows its epoch.
std::optional<Client::Order> Client::order_for(const std::string& host) {
  replication::Replica* replica = stage_.replica(host);
  SimDevice* device = stage_.cluster.device(host, the_resource);
  if (replica == nullptr || device == nullptr || !device->is_open()) return std::nullopt;
  const replication::Report report = replica->report();
  if (!report.is_primary || report.branch.empty()) return std::nullopt;
  if (std::string wrong = stage_.history.learn(report.branch); !wrong.empty()) stage_.broke(wrong);
  const auto reign = stage_.history.number_of(report.branch.back().id);
  if (!reign) return std::nullopt;
  if (stage_.history.reign(*reign).host != stage_.id(host)) stage_.broke("P4: " + host + " writes in a foreign epoch");
  return Order{.host = host, .opening = device->open_count(), .reign = *reign};
}

Client::Order Client::draw(Order order, Prng& prng) const {
  const uint64_t choice = prng.below(100);
  order.kind = choice < 66   ? Kind::write
               : choice < 74 ? Kind::fua
               : choice < 76 ? Kind::zeroes
               : choice < 78 ? Kind::discard
               : choice < 85 ? Kind::flush
                             : Kind::read;
  // Pages mostly, single sectors, whole runs.
  const uint64_t shape = prng.below(8);
  const unsigned run = static_cast<unsigned>(prng.below(run_count)) * run_sectors;
  if (shape == 0) {
    order.first = run + static_cast<unsigned>(prng.below(run_sectors));
    order.count = static_cast<unsigned>(prng.between(1, run + run_sectors - order.first));
  } else if (shape == 1) {
    order.first = run;
    order.count = run_sectors;
  } else {
    order.first = run + 8 * static_cast<unsigned>(prng.below(run_sectors / 8));
    order.count = 8;
  }
  return order;
}

void Client::burst(Prng prng) {
  const std::vector<std::string> open = stage_.open_hosts();
  if (open.empty()) return;
  const auto base = order_for(open[prng.below(open.size())]);
  if (!base) return;
  const uint64_t count = prng.chance(1, 4) ? prng.between(1, 4) : prng.between(160, 480);
  SimMachine& machine = stage_.cluster.host(base->host).machine();
  for (uint64_t i = 0; i < count; ++i) begin(draw(*base, prng), machine);
  const size_t left = prng.chance(1, 3) ? in_flight_ / 2 : 0;
  stage_.cluster.world().run_until([&] { return in_flight_ <= left; }, 100ms);
}

void Client::read_back(Prng) {
  for (const std::string& host : stage_.open_hosts()) {
    auto order = order_for(host);
    if (!order) continue;
    SimMachine& machine = stage_.cluster.host(host).machine();
    order->kind = Kind::read;
    order->count = run_sectors;
    for (order->first = 0; order->first < sectors; order->first += run_sectors) begin(*order, machine);
  }
  stage_.cluster.world().run_until([&] { return in_flight_ == 0; }, 500ms);
}

void Client::begin(Order order, SimMachine& machine) {
  ++in_flight_;
  machine.scope().spawn(perform(std::move(order), machine));
}

// The device is asked for anew: it may have closed, and opened again in another epoch, since the order was given.
Task<void> Client::perform(Order order, SimMachine& machine) {
  SimDevice* device = stage_.cluster.device(order.host, the_resource);
  const bool is_same = device != nullptr && device->is_open() && device->open_count() == order.opening;
  if (is_same && machine.is_alive()) {
    const io::Instant begun = machine.now();
    Status status = Status::ok;
    switch (order.kind) {
      case Kind::flush:
        status = co_await flush(*device, order, machine);
        break;
      case Kind::read:
        status = co_await read(*device, order, machine);
        break;
      default:
        status = co_await write(*device, order, machine);
    }
    const io::Duration took = machine.now() - begun;
    const bool counts = status == Status::ok && machine.is_alive();
    if (counts) ++operations_;
    if (counts && took > ack_max && !stage_.is_late_allowed(order.host, begun)) {
      stage_.broke("P3: an operation on " + order.host + " took " + std::to_string(took.count() / 1'000'000) + " ms");
    }
  }
  --in_flight_;
}

Task<Status> Client::write(SimDevice& device, const Order& order, SimMachine& machine) {
  const bool is_zeroes = order.kind == Kind::zeroes || order.kind == Kind::discard;
  const uint32_t index = stage_.history.submit(order.reign, order.first, order.count, is_zeroes);
  Status status = Status::ok;
  if (order.kind == Kind::discard) {
    status = co_await device.discard(offset_of(order.first), uint64_t{order.count} * sector_bytes);
  } else if (is_zeroes) {
    status = co_await device.write_zeroes(offset_of(order.first), uint64_t{order.count} * sector_bytes);
  } else {
    AlignedBuffer buffer(size_t{order.count} * sector_bytes);
    stage_.history.fill(buffer.span(), order.reign, index);
    status = co_await device.write(offset_of(order.first), buffer.span(), order.kind == Kind::fua);
  }
  const bool is_ok = status == Status::ok && machine.is_alive();
  stage_.history.completed(order.reign, index, is_ok, order.kind == Kind::fua);
  co_return status;
}

Task<Status> Client::flush(SimDevice& device, const Order& order, SimMachine& machine) {
  const uint32_t before = stage_.history.acknowledged(order.reign);
  const Status status = co_await device.flush();
  if (status == Status::ok && machine.is_alive()) stage_.history.flushed(order.reign, before);
  co_return status;
}

Task<Status> Client::read(SimDevice& device, const Order& order, SimMachine& machine) {
  std::vector<std::optional<uint32_t>> floors;
  for (unsigned i = 0; i < order.count; ++i) {
    floors.push_back(stage_.history.last_acknowledged(order.reign, order.first + i));
  }
  AlignedBuffer buffer(size_t{order.count} * sector_bytes);
  const Status status = co_await device.read(offset_of(order.first), buffer.span());
  if (status != Status::ok || !machine.is_alive()) co_return status;
  for (unsigned i = 0; i < order.count; ++i) {
    const auto content = buffer.span().subspan(size_t{i} * sector_bytes, sector_bytes);
    const std::string wrong = stage_.history.check_read(order.reign, order.first + i, content, floors[i]);
    if (!wrong.empty()) stage_.broke(wrong + " (read on " + order.host + ")");
  }
  co_return status;
}

}  // namespace mars::sim
