// Cluster: this host as a member: its registers, its connections, its replicas. Made when the host has an identity; one
// per Node. start() once, stop() once.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bricks/pool.h"
#include "meta/registers.h"
#include "net/peer_net.h"
#include "node/events.h"
#include "node/identity.h"
#include "node/invitations.h"
#include "node/members.h"
#include "node/options.h"
#include "node/places.h"
#include "node/resources.h"

namespace mars::node {

inline constexpr net::ServiceId registers_service = 2;  // the exchange of metadata (R4)

// Whether nobody else listens there; an empty address: nobody is to.
Task<Result<void>> may_listen(io::Machine& machine, io::Address listen);
// The registers that a host which joins has been given; before it has an identity.
Task<Result<void>> prime_registers(io::Machine& machine, Places places, Uuid host, std::vector<format::Delta> deltas);

class Cluster final : public net::PeerOwner {
 public:
  struct Parts {
    io::Machine& machine;
    const Options& options;
    const Places& places;
    bricks::Pool& pool;
    DeviceMaker& devices;
    Events& events;
    Notifier& changed;
  };
  // `commands`: what peers ask this host to do (node/forwarding.h).
  Cluster(Parts parts, Identity identity, net::Handler commands);
  ~Cluster() override;

  Task<Result<void>> start();
  // Devices and replicas first, then the connections, then the registers. Also after a start() that failed.
  Task<void> stop();

  const Identity& identity() const { return identity_; }
  meta::Registers& registers() { return *registers_; }
  const meta::Registers& registers() const { return *registers_; }
  Resources& resources() { return *resources_; }
  const Resources& resources() const { return *resources_; }
  Invitations& invitations() { return invitations_; }
  net::PeerNet& net() { return *net_; }
  const net::PeerNet& net() const { return *net_; }
  bool is_stuck() const { return resources_ != nullptr && resources_->is_stuck(); }
  uint64_t written_bytes() const { return resources_ == nullptr ? 0 : resources_->written_bytes(); }
  bool was_cut_off() const { return resources_ != nullptr && resources_->was_cut_off(); }
  // Of the marsd that was heard last on that member; empty: none since our start.
  std::string version_of(const Uuid& peer) const;
  // Why no register is written any more, and what to do; empty while they are.
  std::string store_problem() const;
  std::vector<std::string> alarms() const;  // that were raised in the last minutes

  // net::PeerOwner
  std::vector<net::Member> members() override;
  bool is_member(const Uuid& host, const io::Sha256& key) override;
  net::Bytes hello_extra() override;
  void on_session_up(net::Session& session) override;
  void on_session_down(const Uuid& peer, const Error& reason) override;
  void on_alarm(const Uuid& peer, const std::string& text) override;
  void tell_of_stranger(std::string text, const std::string& hint);
  void on_refused(const io::Address& from, const Error& why) override;

 private:
  Task<Result<void>> open_registers();
  Task<Status> introduce_self();
  Task<Result<void>> open_net();
  void add_services();
  Task<void> join_service(std::unique_ptr<net::Channel> channel, net::Bytes opening);
  Task<void> keep_exchanging(Uuid peer);
  Task<void> exchange_service(std::unique_ptr<net::Channel> channel);
  Task<void> converse(std::unique_ptr<net::Channel> channel);

  const Parts parts_;
  const Identity identity_;
  Invitations invitations_;
  std::unique_ptr<meta::Registers> registers_;
  std::unique_ptr<meta::Subscription> watch_;
  bool is_store_new_ = false;
  std::unique_ptr<Resources> resources_;
  net::Services services_;
  std::unique_ptr<net::PeerNet> net_;
  std::map<std::string, io::Instant> alarms_;  // and when each was raised last
  std::map<Uuid, std::string> versions_;       // of members
  std::map<Uuid, uint64_t> session_numbers_;   // of members: how many there were
  Event stop_;
  std::map<std::string, io::Instant> refusals_;  // what was said of strangers, and when
  Scope scope_;                                  // of channels that this host opened
};

}  // namespace mars::node
