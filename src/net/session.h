// Session: one authenticated connection between two hosts after its handshake; carries channels. It ends when the
// connection breaks, when the peer is silent, when somebody breaks the protocol or closes it; all its channels end with
// it. Made, owned and run by PeerNet (or Joiner); belongs to one reactor.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/list.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "format/frame.h"
#include "io/machine.h"
#include "net/channel.h"
#include "net/frame_reader.h"
#include "net/handshake.h"
#include "net/outbox.h"
#include "net/services.h"

namespace mars::net {

struct SessionTimes {
  io::Duration keep_alive = std::chrono::seconds(2);
  io::Duration silent_after =
      std::chrono::seconds(6);  // nothing was heard for so long: closed ("does not answer" in T8)
  io::Duration handshake = std::chrono::seconds(10);
  io::Duration farewell = std::chrono::seconds(1);  // for the reason to go out when we close
};

inline constexpr size_t channels_max = 4096;  // open at once, per session and opening side
// Messages that wait for the connection, of all channels together; one more that is longer than that is taken. Beyond
// it channels wait. Small messages, so that they may overtake, have as much of their own. Credit does not bound this: a
// peer grants as much as it likes and reads when it likes.
inline constexpr uint64_t outbox_bytes_max = 16u << 20;

// What a peer may have under way to us on all the channels that it has opened, and we have not read: much more than
// anybody needs there, and much less than all their windows.
inline constexpr uint64_t unread_bytes_max = 16u << 20;

class Session {
 public:
  // `handlers` runs what services answer with; it outlives the session.
  Session(io::Machine& machine, const SessionTimes& times, Services& services, Scope& handlers, Contact contact);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  const Uuid& peer() const { return peer_; }                     // nil: a stranger
  const format::Hello& hello() const { return contact_.hello; }  // the peer's: name, incarnation, versions
  const Bytes& hello_extra() const { return contact_.extra; }    // what the peer's owner put into its hello
  const io::PeerIdentity& identity() const { return contact_.identity; }
  uint16_t version() const { return contact_.version; }  // agreed
  bool is_dialled_here() const { return contact_.side == io::Side::client; }
  io::Address remote_address() const { return contact_.stream->remote_address(); }
  io::Address local_address() const { return contact_.stream->local_address(); }

  bool is_open() const { return !closed_.is_set(); }
  // Opens a channel; never null, never waits. Not possible (session closed, too many): it is born closed, receive()
  // says why. `window`: what the peer may have under way to us. `opening`: at most opening_bytes_max.
  std::unique_ptr<Channel> open(ServiceId service, Bytes opening, uint32_t window = window_default);
  // Tells the peer why, ends all channels now. Idempotent; the first reason stays.
  void close(Error reason);

  io::Instant last_heard() const { return last_heard_; }
  io::Instant began() const { return began_; }
  io::Duration round_trip() const { return round_trip_; }  // of the latest keep-alive; zero: none yet
  uint64_t bytes_received() const { return bytes_received_; }
  size_t channel_count() const { return lanes_.size(); }
  uint64_t waiting_bytes() const { return outbox_.message_bytes(); }  // of messages, for the connection

  // For the owner: runs it; returns when it is closed and says why. Then finish() waits for what is still pending.
  Task<Error> run();
  Task<void> finish();

 private:
  friend class Channel;
  struct Lane : Outbox::Lane {
    using Outbox::Lane::Lane;
    Channel* channel = nullptr;  // null: closed here, the peer's close has not come yet
    bool peer_closed = false;
  };

  // For a message of so many bytes now: each channel in its turn.
  bool has_room(const Channel& channel, size_t bytes);
  void queue_for_room(Channel& channel, size_t bytes);
  void offer_room();
  void send_message(Channel& channel, Bytes message);
  void grant(Channel& channel, uint32_t bytes);
  void note_held(const Channel& channel, uint64_t before, uint64_t now);
  void close_channel(Channel& channel, const Error& reason);

  Task<void> read_loop();
  Task<void> write_loop();
  void on_unreadable(const Error& error);
  void tick();
  Error dispatch(const Frame& frame);
  Error on_open(const Frame& frame);
  Error on_pong(const Frame& frame);
  Error on_channel_frame(const Frame& frame);
  Error refuse_channel(Lane& lane, const Error& why);
  void on_close(Lane& lane, const format::Farewell& farewell);
  void retire_if_done(uint32_t id);

  io::Machine& machine_;
  const SessionTimes times_;
  Services& services_;
  Scope& handlers_;
  Contact contact_;
  const Uuid peer_;
  Scope scope_;
  Outbox outbox_;
  List<Channel> await_room_;  // channels with credit
  List<Channel> await_room_small_;
  Notifier work_;  // something stands in the outbox
  Event closed_;
  Error reason_ = Status::ok;
  bool lingers_ = true;  // once closed: the peer shall read why
  io::Timer tick_;
  std::map<uint32_t, std::unique_ptr<Lane>> lanes_;
  uint32_t next_id_;  // of a channel that we open
  uint32_t peer_last_id_ = 0;
  size_t opened_here_ = 0;  // lanes, by who opened them
  size_t opened_there_ = 0;
  const io::Instant began_;
  io::Instant last_heard_;
  io::Instant last_ping_ = {};
  io::Duration round_trip_ = {};
  uint64_t unread_bytes_ = 0;  // cost of what has come, or begun to come, on channels of the peer
  uint64_t bytes_received_ = 0;
};

}  // namespace mars::net
