// Replica: what it says of itself.
#include <algorithm>

#include "replication/replica.h"

namespace mars::replication {

Report Replica::report() const {
  Report report;
  report.resource = options_.resource;
  report.life = life_.id;
  report.volume_bytes = options_.volume_bytes;
  report.state = shown_;
  report.reason = reason_;
  report.next_step = next_step_;
  report.switches = environment_.switches(options_.resource);
  for (const auto& [host, memory] : memories_) report.remembered[host] = memory.what;
  if (log_ == nullptr) return report;
  report.branch = log_->branch();
  report.durable = log_->durable();
  if (is_releasing_ && report.durable.position.lsn > serve_limit_) report.durable.position.lsn = serve_limit_;
  report.oldest = log_->oldest();
  report.durable_time = log_->last_time();
  report.applied = state_->value().applied;
  if (replayer_) report.applied = replayer_->applied();
  if (logger_) report.applied = logger_->applied();
  report.applied_time = times_.at(report.applied.position.lsn);
  report.is_attached = true;
  report.is_consistent = state_->value().state == format::ReplicaState::consistent;
  // A sync that has begun since the last look: its positions are those of the source, and the disk is no version yet.
  if (!report.is_consistent && report.state == control::State::up_to_date) report.state = control::State::syncing;
  const Tail tail = tail_of(log_->branch(), report.durable.position.lsn, environment_.self(), life_);
  // Whose log has lost its end cannot know what it says of the token (T10): it keeps nobody else from being forced.
  report.is_holder =
      report.is_consistent && is_log_whole() && !facts().is_gone && (tail == Tail::mine || tail == Tail::granted);
  report.is_primary = role_ == Role::primary && device_->is_open();
  report.is_in_use = device_->is_in_use();
  report.is_whole = is_log_whole() && !log_->failed();
  report.device = device_->path();
  report.log_bytes = log_->segments().bytes();
  if (fetching_ && fetching_->total_bytes > fetching_->done_bytes) report.transfers.push_back(*fetching_);
  if (replaying_ && replayer_ && report.applied.position.lsn < report.durable.position.lsn) {
    report.transfers.push_back(*replaying_);
  }
  if (syncing_) report.transfers.push_back(*syncing_);
  return report;
}

// A log that begins at the end of a sync has no batch yet that would tell the time; whoever stands at the same position
// knows it.
void Replica::note_time() {
  Stamp time = log_->last_time();
  for (const auto& [host, peer] : peers_) {
    if (time.physical_ns == 0 && peer.durable.position == log_->durable().position) time = peer.durable_time;
  }
  if (time.physical_ns != 0) times_.add(log_->durable().position.lsn, time, state_->value().applied.position.lsn);
}

// For people only: how old the data is, and how far a replay has come.
void Replica::take_stock() {
  const Lsn end = log_->durable().position.lsn;
  note_time();
  if (replayer_ == nullptr || replayer_->applied().position.lsn >= end) return replaying_.reset();
  const Lsn applied = replayer_->applied().position.lsn;
  // A pause has no rate; what is left after it is another backlog.
  if (!replaying_ || replayer_->is_resting()) {
    replaying_ = control::Transfer{control::TransferKind::replay, 0, 0, 0, {}};
    replay_from_ = applied;
    replay_began_ = machine_.now();
  }
  replaying_->done_bytes = applied > replay_from_ ? applied - replay_from_ : 0;
  replaying_->total_bytes = end - std::min(replay_from_, end);
  replaying_->bytes_per_second = rate(replaying_->done_bytes, replay_began_);
}

}  // namespace mars::replication
