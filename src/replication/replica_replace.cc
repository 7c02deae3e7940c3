// Replica: the log is taken from all who use it, and replaced by one that begins where a sync begins.
#include <utility>

#include "base/probe.h"
#include "replication/replica.h"
#include "replication/sync_messages.h"

namespace mars::replication {

using namespace std::chrono_literals;
using control::State;
using format::ReplicaState;
using format::StateBlock;

// Nobody appends to it, reads it or is served from it any more. False: a disk does not answer, and it was said which.
Task<bool> Replica::take_log() {
  if (fetch_channel_ != nullptr) fetch_channel_->close();
  while (!log_turn_.try_acquire(1)) {
    // A fetched batch may wait for room that only this can make.
    if (log_->needs_space()) log_->give_up();
    co_await io::wait_until(machine_, log_->changed(), machine_.now() + 100ms);
  }
  // Named for g++ 12 (doc/decisions/032).
  const bool is_free = co_await end_serving_patiently();
  if (!is_free) {
    trouble_in_sync(State::disk_failed, reason_, next_step_);
    co_await give_log_back();
    co_return false;
  }
  co_await end_replay();
  while (readings_ > 0) co_await io::wait_until(machine_, served_, machine_.now() + 100ms);
  co_return true;
}

// It stays as it is: what can be replayed of it is.
Task<void> Replica::give_log_back() {
  static_cast<void>(co_await log_->forget_given_up());
  if (replayer_ == nullptr && state_->value().state == ReplicaState::consistent) start_replay();
  log_turn_.release(1);
}

Task<Status> Replica::replace_log(SyncHeader header) {
  const Counted barred(barred_);
  if (!co_await take_log()) co_return Status::timed_out;
  // The source may have died, been overtaken or be wanted no more while disks were waited for. What is here goes only
  // when the sync can begin: somebody may be about to force this host, because it is all that is left (P6).
  const bool is_wanted = !following_stop_.is_set() && environment_.switches(options_.resource).sync && needs_sync();
  if (!is_wanted || !sync_channel_->is_open() || !may_sync_from(sync_source_, header)) {
    reached("sync: its source was gone before it began");
    co_await give_log_back();
    co_return Status::stopped;
  }
  const Uuid id = random_uuid(machine_);
  Life life = life_;
  life.born = header.q.position.lsn;
  // An old verdict has nothing to do with a sync that the log alone has made necessary.
  if (state_->value().state == ReplicaState::consistent) life.lost_sides.clear();
  give_up_rights(life, log_->branch(), environment_.self());
  Status status = co_await write_life(machine_, options_.state_directory, life);
  if (status != Status::ok) {
    trouble_in_sync(State::log_failed,
                    options_.state_directory + "/life cannot be written (" + std::string(name(status)) + ")",
                    "make room on its disk, or repair it: the sync begins again by itself");
    co_await give_log_back();
    co_return status;
  }
  life_ = life;
  status = co_await state_->update([&](StateBlock& state) {
    const bool rewrites = state.sweep.rewrites;
    const Tip base = state.state == ReplicaState::consistent ? log_->durable() : state.sweep.base;  // D12
    state.state = ReplicaState::syncing;
    state.sweep = {};
    state.sweep.rewrites = rewrites;
    state.sweep.base = base;
    state.sweep.active = true;
    state.sweep.id = id;
    state.sweep.r = header.q;
    state.sweep.cmax = state.sweep.q = header.q.position;
  });
  if (status == Status::ok) {
    status = co_await log_->restart(header.q, header.branch, keeps_log(header));
    if (status != Status::ok) {
      trouble_in_sync(State::log_failed, "the old log cannot be removed (" + std::string(name(status)) + ")",
                      "check the log disk at " + options_.log_directory + ": the sync begins again by itself");
    }
  }
  if (status == Status::ok) {
    status = co_await state_->update([&](StateBlock& state) {
      state.applied = header.q;
      state.durable = header.q;
      state.admitted = header.admitted;
      state.gone.clear();
    });
  }
  unable_.clear();
  must_sync_ = false;
  forget_former_log();
  log_turn_.release(1);
  wake_.notify();
  co_return status;
}

// What was known of the log that has just been replaced.
void Replica::forget_former_log() {
  recovery_ = {};
  learned_to_ = {};
  is_releasing_ = false;
  serve_limit_ = no_serve_limit;
  // What a dead predecessor left in memory belongs to it.
  environment_.pool().take_inherited(options_.resource, ~uint64_t{0});
}

// What the source has not is kept in branch/: behind a damage, and where the histories have parted (P6).
bool Replica::keeps_log(const SyncHeader& header) const {
  const auto common =
      bricks::common_position(log_->branch(), log_->durable().position.lsn, header.branch, header.q.position.lsn);
  return has_lost_log() || common.mine_beyond || bricks::have_lost_sight(log_->branch(), header.branch);
}

}  // namespace mars::replication
