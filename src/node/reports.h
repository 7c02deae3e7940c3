// Reports: what hosts say to each other about their replicas (T10), and the board on which everything stands that was
// heard. One channel per session; both sides send the reports of all their replicas when it begins and each again when
// it changed: what decides something at once, positions at most every interval.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/sync.h"
#include "base/task.h"
#include "io/machine.h"
#include "net/channel.h"
#include "replication/report.h"

namespace mars::node {

// Whoever has the replicas.
class ReportOwner {
 public:
  virtual ~ReportOwner() = default;
  // Of this host's replica now; nothing: it has none.
  virtual std::optional<replication::Report> local_report(const Uuid& resource) const = 0;
  virtual void on_report(const Uuid& peer, const replication::Report& report) = 0;
  // Something on the board is different, this host's reports included.
  virtual void on_board_changed() = 0;
};

class Reports {
 public:
  struct Heard {
    replication::Report report;
    io::Instant at = {};
    bool is_delivered = false;  // the owner's mark
    bool is_current = true;     // its connection still stands
  };
  static constexpr io::Duration interval = std::chrono::milliseconds(50);
  static constexpr io::Duration pause = std::chrono::milliseconds(5);  // between two looks at the own replicas
  static constexpr size_t resources_max = 20'000;                      // of one peer

  Reports(io::Machine& machine, ReportOwner& owner);
  void start();
  // After all conversations have ended.
  Task<void> stop();

  // This host's replica has changed, came or went.
  void local_changed(const Uuid& resource);
  // Until the channel ends; on either side.
  Task<void> converse(std::unique_ptr<net::Channel> channel);

  // What this host last said itself.
  const replication::Report* mine(const Uuid& resource) const;
  Heard* find(const Uuid& resource, const Uuid& host);
  const Heard* find(const Uuid& resource, const Uuid& host) const;
  // By uuid of the host; empty: nothing was heard.
  const std::map<Uuid, Heard>& of(const Uuid& resource) const;
  void forget(const Uuid& resource);
  void forget(const Uuid& resource, const Uuid& host);
  // What this host said is what was heard last, and no answer to anything any more.
  void on_peer_down(const Uuid& peer);

 private:
  struct Local {
    std::optional<replication::Report> report;  // nothing: withdrawn
    uint64_t version = 0;
    uint64_t urgent_version = 0;
  };
  struct Sending {
    std::map<Uuid, uint64_t> sent;  // version of each
    io::Instant last = {};
    Event ended;
    explicit Sending(Ready& ready) : ended(ready) {}
  };

  Task<void> look_loop();
  void look(const Uuid& resource);
  Task<void> send_loop(net::Channel& channel, Sending& sending);
  std::vector<Uuid> due(const Sending& sending, bool& is_more) const;
  Error take(const Uuid& peer, ByteView message);

  io::Machine& machine_;
  ReportOwner& owner_;
  std::map<Uuid, Local> local_;
  std::map<Uuid, std::map<Uuid, Heard>> board_;
  std::set<Uuid> to_look_;
  Event look_due_;
  Event stop_;
  Notifier changed_;  // of local_
  Scope scope_;
};

}  // namespace mars::node
