// The network of a World. Fabric: the links between hosts and the connections on them. SimNetwork: one process's view,
// as an io::Network. A host is addressed by its name ("b:7790"); a listener may say "[::]:7790".
//
// A connection behaves as TCP does: bytes arrive once, in order, in pieces of any size. While a link is cut nothing
// moves; after heal() it goes on (later by a retransmission time), or the sender has given up meanwhile (patience): its
// end is broken, the other end hears of it only when it sends. A killed process ends or resets its connections at once;
// a host that lost power is silent, and answers with a reset once it is up again. Unix sockets know neither links nor
// cuts.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "io/network.h"
#include "sim/host.h"
#include "sim/machine.h"

namespace mars::sim {

class SimListener;
class SimStream;

struct LinkOptions {
  io::Duration latency = std::chrono::microseconds(200);
  io::Duration jitter = std::chrono::microseconds(100);
  uint64_t bytes_per_second = 1'000'000'000;
};

class Fabric {
 public:
  Fabric(World& world, Prng prng) : world_(world), prng_(prng) {}
  ~Fabric();

  // Between two hosts, by name, in both directions.
  void set_link(const std::string& a, const std::string& b, LinkOptions options);
  void cut(const std::string& a, const std::string& b);
  void heal(const std::string& a, const std::string& b);
  void cut_one_way(const std::string& from, const std::string& to);
  void heal_one_way(const std::string& from, const std::string& to);
  // The host and everybody else.
  void isolate(const std::string& host);
  void rejoin(const std::string& host);
  // Resets every connection between the two.
  void reset(const std::string& a, const std::string& b);
  // Breaks what `host` has with the other; the other end hears of it when it sends.
  void reset_one_end(const std::string& host, const std::string& other);
  // How long a sender whose bytes do not arrive keeps trying (15 s).
  // The n-th delivery between hosts from now on (1 = the next) is lost for good, and its connection with it: as if the
  // path had gone at this moment, and both ends had given up.
  void lose_delivery(uint64_t n) { lose_at_ = delivery_count_ + n; }
  uint64_t delivery_count() const { return delivery_count_; }
  uint64_t bytes_delivered(const std::string& from, const std::string& to);
  size_t connection_count() const { return connections_.size(); }

  // For the other parts of sim/. Side 0 dialled, side 1 accepted.
  struct Segment {
    io::Instant arrival;
    std::vector<std::byte> bytes;  // empty: the end
    bool is_refusal = false;       // the end is a TLS alert: I do not accept you
  };
  struct Flow {  // what one end sent
    std::deque<Segment> wire;
    bool is_moving = false;   // a delivery is scheduled
    bool is_stalled = false;  // the link is cut or the host silent
    bool is_credit_moving = false;
    bool is_credit_stalled = false;
    uint64_t sent = 0;
    uint64_t consumed = 0;  // by the reader at the other end
    uint64_t credited = 0;  // of that, as far as the sender knows
    uint64_t progress = 0;
    io::Instant last_arrival = {};
  };
  struct End {
    SimMachine* machine = nullptr;
    SimStream* stream = nullptr;  // null before accept and after the stream died
    io::Address address;
    bool is_open = true;      // its process has it
    bool is_broken = false;   // reset, or given up
    bool is_refused = false;  // the end that arrived was an alert
    bool has_ended = false;   // the other end's end arrived
    std::vector<std::byte> inbox;
    size_t inbox_begin = 0;  // what lies before was read
    std::span<const std::byte> unread() const { return std::span(inbox).subspan(inbox_begin); }
    Flow out;
  };
  struct Connection {
    uint64_t id = 0;
    bool is_unix = false;
    End ends[2];
  };
  static constexpr uint64_t window_bytes = 1 << 20;

  void add_host(Host& host);
  void host_came_up(Host& host);
  Host* find_host(const std::string& name);
  bool is_open(Host& from, Host& to);  // the link is whole and the target has power
  io::Duration trip(Host& from, Host& to);
  Connection& connect(SimMachine& client, SimMachine& server, const io::Address& to, bool is_unix);
  Connection* find(uint64_t id);
  void send(Connection& connection, int side, std::vector<std::byte> bytes, bool is_refusal = false);
  void consumed(Connection& connection, int side, uint64_t bytes);
  // The end's process lets go of it: by an end behind what it sent, by a reset, or (its host is dead) by silence.
  enum class Farewell : uint8_t { end, refusal, reset, silence };
  void close(uint64_t id, int side, Farewell farewell);
  std::map<std::pair<uint32_t, std::string>, SimListener*>& listeners() { return listeners_; }
  std::string any_port(Host& host) { return std::to_string(40000 + next_port_[host.id()]++); }

 private:
  struct Link {
    LinkOptions options;
    bool is_cut = false;
    io::Instant busy_until = {};
    uint64_t delivered = 0;
  };
  Link& link(Host& from, Host& to) { return links_[{from.id(), to.id()}]; }
  Link& link(const std::string& from, const std::string& to);
  std::vector<uint64_t> between(const std::string& a, const std::string& b);
  Host& sender(Connection& connection, int side);
  Host& receiver(Connection& connection, int side) { return sender(connection, 1 - side); }
  void move(Connection& connection, int side);
  void deliver(uint64_t id, int side);
  void credit(uint64_t id, int side);
  void stall(Connection& connection, int side);
  void kick();
  void break_end(uint64_t id, int side);
  void send_reset(Connection& connection, int to_side);
  void forget_if_closed(uint64_t id);

  World& world_;
  Prng prng_;
  static constexpr io::Duration patience = std::chrono::seconds(15);
  std::map<std::string, Host*> hosts_;
  std::map<std::pair<uint32_t, uint32_t>, Link> links_;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::map<std::pair<uint32_t, std::string>, SimListener*> listeners_;  // (host, port or "unix:path")
  std::map<uint32_t, uint32_t> next_port_;
  uint64_t next_id_ = 1;
  uint64_t delivery_count_ = 0;
  uint64_t lose_at_ = 0;  // 0: none
};

class SimNetwork : public io::Network {
 public:
  explicit SimNetwork(SimMachine& machine) : machine_(machine) {}
  Task<Result<std::unique_ptr<io::Listener>>> listen(io::Address address, uint32_t mode) override;
  Task<Result<std::unique_ptr<io::Stream>>> connect(io::Address address) override;

 private:
  Task<Status> knock(Host& target, std::string service, uint64_t& connection);

  SimMachine& machine_;
};

// "host:port" -> both parts, brackets removed; "unix:/path" -> {"", all of it}.
std::pair<std::string, std::string> split_address(const io::Address& address);

}  // namespace mars::sim
