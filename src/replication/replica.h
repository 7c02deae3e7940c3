// Replica: one resource on this host: its disk, log, state block, and whatever runs on them. A strategy: it compares
// what is wanted with what is, takes the next safe step, and looks again after every event and every second. It decides
// nothing by itself: decide_start and decide_handover do; it can be stopped and started again at any point.
//
// closed -> following (fetch, replay, sync) <-> primary (trans_logger, device). One activity (work) does all changes.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/counted.h"
#include "base/sync.h"
#include "base/task.h"
#include "brick/graph.h"
#include "bricks/disk.h"
#include "bricks/log.h"
#include "bricks/replayer.h"
#include "bricks/seam.h"
#include "bricks/state_file.h"
#include "bricks/trans_logger.h"
#include "format/random_uuid.h"
#include "replication/decide_handover.h"
#include "replication/decide_start.h"
#include "replication/device.h"
#include "replication/environment.h"
#include "replication/force.h"
#include "replication/insertions.h"
#include "replication/life.h"
#include "replication/memory.h"
#include "replication/report.h"
#include "replication/room.h"
#include "replication/source_trials.h"
#include "replication/sync_messages.h"
#include "replication/time_marks.h"
#include "xio/port.h"

namespace mars::replication {

struct ReplicaOptions {
  Uuid resource;
  std::string name;
  std::string state_directory;  // of the resource: holds `state` and `life`
  std::string log_directory;    // of the resource, on the log disk
  std::string disk;             // path of the data disk
  uint64_t volume_bytes = 0;
  uint32_t block_bytes = 512;
  uint64_t segment_bytes = 64u << 20;
  std::optional<uint64_t> log_reserve_bytes;  // of the log disk; nothing: 5 % of it, at least 64 MiB
  bool allow_changed_disk = false;
};

class Replica {
 public:
  Replica(Environment& environment, ReplicaOptions options, std::unique_ptr<Device> device);
  ~Replica();

  // Makes the files of a new replica. On the creating host the disk's content is the first version, and the log begins
  // with epoch 1 and the volume's record; a joiner's is "new" and will be synced.
  static Task<Result<void>> create(Environment& environment, const ReplicaOptions& options, bool is_first);

  void start();
  // Leaves the disks as they are to be found again: a device that is not in use is closed cleanly, one that is as soon
  // as `may_force` says so: was_cut_off() then.
  Task<void> stop(std::function<bool()> may_force);
  bool was_cut_off() const { return was_cut_off_; }
  // Written to the data disk by whoever runs now: a stop that waits for a disk sees whether it moves.
  uint64_t written_bytes() const;

  // After stop(): the next start asks the pool for what may not be in the log (D6). True, too, of what was never open.
  bool needs_pool() const { return needs_pool_; }

  // Options of the resource that its open device heeds at once: write-cache, flush-interval.
  void apply_settings();
  // Something that it looks at has changed: registers, sessions.
  void wake();
  void on_report(const Uuid& peer, Report report);
  void on_peer_down(const Uuid& peer);

  const ReplicaOptions& options() const { return options_; }
  Report report() const;
  const std::map<Uuid, Report>& peers() const { return peers_; }
  std::optional<io::Instant> heard(const Uuid& peer) const;
  Device& device() { return *device_; }
  const Device& device() const { return *device_; }
  // See bricks::Segments::room(); nothing: the log is not open.
  std::optional<uint64_t> log_room() const { return log_ == nullptr ? std::nullopt : log_->segments().room(); }
  // On the log disk, for other resources (replica_room.cc). Nothing is offered by who is closed, ends, or has freed
  // nothing a moment ago. ask_for_room() returns at once; room_was_made() follows.
  RoomOffer room_offer() const;
  void ask_for_room(RoomRequest request);
  void room_was_made();
  uint64_t log_bytes() const;  // on disk, with what was given up
  bool is_primary() const { return role_ == Role::primary; }
  bool is_attached() const { return log_ != nullptr; }
  std::string graph() const;
  // Sequences: of the last write that the device took, and of the last one that is durable in the log.
  uint64_t admitted() const { return logger_ ? logger_->admitted() : logged(); }
  uint64_t logged() const { return log_ ? log_->admitted() : 0; }
  uint64_t moved_bytes() const { return moved_bytes_; }
  uint64_t dirty_requests() const { return logger_ ? logger_->dirty_requests() : 0; }
  const std::string& disk() const { return options_.disk; }
  // Of the disk that is open, which may not answer; null: none is.
  const io::Geometry* disk_geometry() const { return disk_file_ == nullptr ? nullptr : &disk_file_->geometry(); }

  // Commands; each returns when it is done or refused.
  Task<Result<void>> detach();
  // `is_over`: whoever gave the order has gone, while it had to wait; it is carried out for nobody (T6).
  Task<Result<LossStatement>> force(ForceOrder order);
  Task<Result<void>> invalidate(std::function<bool()> is_over = {});
  // Before leave-resource removes it: refused, or it does nothing any more that others could rely on.
  Task<Result<void>> agree_to_leave();
  void stays_after_all();
  // Instruments in the running graph (Insertions); refused while the disk is detached.
  Task<Result<std::string>> insert(std::string type, std::string at, Insertions::Maker make, io::Duration deadline);
  Task<Result<void>> take_out(std::string name, io::Duration deadline);
  // Nothing is held back any more, for good: the process is about to end.
  void end_instruments() { insertions_.give_up(); }
  // The operator accepts that acknowledged writes were lost with the pool, or that the disk is another one. Where it is
  // known that nothing is lost, and where a disk is attached, there is nothing to accept, and nothing stays for a later
  // time. `gives_up_content`: although nobody else has what its log has.
  void accept_loss() { accepts_loss_ = !is_attached() || may_have_lost(); }
  void accept_disk(bool gives_up_content) {
    if (is_attached() && is_disk_ours_) return;
    options_.allow_changed_disk = true;
    gives_up_content_ = gives_up_content;
  }

  // Services. Each returns when its channel ends. A newer one of the same peer ends the former (but a handover).
  Task<void> serve_log(std::unique_ptr<net::Channel> channel, net::Bytes opening);
  Task<void> serve_sync(std::unique_ptr<net::Channel> channel, net::Bytes opening);
  Task<void> serve_handover(std::unique_ptr<net::Channel> channel, net::Bytes opening);
  size_t serving_count() const { return serving_count_; }

 private:
  enum class Role : uint8_t { closed, following, primary };
  class Serving;
  class Place;
  class Reading;
  struct Sources {
    std::optional<Uuid> best;
    bool is_any_ahead = false;
    bool is_any_parted = false;
    bool is_undecided = false;
  };

  static constexpr Lsn no_serve_limit{~uint64_t{0} / 2};
  static constexpr uint32_t log_window = 6u << 20;  // holds the longest batch
  static constexpr uint32_t sync_window = 4u << 20;
  static constexpr uint64_t branch_segments_max = 16;  // so many files' worth of given-up histories are kept
  static constexpr io::Duration idle_source_after = std::chrono::seconds(2);
  static constexpr io::Duration disk_patience = std::chrono::seconds(10);  // nothing written for so long: it hangs
  static constexpr io::Duration memories_interval = std::chrono::seconds(10);

  // replica.cc: the strategy
  Task<void> work();
  Task<void> announce();
  void take_stock();
  void note_time();
  Task<void> step();
  Task<void> act(StartAction action);
  void forget_strangers();
  Task<bool> try_attach();
  Task<Result<void>> attach();
  Task<Result<void>> open_log();
  Task<void> end_activities();
  static Task<bricks::SegmentsOptions> segments_options(Environment& environment, const ReplicaOptions& options);
  Task<void> let_go();
  Task<void> leave_clean();
  Task<void> leave_doubt();
  StartFacts facts() const;
  bool has_heard() const;
  Wish wish() const;
  Task<void> learn_data_end();
  static bool carries_data(const format::Batch& batch);
  void say(control::State state, std::string reason = {}, std::string next_step = {});

  // replica_disk.cc
  Task<Result<void>> open_disk();
  Task<Result<void>> take_disk(std::string path);
  Task<Result<void>> open_moved_disk(Error problem);
  bool is_only_copy() const;
  Task<Result<void>> accept_other_disk();

  // replica_memory.cc
  Task<void> keep_memories();
  std::vector<Position> remembered_of_me() const;
  Memory& memory_of(const Uuid& member);
  void recall_memories();
  void note_evidence();
  void note_gap_in_pool();
  bool has_lost_log() const;
  bool was_forced_before_lost_end(const Report& peer) const;
  bool may_read_on() const;
  std::string ahead_and_away() const;
  bool follows_what_was_given_up(const Report& peer) const;
  bool goes_on_elsewhere() const;
  bool is_overruled(const Report& report) const;
  bool is_verdict(const Uuid& host, const Report& forced, const Report& against) const;
  bool is_no_way_on(const Report& peer) const;
  bool is_undecided(const Uuid& host, const Report& peer) const;
  bool is_remembered_on_what_was_given_up(const Memory& memory) const;
  bool is_log_whole() const;

  // replica_primary.cc
  Task<void> step_primary();
  // `expected`: what the table said; asked again when the log does not move any more. Nothing: forced.
  using StillDue = std::function<bool()>;
  Task<void> open_primary(EpochCause cause, Uuid grant, bool opens_device, const StillDue& is_still_due);
  Task<bool> replay_to_end();
  bool has_lost_writes() const;
  bool may_have_lost() const;
  Task<Status> start_logger(bool adopts);
  Task<Status> begin_epoch(EpochCause cause, Uuid grant);
  Task<void> open_device();
  std::string out_of_bad_disk() const;
  Task<void> refuse(Designated wanted, std::string why);
  HandoverFacts handover_facts(const Uuid& successor) const;
  Task<void> hand_over(Designated wanted);
  Task<Result<void>> prepare(net::Channel& channel, const Uuid& successor);
  Task<Status> release_to(Uuid successor);
  bool is_handed_to_and_fro();
  Task<Status> remember_gone();
  bool has_unlogged() const;

  // replica_show.cc
  void show_primary();
  std::string failed_disks() const;  // "; the data disk failed"; empty: none
  bool is_held_up();
  std::string way_out_of_bad_log() const;
  void show_follower(const control::Switches& on);
  bool show_lack_of_log(const control::Switches& on);
  bool show_swept(const control::Switches& on);
  void show_unsynced(const control::Switches& on);
  std::string doubtful_primary() const;  // empty: none
  bool has_forgotten_right() const;

  // replica_close.cc
  Task<bool> step_down();
  Task<void> close_primary();
  Task<Error> what_hangs(io::Duration patience);
  Task<Error> why_no_answer(io::Duration patience);
  Task<void> probe_disk();
  Task<Status> drain();
  // As long as something moves within `patience`. The successor of a handover has a minute.
  Task<Status> drain_patiently(io::Duration limit = std::chrono::seconds(50),
                               io::Duration patience = 2 * disk_patience);
  std::string slow_disk() const;
  std::string sentence_of_slow_disk() const;
  static std::string sentence_of_open_device(const Error& why);
  void say_slow_disk();
  void tell_undrained();
  Task<void> close_logger();

  // replica_room.cc
  Lsn trim_limit() const;
  Lsn trim_limit(Lsn applied) const;
  Task<void> bring_older_slot_up();
  std::optional<Lsn> needed_from(const Uuid& member) const;
  void end_pin(const Uuid& member, const Report& report);
  Task<std::string> hear_the_connected();
  bool waits_for_forced(HandoverObstacle obstacle, const Designated& wanted, const std::string& to);
  bool is_handover_taken_back() const;
  void taken_back(const std::string& to);
  Task<void> trim();
  Task<void> trim_in_turn();
  Task<bool> make_room();
  Task<void> make_room_or_give_up(const bool& is_over);
  Task<void> make_room_until(const bool& is_over);
  Task<Result<void>> close_for_good();
  Task<bool> give_up_worst();
  Task<bool> free_what_nobody_needs();
  Sacrifice least_sacrifice() const;
  Task<void> give_up(Sacrifice sacrifice);
  Task<void> make_room_for_others(RoomRequest request);
  std::string who_fills_log_disk() const;
  Task<bool> shrink_branch(uint64_t bytes_max);

  // replica_force.cc
  Task<Result<LossStatement>> force_in_turn(const ForceOrder& order);
  Result<void> may_be_forced() const;
  std::string connected_and_ahead() const;
  uint64_t remembered_beyond(const Uuid& host, const Memory& memory) const;
  std::string answering_holder() const;
  LossStatement known_loss() const;

  // replica_follow.cc
  Task<void> step_follower();
  void leave_idle_source();
  Task<Result<net::Bytes>> await_source(net::Channel& channel, std::optional<io::Instant>& since);
  Silence silence_of(const Uuid& host) const;
  Sources look_for_source(const Uuid& except) const;
  Task<void> become_follower();
  void begin_fetching();
  void start_replay();
  Task<void> end_replay();
  Task<void> end_following();
  Task<void> end_fetching();
  Task<Status> recreate_gone();
  std::optional<Uuid> choose_source();
  bool nobody_holds(Lsn end) const;
  Task<void> fetch_loop();
  Task<Status> leave_damaged_history();
  Task<Status> fetch_from(Uuid source);
  uint64_t rate(uint64_t bytes, io::Instant since) const;
  void note_progress(const Uuid& source, const format::Batch& batch);

  // replica_fork.cc
  bool may_have_more() const;
  Lsn start_of_rivals(bool are_here) const;
  Rival rival(const Report& peer) const;
  bool is_rival(const format::Batch& batch) const;
  void note_fork();
  std::string reason_of_fork() const;
  std::string way_out_of_fork() const;  // what the operator does then
  bool has_parted_from(const Report& peer) const;
  bool shows_parting(const Report& peer) const;
  bool has_parted() const;
  Task<bool> drop_empty_tail(Lsn cut);  // false: it says why not
  Task<Status> drop_tail(Lsn cut);
  Task<Result<Hash128>> hash_at(Lsn lsn);

  // replica_invalidate.cc
  Task<Result<void>> may_leave();
  Result<void> holds_no_right() const;
  Task<Result<void>> invalidate_in_turn(const std::function<bool()>& is_over);
  void give_up_sides(Life& life) const;
  Task<Status> withdraw_wish();
  Task<Result<void>> confirm_elsewhere();
  Task<Error> ask_for_a_whole_copy(Uuid host);
  static void forget_history(format::StateBlock& state);

  // replica_sync.cc
  std::optional<Uuid> choose_sync_source() const;
  bool is_decided_against(const Report& peer) const;
  bool is_force_taken_back(const Report& follower) const;
  const Report* who_took_back(const Report& follower) const;
  int place_behind(const Uuid& source) const;
  void note_sync_failure(const Uuid& source, bool has_refused);
  void leave_silent_sync_source();
  bool is_ahead(const Report& peer) const;
  bool has_what_was_here(const Report& peer) const;
  bool needs_sync() const;
  Task<void> sync_loop();
  Task<Status> sync_from(Uuid source, bool& has_begun);
  bool may_sync_from(const Uuid& source, const SyncHeader& header) const;
  Task<Status> begin_sync(SyncHeader header);
  Task<Status> sweep(net::Channel& channel, Position& cmax);
  Task<Status> finish_sync(Position cmax);
  void trouble_in_sync(control::State state, std::string reason, std::string next_step, uint64_t at = 0);
  Status disk_failed_in_sync(uint64_t at, Status status);
  Task<Status> reach(Position cmax);
  bool is_gone_with_its_hosts(EpochId epoch) const;
  bool is_cut_off() const;

  // replica_replace.cc
  Task<bool> take_log();
  Task<void> give_log_back();
  Task<Status> replace_log(SyncHeader header);
  bool keeps_log(const SyncHeader& header) const;
  void forget_former_log();

  // replica_serve.cc
  Task<void> end_serving();
  Task<bool> end_serving_patiently();
  void stop_serving();
  Task<bool> take(const Place& place, const net::Channel& channel);
  Task<Result<net::Bytes>> receive_within(net::Channel& channel, io::Duration limit);
  Error check_fetch(const Uuid& target, const Tip& from) const;
  bool may_serve_extents() const;
  Task<void> doubt_disk();
  Task<void> look_at_disk();
  bool has_told_of_disk_ = false;  // this replayer or trans_logger has failed, and the state block says so
  Task<Status> answer_range(net::Channel& channel, xio::Port& port, const SyncRequest& request, AlignedBuffer& buffer);
  Error check_successor() const;

  Environment& environment_;
  ReplicaOptions options_;
  io::Machine& machine_;
  std::unique_ptr<Device> device_;
  std::unique_ptr<io::File> disk_file_;
  std::unique_ptr<bricks::Disk> disk_;
  std::unique_ptr<bricks::Seam> data_;  // above the disk, below everything that uses it
  std::unique_ptr<bricks::StateFile> state_;
  std::unique_ptr<bricks::Log> log_;
  std::unique_ptr<bricks::Replayer> replayer_;   // while following
  std::unique_ptr<bricks::TransLogger> logger_;  // while primary
  std::unique_ptr<bricks::Seam> entrance_;       // above it, below the device
  brick::Graph<xio::Xio> graph_;
  Insertions insertions_;
  bricks::Log::Recovery recovery_;
  Life life_;

  Role role_ = Role::closed;
  std::map<Uuid, Report> peers_;  // the latest of each, also of those that are not connected now
  std::map<Uuid, io::Instant> heard_;
  Memories memories_;        // of the other members
  std::set<Uuid> answered_;  // who reported since we attached
  std::set<Uuid> unable_;    // to serve what we need, until they report again
  struct Pin {
    Lsn from;
    uint64_t number = 0;  // of the conversation that has set it
  };
  std::map<Uuid, Pin> pins_;  // of members that sync from here
  uint64_t pin_number_ = 0;
  std::set<Uuid> given_up_;                     // members whose log was sacrificed for space
  std::optional<uint64_t> tries_at_last_room_;  // in vain, of the log, when room was last made
  RoomOffer offer_in_vain_;                     // what others were offered, and nothing came of it
  io::Instant in_vain_until_ = {};
  io::Instant attached_at_ = {};
  uint64_t written_when_held_ = 0;  // to the data disk, when somebody last began to wait for memory
  io::Instant held_since_ = {};
  bool needs_pool_ = true;
  Lsn data_end_;  // behind the last batch with data, as far as learn_data_end() asked
  Lsn learned_from_;
  Lsn learned_to_;
  Lsn serve_limit_;  // a release leaves the host only when `gone` is durable
  bool is_releasing_ = false;
  bool must_sync_ = false;  // nobody has the log that continues ours
  bool waits_for_decision_ = false;
  bool lacks_log_ = false;  // nobody who can be reached has it; others may
  bool is_forked_ = false;
  bool accepts_loss_ = false;
  bool misses_pooled_ = false;  // memory lacks what a predecessor acknowledged: seen when it was to be logged
  bool gives_up_content_ = false;
  bool is_disk_ours_ = false;  // the one that was attached: it may be remembered
  bool was_cut_off_ = false;

  std::deque<io::Instant> empty_releases_;  // of reigns in which no device was opened
  bool was_opened_ = false;                 // the device, in this reign
  control::State shown_ = control::State::detached;
  std::string reason_;
  std::string next_step_;
  control::State attach_problem_ = control::State::failed;
  std::string attach_next_step_;
  std::optional<control::Transfer> fetching_;
  std::optional<control::Transfer> syncing_;
  std::optional<SyncTrouble> sync_trouble_;
  std::map<Uuid, SyncTrial> sync_trials_;
  std::map<Uuid, Silence> silences_;  // of sources of the log, until they send again
  std::optional<control::Transfer> replaying_;
  Lsn replay_from_;  // where the backlog began that replaying_ is about
  io::Instant replay_began_ = {};
  TimeMarks times_;  // of the local log
  io::Instant transfer_began_ = {};
  io::Instant sync_began_ = {};
  uint64_t moved_bytes_ = 0;  // by the present or the last sync
  net::Channel* fetch_channel_ = nullptr;
  Uuid fetch_source_;                         // at its other end
  std::optional<io::Instant> fetch_awaited_;  // since when it is waited for
  size_t fetch_partial_ = 0;                  // of what is waited for, has come
  net::Channel* sync_channel_ = nullptr;
  Uuid sync_source_;
  std::optional<io::Instant> sync_awaited_;
  net::Channel* handover_channel_ = nullptr;
  Designated handed_over_;                      // the wish of that conversation
  std::vector<net::Channel*> served_channels_;  // in the order in which they were opened
  std::vector<net::Channel*> places_;           // of those about the log and the extents, likewise

  int draining_ = 0;             // no range is read for a sync: the log would never be without one
  int probes_ = 0;               // reads that only ask whether the data disk answers
  uint64_t calls_ = 0;           // of wake(), and of what others have said
  int barred_ = 0;               // the log is being taken away or replaced: no new conversations
  bool is_leaving_ = false;      // nobody makes room in the log any more
  bool is_making_room_ = false;  // for another resource
  int readings_ = 0;
  bool is_replacing_log_ = false;  // no step begins to read it
  bool is_giving_up_ = false;      // this copy: nobody may rely on it
  Semaphore room_turn_;            // who trims
  Semaphore turn_;                 // step and commands, one at a time
  Event stop_;
  Event following_stop_;
  Notifier wake_;
  Scope scope_;
  Scope probing_;
  Scope following_;
  Event serving_stop_;
  Notifier served_;
  size_t serving_count_ = 0;
  int served_reads_ = 0;        // of the data disk, under way for a sync
  io::Instant served_at_ = {};  // when the last of them ended, or the first began
  int successions_ = 0;         // conversations in which the right to write comes here
  Semaphore log_turn_;          // who appends or replaces the log while following
};

}  // namespace mars::replication
