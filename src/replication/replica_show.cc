// Replica: what it shows of itself: state, reason and next step, the worst first.
#include <algorithm>

#include "replication/replica.h"

namespace mars::replication {

using namespace std::chrono_literals;
using control::State;
using format::ReplicaState;

namespace {
constexpr io::Duration held_up_after = 3s;
}

// ---- a primary

// What of this host's disks has failed under an open device. A fork is shown before it: nothing that is advised against
// a failed disk may be done while two histories are undecided.
std::string Replica::failed_disks() const {
  std::string text;
  if (state_->failed() != Status::ok) text += "; the state block cannot be written";
  if (log_->has_given_up()) text += "; what waited for room in the log got an error";
  if (log_->failed() && !log_->has_given_up()) text += "; the log disk failed: writes get an error";
  if (logger_->disk_status() != Status::ok) text += "; the data disk failed";
  return text;
}

void Replica::show_primary() {
  const std::string handover = "hand over to another host with `marsadm primary " + options_.name + "` there";
  const bool is_held = is_held_up();
  if (is_forked_) {
    say(State::fork, "another host was forced primary: two histories" + failed_disks(), way_out_of_fork());
  } else if (state_->failed() != Status::ok) {
    say(State::log_failed, "the state block cannot be written: what is written stays in memory and in the log",
        "repair the disk of " + options_.state_directory + " and restart marsd: what was acknowledged is kept");
  } else if (log_->failed()) {
    say(State::log_failed, "the log disk failed: writes get an error, reads go on",
        "repair the log disk and restart marsd: what was acknowledged is kept; or stop marsd and force another host");
  } else if (logger_->disk_status() != Status::ok && log_->needs_space()) {
    say(State::disk_failed, "the data disk failed and the log disk is full: writes wait for room",
        "make room on the log disk, then " + handover);
  } else if (logger_->disk_status() != Status::ok) {
    say(State::disk_failed, "the data disk failed: what is written stays in memory and in the log while they have room",
        handover + "; or mend it, end the use of the device, and run `marsadm detach " + options_.name +
            "` and `marsadm attach " + options_.name + "` here");
  } else if (log_->needs_space() && is_held && !logger_->waits_for_log()) {
    say(State::waiting_for_space, "the log disk is full because the data disk takes nothing",
        "look at the data disk " + options_.disk);
  } else if (log_->needs_space()) {
    say(State::waiting_for_space, "the log disk is full and no replica is left to give up" + who_fills_log_disk(),
        "make room on the log disk, or connect the replicas so that the log can be trimmed");
  } else if (facts().is_outremembered) {
    // Opened while nobody could be asked (P4, protocol.md 7).
    // Its disk may be ahead of its log, so nobody can be brought to what it has (D12).
    say(State::fork, "others have more of this host's own writes: its storage was brought back to an earlier moment",
        "go on with what they have: run `marsadm invalidate " + options_.name + "` here");
  } else if (is_held && (logger_->waits_for_log() || logger_->waiting_for_memory() == 0)) {
    // Whoever does not wait for memory waits for a flush of the log (D7).
    say(State::up_to_date, "writes wait: the log disk takes nothing", "look at the log disk");
  } else if (is_held) {
    say(State::up_to_date, "writes wait: memory is full, and the data disk takes nothing",
        "look at the data disk " + options_.disk);
  } else if (device_->is_open()) {
    say(State::up_to_date);
  }
}

// Somebody waits, and for a while nothing has been written that would help.
bool Replica::is_held_up() {
  const uint64_t written = logger_->written_bytes() + logger_->durable_sequence();
  if (!logger_->has_waiting() || written != written_when_held_) {
    written_when_held_ = written;
    held_since_ = machine_.now();
  }
  return machine_.now() >= held_since_ + held_up_after;
}

// ---- a follower

namespace {
std::string paused_text(const control::Switches& on) {
  if (!on.fetch && !on.replay) return "fetch and replay are paused";
  return on.fetch ? "replay is paused" : "fetch is paused";
}

// A sync that is off as well is not in the way.
std::string way_to_resume(const control::Switches& on, const std::string& resource) {
  return control::commands_to_resume({.fetch = on.fetch, .replay = on.replay}, resource);
}
}  // namespace

// What is read at attach is looked for at the others, batch by batch; a sync would look at everything.
std::string Replica::way_out_of_bad_log() const {
  std::string invalidate = "run `marsadm invalidate " + options_.name + "` here";
  if (state_->value().state != ReplicaState::consistent) return invalidate;
  return "run `marsadm detach " + options_.name + "` and `marsadm attach " + options_.name +
         "` here: what is damaged is fetched again; if nobody has it, " + invalidate;
}

// What continues the log here cannot be had, or is not to be had yet. False: that is not so.
bool Replica::show_lack_of_log(const control::Switches& on) {
  if (must_sync_) {
    say(State::waiting_for_peer, "the log that continues here is gone everywhere",
        on.sync ? "connect a consistent replica to sync from" : "run `marsadm resume-sync " + options_.name + "` here");
  } else if (waits_for_decision_) {
    say(State::waiting_for_peer, "two hosts were forced to be primary at the point where the log ends here",
        "decide which side is kept, then run `marsadm invalidate " + options_.name + "` on the other");
  } else if (lacks_log_) {
    say(State::waiting_for_peer, "no member that can be reached has the log that continues here",
        "connect the other members; else it is synced in a moment");
  } else {
    return false;
  }
  return true;
}

// What an operator sees, the worst first.
void Replica::show_follower(const control::Switches& on) {
  const StartAction action = decide_start(facts());
  const bool is_synced = state_->value().state == ReplicaState::consistent;
  if (is_forked_ && is_synced) return say(State::fork, reason_of_fork(), way_out_of_fork());
  const std::string way_to_reopen =
      "run `marsadm detach " + options_.name + "` and `marsadm attach " + options_.name + "` here";
  if (log_->failed()) return say(State::log_failed, "the log disk failed", "repair it, then " + way_to_reopen);
  if (state_->failed() != Status::ok)
    return say(State::log_failed, "the state block cannot be written", "repair its disk, then " + way_to_reopen);
  if (replayer_ && replayer_->failed().status != Status::ok) {
    const bool is_disk = replayer_->failed().status == Status::io_error;
    return say(is_disk ? State::disk_failed : State::log_damaged, replayer_->failed().text,
               is_disk ? "check " + options_.disk + ", then " + way_to_reopen : way_out_of_bad_log());
  }
  if (!is_synced) return show_unsynced(on);
  const std::string way_without = "; if nobody has it, `marsadm attach " + options_.name +
                                  " --accept-loss` and `marsadm primary " + options_.name +
                                  " --force` here go on without what lies behind";
  if (has_lost_log()) {
    return say(State::log_damaged, recovery_.reason,
               "connect a member that has the log: it is fetched again" + way_without);
  }
  if (action == StartAction::rolled_back) {
    return say(State::rolled_back, "others remember more of this host's own writes than it has",
               "connect all members, so that it is fetched back" + way_without);
  }
  if (action == StartAction::wait) return say(State::opening, "waiting for the other members");
  if (show_lack_of_log(on)) return;
  if (log_->needs_space()) {
    return say(State::waiting_for_space, "the log disk is full" + who_fills_log_disk(), "make room on the log disk");
  }
  const bool lags = replayer_ && replayer_->applied().position.lsn < log_->durable().position.lsn;
  if (!on.fetch || !on.replay) return say(State::paused, paused_text(on), "run " + way_to_resume(on, options_.name));
  if (fetching_ && fetching_->total_bytes > fetching_->done_bytes)
    return say(State::fetching, "from " + fetching_->source);
  if (lags) return say(State::replaying);
  if (const std::string away = ahead_and_away(); !away.empty()) {
    return say(State::waiting_for_peer,
               away + " had more when it was heard last, and nobody that can be reached has it",
               "connect it; if it is lost, `marsadm primary " + options_.name +
                   " --force --dry-run` says what would be missing");
  }
  if (wish() == Wish::me && has_forgotten_right()) {
    return say(State::up_to_date, "the right to write may have gone with the log that this host gave up",
               "if no other host has it, run `marsadm primary " + options_.name + " --force` here");
  }
  const std::string doubtful = doubtful_primary();
  if (doubtful.empty()) return say(State::up_to_date);
  say(State::up_to_date, "it follows " + doubtful + ", whose history another host contradicts (fork)",
      "decide which side is kept; if " + doubtful + " is given up, run `marsadm invalidate " + options_.name +
          "` here, too");
}

// The disk has been compared, and waits for the log behind that. False: it is not so far, or goes on.
bool Replica::show_swept(const control::Switches& on) {
  if (!syncing_ || syncing_->done_bytes != syncing_->total_bytes) return false;
  if (on.sync && (!on.fetch || !on.replay)) {
    say(State::paused, "the sync needs the log from its source, and " + paused_text(on),
        "run " + way_to_resume(on, options_.name));
  } else if (log_->needs_space()) {
    say(State::waiting_for_space,
        "the log disk is full, and the sync needs the log from its source" + who_fills_log_disk(),
        "make room on the log disk");
  } else if (!fetching_ && !environment_.is_connected(sync_source_)) {
    say(State::waiting_for_peer, "the sync has all but the last of the log of " + syncing_->source,
        "connect it, or another host that has it");
  } else {
    return false;
  }
  return true;
}

// No version of anything, until a sync is done.
void Replica::show_unsynced(const control::Switches& on) {
  if (on.sync && sync_trouble_) return say(sync_trouble_->state, sync_trouble_->reason, sync_trouble_->next_step);
  if (show_swept(on)) return;
  if (syncing_) return say(State::syncing, "from " + syncing_->source);
  if (!on.sync) return say(State::paused, "the sync is paused", "run `marsadm resume-sync " + options_.name + "` here");
  // The registers may reach the source a moment later than its report reached us: it is asked again.
  if (const auto source = choose_sync_source()) {
    return say(State::syncing, "from " + environment_.host_name(*source));
  }
  if (!has_heard()) return say(State::opening, "waiting for the other members");
  const auto follows = [this](const auto& peer) {
    return peer.second.is_consistent && environment_.is_connected(peer.first) && follows_what_was_given_up(peer.second);
  };
  const auto is_other_side = [this](const auto& peer) {
    return peer.second.is_consistent && environment_.is_connected(peer.first) &&
           !follows_what_was_given_up(peer.second);
  };
  const auto peer = std::ranges::find_if(peers_, follows);
  const auto other_side = std::ranges::find_if(peers_, is_other_side);
  if (peer != peers_.end() && other_side != peers_.end()) {
    const std::string name = environment_.host_name(other_side->first);
    return say(State::waiting_for_peer, name + " has the side of the fork that is kept, and cannot be synced from now",
               "look at its state with `marsadm status " + options_.name + "`");
  }
  if (peer != peers_.end() && goes_on_elsewhere()) {
    const std::string name = environment_.host_name(peer->first);
    const std::string first = peer->second.is_primary ? "`marsadm secondary " + options_.name + "` and then " : "";
    return say(State::waiting_for_peer,
               "the history that " + name + " has was given up here, and nobody of the other side can be reached",
               "connect one that was not given up; if all of those are lost, run " + first + "`marsadm primary " +
                   options_.name + " --force` on " + name);
  }
  const auto is_overruled_source = [this](const auto& peer) {
    return peer.second.is_consistent && environment_.is_connected(peer.first) && is_overruled(peer.second);
  };
  if (const auto loser = std::ranges::find_if(peers_, is_overruled_source); loser != peers_.end()) {
    return say(State::waiting_for_peer,
               "another host was forced where the history of " + environment_.host_name(loser->first) +
                   " had its end, and cannot be synced from now",
               "look at the state of the others with `marsadm status " + options_.name + "`");
  }
  const Position& base = state_->value().sweep.base.position;
  if (!base.is_none()) {
    return say(State::waiting_for_peer,
               "no consistent replica can be reached that has what was here, up to LSN " + to_string(base.lsn),
               "connect the others; or give that up with `marsadm invalidate " + options_.name + "`");
  }
  return say(State::waiting_for_peer, "no consistent replica can be reached to sync from", "connect one");
}

// By what was fetched since the last sync alone it would be ours, or granted to us; nobody else shows it.
bool Replica::has_forgotten_right() const {
  const Lsn end = log_->durable().position.lsn;
  const Tail tail = tail_of(log_->branch(), end, environment_.self(), Life{});
  const bool would_be_ours = tail == Tail::mine || tail == Tail::granted;
  return would_be_ours && tail_of(log_->branch(), end, environment_.self(), life_) != tail &&
         std::ranges::none_of(peers_, [](const auto& peer) { return peer.second.is_holder; });
}

// Who had more of our history when it was heard last, and cannot be asked for it. Empty: nobody.
std::string Replica::ahead_and_away() const {
  const Lsn end = log_->durable().position.lsn;
  for (const auto& [host, peer] : peers_) {
    if (environment_.is_connected(host) && peer.is_attached) continue;
    const auto common = bricks::common_position(log_->branch(), end, peer.branch, peer.durable.position.lsn);
    if (common.any && common.peer_beyond && !common.mine_beyond) return environment_.host_name(host);
  }
  for (const auto& [host, memory] : memories_) {
    if (remembered_beyond(host, memory) > 0) return environment_.host_name(host);
  }
  return {};
}

// The primary of our history says that there is another one, which this host may not see: ours may be the one that is
// given up.
std::string Replica::doubtful_primary() const {
  if (log_->branch().empty()) return {};
  const Uuid& epoch = log_->branch().back().id;
  for (const auto& [host, peer] : peers_) {
    const bool is_ours = !peer.branch.empty() && peer.branch.back().id == epoch;
    if (is_ours && environment_.is_connected(host) && peer.is_primary && peer.state == State::fork) {
      return environment_.host_name(host);
    }
  }
  return {};
}

}  // namespace mars::replication
