// Replica: what it says of itself.
#include "replication/replica.h"

namespace mars::replication {

Report Replica::report() const {
  Report report;
  report.resource = options_.resource;
  report.life = life_;
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
  report.is_attached = true;
  report.is_consistent = state_->value().state == format::ReplicaState::consistent;
  const Tail tail = tail_of(log_->branch(), report.durable.position.lsn, environment_.self());
  // Whose log has lost its end cannot know what it says of the token (T10): it keeps nobody else from being forced.
  report.is_holder =
      report.is_consistent && is_log_whole() && !facts().is_gone && (tail == Tail::mine || tail == Tail::granted);
  report.is_primary = role_ == Role::primary && device_->is_open();
  report.is_in_use = device_->is_in_use();
  report.is_whole = is_log_whole() && !log_->failed();
  report.device = device_->path();
  report.log_bytes = log_->segments().bytes();
  if (fetching_ && fetching_->total_bytes > fetching_->done_bytes) report.transfers.push_back(*fetching_);
  if (syncing_) report.transfers.push_back(*syncing_);
  return report;
}

}  // namespace mars::replication
