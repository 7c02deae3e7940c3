// Node: one host of the cluster, or one that is in none yet: its state directory, pool, registers, connections and
// replicas, and what commands do with them. No thread, no HTTP, no main: marsd runs one, the simulator many. Belongs to
// one reactor. start() once; stop() once, awaited before it dies, also when start() failed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bricks/pool.h"
#include "control/answer.h"
#include "control/command.h"
#include "control/view.h"
#include "node/cluster.h"
#include "node/events.h"
#include "node/options.h"
#include "node/places.h"

namespace mars::node {

class Node {
 public:
  using Listener = std::function<void(const control::Progress&)>;
  // On whose behalf a command runs.
  struct Caller {
    const Event* gone = nullptr;  // set, and changed() notified: nobody waits for the answer any more
    std::string host;             // another member that asks; empty: somebody at this host
  };

  Node(io::Machine& machine, Options options, DeviceMaker& devices);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  ~Node();

  // busy: another marsd has the state directory. Whatever else goes wrong says what to do. A host in no cluster starts.
  Task<Result<void>> start();
  // Refuses new commands, ends those that wait, closes what is open.
  Task<void> stop();
  // stop() had to take a device away from its users.
  bool was_cut_off() const { return was_cut_off_; }
  // After stop(): a disk does not answer, so that what waits for it cannot be taken down. The process must end as it
  // is; nothing is lost by that.
  bool is_stuck() const { return is_stuck_; }

  // One command as it comes from outside; the listener hears of progress until this returns. When the caller has gone,
  // a command that only waits ends; one that acts goes on.
  Task<control::Answer> run(control::Command command, Listener listener);
  Task<control::Answer> run(control::Command command, Listener listener, Caller caller);
  control::ClusterView status();

  // For commands.
  io::Machine& machine() { return machine_; }
  const Options& options() const { return options_; }
  const Places& places() const { return places_; }
  Events& events() { return events_; }
  DeviceMaker& devices() { return devices_; }
  Cluster* cluster() { return cluster_.get(); }             // null: in no cluster
  uint64_t written_bytes() const;                           // to all data disks, by replicas that are still here
  const bricks::Pool* pool() const { return pool_.get(); }  // null: not started yet, or stopped
  bool is_stopping() const { return is_stopping_; }
  // Why the cluster of this member could not be opened; empty: it is open, or this host is in none.
  const std::string& open_problem() const { return open_problem_; }
  // Something that a command may wait for is different.
  Notifier& changed() { return changed_; }
  // This host is in no cluster. Is anything here of one that it was in, whose host.json is missing? open_problem() says
  // so then: whoever made or joined a cluster now would destroy it.
  Task<void> look_for_traces();
  // From now on this host is a member; its identity is stored. If the cluster cannot be opened, it is tried again.
  Task<Result<void>> become_member(Identity identity);
  // Only one such command at a time.
  Semaphore& membership_turn() { return membership_turn_; }

 private:
  // What a command that waits for a disk is given beyond its own time.
  static constexpr io::Duration disk_patience = std::chrono::seconds(10);
  static constexpr io::Duration open_pause = std::chrono::seconds(5);

  Task<Result<void>> open_directory();
  void give_pool_back();
  struct Carried {
    explicit Carried(Ready& ready) : gone(ready) {}
    Event gone;  // nobody waits for the answer any more
    std::optional<control::Answer> answer;
  };
  Task<void> carry(std::shared_ptr<Carried> carried, control::Command command, Listener listener, Caller caller);
  Task<void> close_events(std::shared_ptr<bool> is_closed);
  Task<Result<void>> open_cluster(Identity identity);
  Task<void> keep_opening(Identity identity);
  void tell_open_problem(std::string problem);
  Task<void> keep_looking_for_identity();
  Task<bool> pause_before_next_try();

  io::Machine& machine_;
  const Options options_;
  const Places places_;
  DeviceMaker& devices_;
  Notifier changed_;
  Events events_;
  std::unique_ptr<io::DirectoryLock> lock_;
  std::unique_ptr<bricks::Pool> pool_;
  std::unique_ptr<Cluster> cluster_;
  Semaphore membership_turn_;
  bool is_stopping_ = false;
  bool was_cut_off_ = false;
  bool is_stuck_ = false;
  bool is_name_told_ = false;  // that the configured one is not used
  std::string open_problem_;   // not empty: replicas may miss the pool
  bool are_events_open_ = false;
  size_t running_ = 0;
  Notifier idle_;
  Scope carrying_;
  Scope ending_;
};

}  // namespace mars::node
