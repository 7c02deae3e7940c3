// Environment: what a replica needs from the host that it lives on. Implemented by node/. All on one reactor.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bricks/pool.h"
#include "control/settings.h"
#include "control/view.h"
#include "format/values.h"
#include "io/machine.h"
#include "net/channel.h"
#include "replication/device.h"
#include "replication/memory.h"
#include "replication/room.h"

namespace mars::replication {

inline constexpr net::ServiceId report_service = 3;
inline constexpr net::ServiceId log_service = 4;
inline constexpr net::ServiceId sync_service = 5;
inline constexpr net::ServiceId handover_service = 6;

// The register "designated": who is to be primary, and which request of the operator asked for it.
struct Designated {
  Uuid host;            // nil: nobody
  Uuid request;         // nil: none
  std::string refusal;  // why the holder wrote it back to itself (T6)
  // By `primary --force`: that host reigns already, nobody has to hand over to it, and nobody takes the wish back
  // because it cannot be reached.
  bool is_forced = false;
  friend bool operator==(const Designated&, const Designated&) = default;
};

class Environment {
 public:
  virtual ~Environment() = default;

  virtual io::Machine& machine() = 0;
  virtual bricks::Pool& pool() = 0;
  virtual Uuid cluster() const = 0;
  virtual Uuid self() const = 0;
  virtual Incarnation incarnation() const = 0;
  virtual std::string host_name(const Uuid& host) const = 0;

  // Members of the resource, this host included, in the order of their uuids.
  virtual std::vector<Uuid> members(const Uuid& resource) const = 0;
  // Whom to hear before opening (T10), and for whom the log is kept (D15): members, and who was one when this host last
  // knew, as long as the registers do not know that he has left since.
  virtual std::vector<Uuid> awaited(const Uuid& resource) const = 0;
  virtual Designated designated(const Uuid& resource) const = 0;
  virtual Task<Status> designate(const Uuid& resource, Designated wish) = 0;
  // refused: another wish than `former` stands there by now, and stays.
  virtual Task<Status> redesignate(const Uuid& resource, Designated former, Designated wish) = 0;
  virtual control::Switches switches(const Uuid& resource) const = 0;
  virtual control::Settings settings(const Uuid& resource) const = 0;

  virtual bool is_connected(const Uuid& peer) const = 0;
  // Nothing when there is no session.
  virtual std::unique_ptr<net::Channel> open_channel(const Uuid& peer, net::ServiceId service, net::Bytes opening,
                                                     uint32_t window) = 0;
  // What members remember of each other's replicas, by who remembers: as registers, so that it is known before anybody
  // is reached. Nothing waits for them (R5).
  virtual std::map<Uuid, Memories> memories(const Uuid& resource) const = 0;
  virtual Task<Status> write_memories(const Uuid& resource, Memories memories) = 0;
  // The data disk of this host's replica was found under another path: the next start looks there, and status shows it.
  virtual Task<void> write_disk(const Uuid& resource, std::string path) = 0;
  // The log disk is shared with other resources: the most that one of them offers, of either kind; who has the longest
  // log; to ask for room, which returns at once; and that there is some, for all who wait.
  virtual RoomOffer room_beside(const Uuid& resource) const = 0;
  virtual LogBeside longest_log_beside(const Uuid& resource) const = 0;
  virtual void ask_for_room(const Uuid& resource, RoomRequest request) = 0;
  virtual void room_was_made() = 0;
  // The replica's report is to be sent again.
  virtual void report_changed(const Uuid& resource) = 0;
  // A line of history: who did what and why a state changed.
  virtual void event(const Uuid& resource, std::string text) = 0;
};

}  // namespace mars::replication
