#include "sim/stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "sim/host.h"
#include "sim/tls.h"
#include "sim/world.h"

namespace mars::sim {

SimStream::SimStream(SimMachine& machine, Fabric::Connection& connection, int side)
    : machine_(machine),
      id_(connection.id),
      side_(side),
      is_unix_(connection.is_unix),
      local_(connection.ends[side].address),
      remote_(connection.ends[1 - side].address),
      readable_(machine.ready()),
      writable_(machine.ready()) {
  connection.ends[side].stream = this;
  machine.mourn(*this);
}

SimStream::~SimStream() { close(); }

Fabric& SimStream::fabric() const { return machine_.world().network(); }

Fabric::Connection* SimStream::usable() const {
  if (is_closed_ || !machine_.is_alive()) return nullptr;
  Fabric::Connection* connection = fabric().find(id_);
  return connection == nullptr || connection->ends[side_].is_broken ? nullptr : connection;
}

bool SimStream::has_peer_left() const {
  const Fabric::Connection* connection = usable();
  return connection == nullptr || connection->ends[side_].has_ended;
}

Task<Result<size_t>> SimStream::read_some(std::span<std::byte> into) {
  for (;;) {
    Fabric::Connection* connection = usable();
    if (connection == nullptr) {
      co_await machine_.next_turn();
      co_return failure(Status::gone);
    }
    Fabric::End& end = connection->ends[side_];
    if (!end.unread().empty() && !into.empty()) {
      const size_t most = std::min(into.size(), end.unread().size());
      const size_t count = machine_.prng().chance(3, 4) ? most : machine_.prng().between(1, most);
      std::memcpy(into.data(), end.unread().data(), count);
      end.inbox_begin += count;
      fabric().consumed(*connection, 1 - side_, count);
      co_return count;
    }
    if (end.has_ended) co_return failure(end.is_refused ? Status::permission : Status::end);
    co_await readable_.wait();
  }
}

Task<Status> SimStream::write(std::span<const io::Buffer> buffers) {
  for (const io::Buffer& buffer : buffers) {
    for (size_t done = 0; done < buffer.bytes;) {
      Fabric::Connection* connection = usable();
      if (connection == nullptr) {
        co_await machine_.next_turn();
        co_return Status::gone;
      }
      const Fabric::Flow& flow = connection->ends[side_].out;
      const uint64_t room = Fabric::window_bytes - std::min(Fabric::window_bytes, flow.sent - flow.credited);
      if (room == 0) {
        co_await writable_.wait();
        continue;
      }
      const size_t count = std::min({buffer.bytes - done, static_cast<size_t>(room), size_t{64} << 10});
      std::vector<std::byte> bytes(buffer.data + done, buffer.data + done + count);
      fabric().send(*connection, side_, std::move(bytes));
      done += count;
    }
  }
  co_return usable() != nullptr ? Status::ok : Status::gone;
}

Task<Result<io::PeerIdentity>> SimStream::secure(io::TlsConfig config, io::Side side) {
  auto identity = co_await handshake(*this, std::move(config), side);
  if (identity) {
    peer_ = *identity;
  } else {
    const bool is_refused = identity.error().status == Status::permission && side == io::Side::server;
    leave(is_refused ? Fabric::Farewell::refusal : Fabric::Farewell::end);
  }
  co_return identity;
}

void SimStream::leave(Fabric::Farewell farewell) {
  if (is_closed_) return;
  is_closed_ = true;
  fabric().close(id_, side_, farewell);
  changed();
}

void SimStream::close() { leave(Fabric::Farewell::end); }

void SimStream::on_death() {
  if (!machine_.host().is_up()) return leave(Fabric::Farewell::silence);
  leave(machine_.prng().chance(1, 2) ? Fabric::Farewell::end : Fabric::Farewell::reset);
}

SimListener::SimListener(SimMachine& machine, io::Address address, std::string service)
    : machine_(machine), address_(std::move(address)), service_(std::move(service)), arrival_(machine.ready()) {
  machine_.world().network().listeners()[{machine_.host().id(), service_}] = this;
  machine_.mourn(*this);
}

void SimListener::close() {
  if (is_closed_) return;
  is_closed_ = true;
  Fabric& fabric = machine_.world().network();
  fabric.listeners().erase({machine_.host().id(), service_});
  const auto farewell = machine_.host().is_up() ? Fabric::Farewell::reset : Fabric::Farewell::silence;
  for (uint64_t connection : std::exchange(waiting_, {})) fabric.close(connection, 1, farewell);
  arrival_.notify();
}

Task<Result<std::unique_ptr<io::Stream>>> SimListener::accept() {
  for (;;) {
    if (is_closed_ || !machine_.is_alive()) {
      co_await machine_.next_turn();
      co_return failure(Status::gone);
    }
    if (!waiting_.empty()) {
      Fabric::Connection* connection = machine_.world().network().find(waiting_.front());
      waiting_.pop_front();
      if (connection == nullptr) continue;
      std::unique_ptr<io::Stream> stream = std::make_unique<SimStream>(machine_, *connection, 1);
      co_return std::move(stream);
    }
    co_await arrival_.wait();
  }
}

}  // namespace mars::sim
