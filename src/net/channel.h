// Channel: one ordered conversation of whole messages inside a Session. Opened by either side for a service; many share
// one connection without holding each other up. What is under way to a side is bounded by the window which that side
// granted, counted in bytes (message_cost of each message), so a slow reader costs at most one window of memory on
// either side; what all of a session have to send has a bound of its own (outbox_bytes_max). Belongs to one reactor.
// Owned by whoever opened or accepted it; destroying it closes it. It may outlive its session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "base/list.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "format/values.h"

namespace mars::net {

using Bytes = std::vector<std::byte>;
using ServiceId = uint16_t;  // which conversation a channel is for; the numbers are those of the node's table

inline constexpr ServiceId join_service = 1;          // the only one that a stranger may open
inline constexpr uint32_t window_default = 1u << 20;  // bytes
inline constexpr uint32_t window_min = 64u << 10;
inline constexpr uint32_t window_max = 64u << 20;
inline constexpr uint32_t opening_bytes_max = 64u << 10;    // payload of an opening
inline constexpr uint32_t fragment_bytes_max = 256u << 10;  // longer messages go in pieces, between those of others

// What a message takes of the window: its bytes and something for the administration, so that empty ones are bounded
// too.
constexpr uint64_t message_cost(size_t bytes) { return bytes + 64; }

class Session;

class Channel : public ListHook {
 public:
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();  // with no receive or send pending

  // The next message. One call may be pending. When no more can come: end (the peer closed, and all that it sent was
  // handed out), the peer's refusal or reason with its text, gone (the session ended, or closed here).
  Task<Result<Bytes>> receive();
  // The next message if it is here already.
  std::optional<Bytes> try_receive();
  // Returns when the message stands in the queue to the network, after waiting for credit, and for room in the session
  // where the peer reads slowly (all channels share it, each in its turn). Several calls may wait;
  // their order is kept. invalid: larger than message_bytes_max(). gone: closed by either side, or the session ended.
  Task<Status> send(Bytes message);
  // Queues the message now if there is credit and room and nobody waits for some; else false and the message stays.
  bool try_send(Bytes& message);
  // What was sent before still goes out; what was received and not read is thrown away. Pending calls return gone.
  // The peer reads what is queued, then `end`, or this reason when it is another than ok. Idempotent.
  void close(Error reason = Status::ok);

  bool is_open() const { return session_ != nullptr; }  // neither side closed it and the session lives
  const Uuid& peer() const { return peer_; }            // nil: a stranger, or the host that a joiner talks to
  ServiceId service() const { return service_; }
  Session* session() { return session_; }  // null when it is not open
  // Largest message that the peer's window takes; 0 until the peer has accepted the channel.
  size_t message_bytes_max() const;
  size_t partial_bytes() const { return partial_.size(); }  // of a message that has not come whole yet
  uint64_t held_cost() const { return held_cost_; }         // of what waits to be read; at most our window

 private:
  friend class Session;
  Channel(Session* session, Ready& ready, uint32_t id, ServiceId service, const Uuid& peer, uint32_t window);

  // From the session. False: the peer broke the rules of credit.
  bool on_granted(uint32_t bytes);
  bool on_fragment(std::span<const std::byte> payload);
  // Nothing more comes or goes; what has come whole can still be read.
  void on_end(Error reason);

  bool has_credit(size_t bytes) const { return credit_ >= message_cost(bytes); }  // none before acceptance
  void hand_over(Bytes message);
  void hold(uint64_t cost);
  Bytes take_message();

  Session* session_;
  const uint32_t id_;
  const ServiceId service_;
  const Uuid peer_;
  const uint32_t window_;       // ours: what the peer may have under way to us
  std::deque<Bytes> messages_;  // whole ones
  Bytes partial_;               // the message whose fragments are coming
  size_t partial_missing_ = 0;
  uint64_t held_cost_ = 0;  // of messages_ and of the whole of partial_; written by hold()
  uint64_t owed_ = 0;       // cost of what was read and not yet granted again
  Notifier arrived_;
  Semaphore turn_;            // of those who send
  Notifier granted_;          // credit has come, or room
  uint64_t credit_ = 0;       // what we may still send
  uint64_t peer_window_ = 0;  // 0 until accepted
  bool receiving_ = false;
  Error reason_ = Status::ok;  // why it is not open
};

}  // namespace mars::net
