// Resources: the replicas of this host, and what they need from it (replication::Environment). A file replica.json in
// the folder of each says that there is one: written last when it is made, removed first when it goes. What a crash in
// between leaves is rubbish that the next start removes: for that it must be told so, by a directory beside the folder.
// Registers follow; starting needs none of them (R5).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/sync.h"
#include "base/task.h"
#include "bricks/pool.h"
#include "meta/registers.h"
#include "net/peer_net.h"
#include "node/decoded_registers.h"
#include "node/events.h"
#include "node/identity.h"
#include "node/options.h"
#include "node/places.h"
#include "node/replica_file.h"
#include "node/reports.h"
#include "replication/replica.h"

namespace mars::node {

class Resources final : public replication::Environment, public ReportOwner {
 public:
  struct Parts {
    io::Machine& machine;
    const Options& options;
    const Places& places;
    const Identity& identity;
    meta::Registers& registers;
    bricks::Pool& pool;
    DeviceMaker& devices;
    Events& events;
    Notifier& changed;  // whatever commands wait for
    bool is_store_new;  // nothing was in the registers when marsd started
  };
  explicit Resources(Parts parts);
  ~Resources() override;

  // Finds the replicas and starts them, or goes on looking for what cannot be read.
  Task<Result<void>> open();
  // Why the log disk is not there; then no replica is started. Empty: it is.
  const std::string& log_problem() const { return log_problem_; }
  // Of resources that are not listed any more: deleted, and still in use here.
  std::vector<std::string> warnings() const;
  // `net` is there from now on; replicas hear of peers.
  void connect(net::PeerNet& net) { net_ = &net; }
  // Users of devices stay, but nobody new gets in; nothing waits for an instrument any more.
  Task<void> prepare_stop();
  // Devices that are not in use are closed now, others when they are free or after `stop_wait`; then the replicas stop.
  // They stay until finish().
  Task<void> stop(io::Duration stop_wait);
  uint64_t written_bytes() const;  // to the data disks, also of replicas that are being removed
  // Users of a device had to be cut off by stop().
  bool was_cut_off() const { return was_cut_off_; }
  // A disk did not answer: replicas still run, and the process can only be left as it is.
  bool is_stuck() const { return is_stuck_; }
  // When no conversation runs any more.
  Task<void> finish();

  Task<void> serve(net::ServiceId service, std::unique_ptr<net::Channel> channel, net::Bytes opening);
  Reports& reports() { return reports_; }
  DecodedRegisters& registers() { return registers_; }
  void on_peer_up(const Uuid& peer);
  void on_peer_down(const Uuid& peer);
  // Registers have changed.
  void on_registers() { due_.set(); }

  // Null: no replica here.
  replication::Replica* find(const Uuid& resource);
  const ReplicaFile* file(const Uuid& resource) const;
  std::vector<Uuid> ids() const;
  // After finish(): some replica has not ended cleanly, and will ask the pool what it had acknowledged.
  bool needs_pool() const { return needs_pool_; }
  // There is a replica here, or what is left of one is being removed.
  bool has_traces(const Uuid& resource) const {
    return hosted_.contains(resource) || removing_.contains(resource) || occupied_.contains(resource);
  }
  bool is_leaving(const Uuid& resource) const {
    const auto its = occupied_.find(resource);
    return its != occupied_.end() && its->second.is_leaving;
  }
  // Why files of a resource that has gone are still there; empty: they are not. The next start removes them.
  std::string leftovers(const Uuid& resource) const {
    const auto found = leftovers_.find(resource);
    return found == leftovers_.end() ? std::string() : found->second;
  }
  // Whether make() would be refused. `geometry`: of the disk as it was looked at.
  Result<void> may_make(const ReplicaFile& file, const io::Geometry& geometry) const;
  // Makes the files, then tells the cluster. Errors leave nothing but rubbish.
  Task<Result<void>> make(ReplicaFile file, io::Geometry geometry);
  struct Leaving {
    bool is_done = false;
    Result<void> result;
  };
  // Gives the replica up: its log and state go, the disk stays as it is. That goes on when nobody waits for it any
  // more.
  std::shared_ptr<const Leaving> leave(Uuid resource);
  // Which replica has this disk, or is just being made on it? By path, or by device number and inode of the disks that
  // are open; nothing is opened. Empty: none.
  std::string holder_of(const std::string& disk, const io::Geometry& geometry) const;
  // By device number and inode: does the disk serve another replica of this host? Its name, or empty.
  Task<std::string> user_of_disk(std::string path, io::Geometry geometry);

  // replication::Environment
  io::Machine& machine() override { return parts_.machine; }
  bricks::Pool& pool() override { return parts_.pool; }
  Uuid cluster() const override { return parts_.identity.cluster; }
  Uuid self() const override { return parts_.identity.host; }
  Incarnation incarnation() const override { return parts_.registers.writer().incarnation; }
  std::string host_name(const Uuid& host) const override;
  std::vector<Uuid> members(const Uuid& resource) const override;
  std::vector<Uuid> awaited(const Uuid& resource) const override;
  replication::Designated designated(const Uuid& resource) const override;
  Task<Status> designate(const Uuid& resource, replication::Designated wish) override;
  Task<Status> redesignate(const Uuid& resource, replication::Designated former, replication::Designated wish) override;
  control::Switches switches(const Uuid& resource) const override;
  control::Settings settings(const Uuid& resource) const override;
  bool is_connected(const Uuid& peer) const override;
  std::unique_ptr<net::Channel> open_channel(const Uuid& peer, net::ServiceId service, net::Bytes opening,
                                             uint32_t window) override;
  std::map<Uuid, replication::Memories> memories(const Uuid& resource) const override;
  Task<Status> write_memories(const Uuid& resource, replication::Memories memories) override;
  Task<void> write_disk(const Uuid& resource, std::string path) override;
  replication::RoomOffer room_beside(const Uuid& resource) const override;
  replication::LogBeside longest_log_beside(const Uuid& resource) const override;
  void ask_for_room(const Uuid& resource, replication::RoomRequest request) override;
  void room_was_made() override;
  void report_changed(const Uuid& resource) override;
  void event(const Uuid& resource, std::string text) override;

  // ReportOwner
  std::optional<replication::Report> local_report(const Uuid& resource) const override;
  void on_report(const Uuid& peer, const replication::Report& report) override;
  void on_board_changed() override { parts_.changed.notify(); }

 private:
  static constexpr io::Duration stop_patience = std::chrono::seconds(20);  // with a disk that does nothing
  static constexpr io::Duration busy_patience = std::chrono::seconds(10);  // with users that are not seen any more

  struct Hosted {
    ReplicaFile file;
    std::unique_ptr<replication::Replica> replica;  // null: it cannot be started, problem says why
    std::string problem;
    bool is_published = false;  // registers have it
    bool is_told = false;       // that it was deleted and is still in use
    uint64_t written_bytes() const { return replica ? replica->written_bytes() : 0; }
  };
  // By a command that makes this replica or gives it up.
  struct Occupied {
    std::string name;
    std::string disk;
    io::Geometry geometry;
    bool is_leaving = false;
  };
  struct Removal {
    Hosted hosted;
    bool is_done = false;
    Status status = Status::ok;
  };

  replication::ReplicaOptions replica_options(const ReplicaFile& file) const;
  Task<Result<void>> open_one(Uuid resource);
  Task<Status> take_in(Uuid resource, Result<ReplicaFile> file);
  void look_for_missing();
  void leave_alone(Uuid resource, std::string why);
  bool has_name_beside(const ReplicaFile& file) const;
  void adopt(ReplicaFile file);
  Task<Result<void>> find_log();
  void start_waiting();
  Task<void> look_again_loop();
  void start(Hosted& hosted);
  static bool is_same_disk(const io::Geometry& a, const io::Geometry& b) {
    return a.device_number == b.device_number && a.inode == b.inode;
  }
  Task<void> reconcile_loop();
  Task<void> reconcile();
  // The registers say that this copy was given up. What they say of an older one, before it joined again, is old.
  bool has_left(const ReplicaFile& file) const {
    const auto known = find_replica(parts_.registers, file.record.id, self());
    return known && !known->has_joined && known->made_ns >= file.made_ns && !parts_.registers.is_rolled_back();
  }
  void publish_anew_after_a_merge();
  Task<Status> publish(Uuid resource);
  Task<Status> write_file(Uuid resource);
  Task<void> note_others(Uuid resource);
  bool has_name(const std::string& name) const;
  Task<Result<void>> may_replace(const ResourceRecord& record);
  Task<Result<void>> make_files(const ReplicaFile& file);
  Task<Result<void>> host(ReplicaFile file);
  Task<Result<void>> give_up(Uuid resource, bool& has_left);
  Task<Result<void>> agree_to_leave_idle(Uuid resource);
  Task<void> finish_leaving(Uuid resource, std::shared_ptr<Leaving> leaving);
  Task<Result<void>> remove(Uuid resource);
  Task<void> finish_removal(Uuid resource, std::shared_ptr<Removal> removal);
  Task<void> be_patient(const std::function<bool()>& is_done, const std::function<uint64_t()>& written_bytes);
  Task<Status> remove_folders(Uuid resource);
  Task<void> end_within_patience(replication::Replica& replica, io::Instant forces_at);
  Task<void> end(replication::Replica& replica, io::Instant forces_at, std::shared_ptr<bool> is_done);
  Task<void> stop_one(replication::Replica& replica, io::Instant deadline);
  void deliver(const Uuid& resource, Hosted& hosted);
  void forget_gone();

  const Parts parts_;
  mutable DecodedRegisters registers_;
  Reports reports_;
  net::PeerNet* net_ = nullptr;
  std::map<Uuid, Hosted> hosted_;
  std::map<Uuid, Occupied> occupied_;
  std::map<Uuid, std::shared_ptr<Removal>> removing_;
  bool is_reconciled_ = true;               // nothing is left to be done again
  uint64_t merges_ = 0;                     // of registers, that were seen
  std::map<Uuid, std::string> leftovers_;   // what could not be removed, and why
  std::set<Uuid> unfinished_;               // what the last run of marsd has not made whole
  std::map<Uuid, std::string> left_alone_;  // replicas on this disk that cannot be told what they are, and why
  bool is_looking_again_ = false;           // for the log disk or the files of those
  bool needs_pool_ = true;
  std::string log_problem_;
  bool was_cut_off_ = false;
  bool is_stuck_ = false;
  Event due_;
  Event stop_;
  Semaphore file_turn_;  // of writing a replica.json again
  Semaphore turn_;       // of what changes hosted_ and tells the cluster; nobody waits for a replica's disk in it
  Scope scope_;
  Scope stopping_;
  Scope ending_;
};

}  // namespace mars::node
