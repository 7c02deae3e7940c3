// NbdServer: serves block devices to NBD clients (fixed newstyle) on any number of addresses. NbdExport: one device of
// it, an origin of XIO requests with a Switch. Exports come and go while the server runs; all of one reactor.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/list.h"
#include "base/sync.h"
#include "base/task.h"
#include "brick/switch.h"
#include "front/nbd/budget.h"
#include "front/nbd/negotiator.h"
#include "io/machine.h"
#include "xio/request.h"

namespace mars::nbd {

class Connection;
class NbdServer;

struct NbdExportOptions {
  std::string description;
  bool is_read_only = false;  // a view
};

// One device. Button on: clients may connect, it is listed. Button off: no new ones; led_off when the last has gone.
// force_off: its connections are closed, and led_off follows when nothing of theirs is in flight below any more.
class NbdExport final : public brick::Switch {
 public:
  // `name`: the device's, unique in the server. The server and the brick below outlive it.
  NbdExport(NbdServer& server, std::string name, xio::Output& below, NbdExportOptions options = {});
  ~NbdExport() override;  // after led_off

  const std::string& name() const { return name_; }
  const std::string& description() const { return options_.description; }
  // A client is connected. One that has gone may have requests that are not answered yet.
  bool is_in_use() const { return client_count() > 0; }
  size_t client_count() const;
  size_t connection_count() const { return connection_count_; }
  // From the press of the button on nobody comes in any more: who closes has seen that nobody was there.
  bool takes_clients() const { return button() && led_on(); }
  // Where its requests begin; for Graph::add_origin.
  xio::Edge& below() { return below_; }
  Shape shape() const { return shape_of(below_.info(), options_.is_read_only); }

 private:
  friend Connection;
  friend NbdServer;
  void enter(xio::Request& request) { below_.enter(request); }
  void left(xio::Request& request);
  void join(Connection& connection);
  void leave(Connection& connection);
  void on_button() override;

  NbdServer& server_;
  const std::string name_;
  const NbdExportOptions options_;
  xio::Input<> below_;
  List<Connection> connections_;
  size_t connection_count_ = 0;
};

struct NbdOptions {
  uint32_t connections_max = 64;          // at one address, whoever calls at another; more wait in the kernel
  uint32_t requests_max = 256;            // in flight per connection; more are not read
  uint64_t payload_bytes_max = 8u << 20;  // of own buffers in use per connection, beside a request that is longer
  uint64_t memory_bytes = 64u << 20;      // of own buffers in use by all connections; at least 8 MiB
  io::Duration handshake_limit = std::chrono::seconds(30);
  // With a client that holds memory: that sends nothing of what it announced, or that takes nothing of its answers
  // while others have no memory at all.
  io::Duration silence_limit = std::chrono::seconds(30);
  // What the client of a name that is not open here is told: who is primary, or that there is no such device.
  std::function<std::string(std::string_view name)> why_not;
  // What an operator wants to know.
  std::function<void(const std::string& event)> tell;
};

class NbdServer final : public Catalogue {
 public:
  NbdServer(io::Machine& machine, NbdOptions options);
  NbdServer(const NbdServer&) = delete;
  NbdServer& operator=(const NbdServer&) = delete;
  ~NbdServer() override;  // after stop() has returned and all exports are gone

  // "unix:/path" with the socket's mode, or host:port. With `tls` a client must upgrade before anything else, by a
  // certificate of role client; without it everybody who can connect is served.
  Task<Error> listen(io::Address address, uint32_t mode = 0600, std::optional<io::TlsConfig> tls = std::nullopt);
  // Closes listeners and all connections, waits until nothing of theirs is in flight.
  Task<void> stop();

  std::vector<io::Address> addresses() const;
  NbdExport* find_export(std::string_view name) const;
  bool has_export(std::string_view name) const;  // open or not
  bool is_in_use(std::string_view name) const;
  size_t connection_count() const { return connections_; }

  // Catalogue: what is switched on.
  std::vector<std::string> names() const override;
  std::optional<Shape> find(std::string_view name) const override;
  std::string description(std::string_view name) const override;
  std::string why_not(std::string_view name) const override;

 private:
  friend NbdExport;
  friend Connection;
  struct Door;
  Task<void> accept_loop(Door& door);
  Task<void> serve(std::unique_ptr<io::Stream> stream, Door& door);
  io::Instant make_room();
  void tell(const std::string& event) const;

  io::Machine& machine_;
  const NbdOptions options_;
  Scope scope_;
  Event stop_;
  std::vector<std::unique_ptr<Door>> doors_;
  std::map<std::string, NbdExport*, std::less<>> exports_;
  Budget budget_;
  io::Instant room_made_ = io::Instant::min();
  size_t connections_ = 0;
};

}  // namespace mars::nbd
