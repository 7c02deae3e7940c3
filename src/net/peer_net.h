// PeerNet: this host's connections to all its peers. Listens, dials every member at all its addresses for ever, proves
// and checks identities, keeps exactly one Session per peer. Losing a connection is no event for the operator. Belongs
// to one reactor. start() once; stop() once, awaited before it dies.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/list.h"
#include "base/prng.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "format/values.h"
#include "io/machine.h"
#include "net/admission.h"
#include "net/channel.h"
#include "net/handshake.h"
#include "net/services.h"
#include "net/session.h"

namespace mars::net {

// Somebody to keep a session with.
struct Member {
  Uuid host;
  std::string name;
  std::vector<io::Address> addresses;  // all are dialled, in this order, each time
};

// Whoever owns a PeerNet: answers its questions, hears its events. Called from the reactor.
class PeerOwner {
 public:
  virtual ~PeerOwner() = default;
  // Everybody to be dialled now, without this host, in a stable order.
  virtual std::vector<Member> members() = 0;
  // A session counts only while its host and key are in the member set.
  virtual bool is_member(const Uuid& host, const io::Sha256& key) = 0;
  // Goes out with our next hello, at most hello_extra_bytes_max; the peer finds it in Session::hello_extra().
  virtual Bytes hello_extra() = 0;
  // The session stays valid until on_session_down() for it has returned. Channels may be opened at once; a channel that
  // the peer opens reaches its handler after this call. Down comes before the next up of the same peer.
  virtual void on_session_up(Session& session) = 0;
  virtual void on_session_down(const Uuid& peer, const Error& reason) = 0;
  // Something that the operator must hear: a second live host with this id (R6).
  virtual void on_alarm(const Uuid& peer, const std::string& text) = 0;
  // Somebody called from this address and was turned away, because of what it is or says. Whoever calls may do so as
  // often as it likes, and parts of the text are its own words.
  virtual void on_refused(const io::Address& from, const Error& why) = 0;
};

struct PeerNetOptions {
  Uuid cluster;
  Uuid host;
  std::string name;
  Incarnation incarnation;
  io::TlsConfig tls;   // key, certificate, CA
  io::Address listen;  // "[::]:7790"; empty: dial only
  uint64_t seed = 0;   // of the jitter
  SessionTimes times;
  io::Duration reconnect_min = std::chrono::milliseconds(100);
  io::Duration reconnect_max = std::chrono::seconds(5);
  uint32_t handshakes_max = 32;  // incoming connections that are not admitted yet; for one more the oldest has to go
  uint32_t strangers_max = 8;    // sessions of hosts that want to join
  io::Duration stranger_limit = std::chrono::seconds(60);  // then such a session is closed
  io::Duration stranger_share = std::chrono::seconds(5);   // before, when others wait for its place
};

// What is known of one member, for status.
struct PeerView {
  Uuid host;
  std::string name;
  bool is_connected = false;
  io::Address address;          // of the session, or the last one dialled
  io::Instant last_heard = {};  // zero: never
  Incarnation incarnation;      // as last seen
  Error problem = Status::ok;   // why there is no session: how the last attempt ended
};

class PeerNet {
 public:
  PeerNet(io::Machine& machine, PeerNetOptions options, Services& services, PeerOwner& owner);
  PeerNet(const PeerNet&) = delete;
  PeerNet& operator=(const PeerNet&) = delete;
  ~PeerNet();

  // Listens and begins to dial. Fails when the address cannot be had.
  Task<Error> start();
  // Closes every session, waits for everything that runs here, handlers of services too. on_session_down is called.
  Task<void> stop();

  io::Address address() const;  // the one that was really taken; empty when not listening
  // The open session with this peer, or null. Do not keep it across a co_await.
  Session* find(const Uuid& peer);
  // The member set or an address changed: dials newcomers now, closes sessions with those who are members no more.
  void members_changed();
  std::vector<PeerView> peers() const;  // ordered by uuid

 private:
  class Door;
  // One member: the dialling of it and its session, if any.
  struct Peer {
    Peer(Ready& ready, Prng generator) : changed(ready), jitter(generator) {}
    Member member;
    bool is_wanted = false;        // a member now
    bool is_dialling = false;      // dial_loop runs
    Session* session = nullptr;    // the one that stays; may be closing
    uint64_t session_number = 0;   // of that one
    Session* announced = nullptr;  // the owner was told of it
    Claim claim;                   // of session
    bool is_second_watched = false;
    Notifier changed;  // any of the above, or something else to look at
    Prng jitter;
    io::Address address;
    io::Instant last_heard = {};
    Incarnation incarnation;
    Error problem = Status::ok;
  };

  Peer& peer_of(const Uuid& host);
  Introduction introduction(io::Side side) const;
  Claim claim_of(io::Side side, const format::Hello& hello) const;
  Error verdict(Peer& peer, const Claim& candidate);
  void refresh_members();

  Task<void> accept_loop();
  Task<void> receive(std::unique_ptr<io::Stream> stream);
  Task<void> dial_loop(Peer& peer);
  Task<Error> dial(Peer& peer, io::Address address);
  Task<Error> serve(Contact contact);
  Task<Error> run_announced(Peer& peer, Session& session);
  Task<void> serve_stranger(Contact contact);
  Task<void> watch_second(Peer& peer);

  io::Machine& machine_;
  const PeerNetOptions options_;
  Services& services_;
  PeerOwner& owner_;
  Scope scope_;
  Event stop_;
  Prng prng_;
  std::unique_ptr<io::Listener> listener_;
  Semaphore handshakes_;
  List<Door> dialled_;  // handshakes that go on, the oldest first
  List<Door> callers_;
  std::map<Uuid, std::unique_ptr<Peer>> peers_;
  std::vector<Session*> strangers_;
};

}  // namespace mars::net
