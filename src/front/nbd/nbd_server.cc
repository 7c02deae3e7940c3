#include "front/nbd/nbd_server.h"

#include <algorithm>
#include <utility>

#include "front/nbd/connection.h"

namespace mars::nbd {
namespace {

constexpr uint64_t memory_bytes_min = 8u << 20;
constexpr io::Duration cut_interval = std::chrono::seconds(1);  // by then the memory of the last one is back

}  // namespace

NbdExport::NbdExport(NbdServer& server, std::string name, xio::Output& below, NbdExportOptions options)
    : Switch(server.machine_.ready()),
      server_(server),
      name_(std::move(name)),
      options_(std::move(options)),
      below_(xio::On<&NbdExport::left>{}, this, nullptr, below) {
  CHECK(!name_.empty() && server_.exports_.try_emplace(name_, this).second);
}

NbdExport::~NbdExport() {
  CHECK(connection_count_ == 0);
  server_.exports_.erase(name_);
}

void NbdExport::left(xio::Request& request) {
  Piece& piece = static_cast<Piece&>(request);
  piece.connection->on_left(piece);
}

void NbdExport::join(Connection& connection) {
  connection.unlink();
  connections_.push_back(connection);
  ++connection_count_;
}

size_t NbdExport::client_count() const {
  return connections_.count_if([](const Connection& connection) { return !connection.has_client_left(); });
}

void NbdExport::leave(Connection& connection) {
  connection.unlink();
  look_again();
  --connection_count_;
}

void NbdExport::on_button() {
  if (button()) return light(Led::on);
  // Who has left and reads nothing would keep the device for ever, and is nobody's user.
  connections_.for_each([this](Connection& connection) {
    if (is_forced() || connection.is_deaf()) connection.close();
  });
  light(connection_count_ == 0 ? Led::off : Led::dark);
}

struct NbdServer::Door {
  Door(std::unique_ptr<io::Listener> at, std::optional<io::TlsConfig> with, Ready& ready, uint32_t places_max)
      : listener(std::move(at)), tls(std::move(with)), places(ready, places_max) {}
  std::unique_ptr<io::Listener> listener;
  std::optional<io::TlsConfig> tls;
  Semaphore places;
  List<Connection> newcomers;  // that have no export yet
};

NbdServer::NbdServer(io::Machine& machine, NbdOptions options)
    : machine_(machine),
      options_(std::move(options)),
      scope_(machine.ready()),
      stop_(machine.ready()),
      budget_(machine.ready(), std::max(options_.memory_bytes, memory_bytes_min)) {}

NbdServer::~NbdServer() { CHECK(exports_.empty()); }

bool NbdServer::has_export(std::string_view name) const { return exports_.contains(name); }

Task<Error> NbdServer::listen(io::Address address, uint32_t mode, std::optional<io::TlsConfig> tls) {
  Result<std::unique_ptr<io::Listener>> listener = co_await machine_.network().listen(address, mode);
  if (!listener) {
    co_return Error(listener.error().status,
                    "cannot listen for NBD clients at " + address + ": " + listener.error().text);
  }
  doors_.push_back(
      std::make_unique<Door>(std::move(*listener), std::move(tls), machine_.ready(), options_.connections_max));
  scope_.spawn(accept_loop(*doors_.back()));
  co_return Status::ok;
}

Task<void> NbdServer::stop() {
  stop_.set();
  for (auto& door : doors_) {
    door->listener->close();
    door->newcomers.for_each([](Connection& connection) { connection.close(); });
  }
  for (auto& [name, one] : exports_) {
    one->connections_.for_each([](Connection& connection) { connection.close(); });
  }
  co_await scope_.join();
}

// Whoever calls and asks for no export keeps nobody out: when all places are taken, the one that has been at it for
// longest goes.
Task<void> NbdServer::accept_loop(Door& door) {
  while (!stop_.is_set()) {
    Result<std::unique_ptr<io::Stream>> stream = co_await door.listener->accept();
    if (stop_.is_set() || (!stream && stream.error().status == Status::gone)) break;
    if (!stream) {
      co_await io::sleep_for(machine_, std::chrono::milliseconds(100), stop_);  // out of descriptors, for example
      continue;
    }
    if (!door.places.try_acquire(1)) {
      Yield yield(machine_.ready());
      co_await yield;  // those that were accepted just now stand in the list then
      if (!door.newcomers.empty()) door.newcomers.front().close();
      co_await door.places.acquire();
    }
    scope_.spawn(serve(std::move(*stream), door));
  }
}

Task<void> NbdServer::serve(std::unique_ptr<io::Stream> stream, Door& door) {
  {
    Connection connection(*this, std::move(stream), door.tls, door.newcomers);
    ++connections_;
    if (stop_.is_set()) connection.close();
    co_await connection.run();
    --connections_;
  }
  door.places.release(1);
}

// Somebody has no memory and there is none: the client that has let its answers lie for longest goes, if that was long
// enough. Returns when to look again.
io::Instant NbdServer::make_room() {
  const io::Instant now = machine_.now();
  if (room_made_ > now - cut_interval) return room_made_ + cut_interval;
  Connection* slowest = nullptr;
  for (auto& [name, one] : exports_) {
    one->connections_.for_each([&](Connection& connection) {
      if (!connection.holds_up_since()) return;
      if (slowest == nullptr || *connection.holds_up_since() < *slowest->holds_up_since()) slowest = &connection;
    });
  }
  if (slowest == nullptr) return now + options_.silence_limit;
  const io::Instant limit = *slowest->holds_up_since() + options_.silence_limit;
  if (now < limit) return limit;
  room_made_ = now;
  slowest->cut("does not take its answers, and others wait for the memory");
  return now + cut_interval;
}

void NbdServer::tell(const std::string& event) const {
  if (options_.tell) options_.tell(event);
}

std::vector<io::Address> NbdServer::addresses() const {
  std::vector<io::Address> addresses;
  for (const auto& door : doors_) addresses.push_back(door->listener->address());
  return addresses;
}

NbdExport* NbdServer::find_export(std::string_view name) const {
  auto found = exports_.find(name);
  return found == exports_.end() || !found->second->takes_clients() ? nullptr : found->second;
}

bool NbdServer::is_in_use(std::string_view name) const {
  auto found = exports_.find(name);
  return found != exports_.end() && found->second->is_in_use();
}

std::vector<std::string> NbdServer::names() const {
  std::vector<std::string> names;
  for (const auto& [name, one] : exports_) {
    if (one->takes_clients()) names.push_back(name);
  }
  return names;
}

std::optional<Shape> NbdServer::find(std::string_view name) const {
  const NbdExport* one = find_export(name);
  return one != nullptr ? std::optional(one->shape()) : std::nullopt;
}

std::string NbdServer::description(std::string_view name) const {
  const NbdExport* one = find_export(name);
  return one != nullptr ? one->description() : std::string();
}

std::string NbdServer::why_not(std::string_view name) const {
  if (options_.why_not) return options_.why_not(name);
  return "no device is open here under the name " + std::string(name);
}

}  // namespace mars::nbd
