#include "replication/replica.h"

#include <algorithm>

#include "base/probe.h"
#include "replication/fingerprint.h"

namespace mars::replication {

using namespace std::chrono_literals;
using control::State;
using format::ReplicaState;
using format::StateBlock;

Replica::Replica(Environment& environment, ReplicaOptions options, std::unique_ptr<Device> device)
    : environment_(environment),
      options_(std::move(options)),
      machine_(environment.machine()),
      device_(std::move(device)),
      insertions_(machine_, graph_),
      room_turn_(machine_.ready(), 1),
      turn_(machine_.ready(), 1),
      stop_(machine_.ready()),
      following_stop_(machine_.ready()),
      wake_(machine_.ready()),
      scope_(machine_.ready()),
      probing_(machine_.ready()),
      following_(machine_.ready()),
      serving_stop_(machine_.ready()),
      served_(machine_.ready()),
      log_turn_(machine_.ready(), 1) {}

Replica::~Replica() { CHECK(log_ == nullptr && serving_count_ == 0); }

void Replica::start() {
  const auto known = environment_.memories(options_.resource);
  if (const auto mine = known.find(environment_.self()); mine != known.end()) memories_ = mine->second;
  scope_.spawn(work());
  scope_.spawn(announce());
  scope_.spawn(keep_memories());
}

// Positions move with every batch; others hear of them a few times a second.
Task<void> Replica::announce() {
  constexpr io::Duration patience = 5s;
  std::optional<io::Instant> short_since;
  while (co_await io::sleep_for(machine_, 200ms, stop_)) {
    if (log_ == nullptr) continue;
    if (is_handover_taken_back()) handover_channel_->close();
    take_stock();
    environment_.report_changed(options_.resource);
    // Whoever holds the turn may wait for room: it is made beside.
    if (log_->needs_space() && !is_leaving_) co_await make_room();
    // Nobody waits, but a reign that began in the reserve leaves no room for the next: after each crash one file more.
    // The others have a while to say what they need.
    if (log_ == nullptr || !log_->segments().is_short()) {
      short_since.reset();
    } else if (!short_since) {
      short_since = machine_.now();
    } else if (machine_.now() - *short_since > patience && !is_leaving_) {
      co_await make_room();
    }
    if (log_ != nullptr && log_->needs_space() && shown_ == State::opening) {
      say(State::waiting_for_space, "the log disk is full: opening waits for room", "make room on the log disk");
    }
  }
}

// What waits for room in a full log waits no more when there is none: it stays where it is (D6).
Task<void> Replica::end_activities() {
  stop_.set();
  insertions_.give_up();
  wake_.notify();
  const bool is_over = false;
  while (scope_.count() > 0) {
    if (handover_channel_ != nullptr) handover_channel_->close();
    if (replayer_ != nullptr) replayer_->interrupt();
    co_await make_room_or_give_up(is_over);
    co_await io::wait_until(machine_, wake_, machine_.now() + 10ms);
  }
  co_await scope_.join();
}

uint64_t Replica::written_bytes() const {
  return (logger_ ? logger_->written_bytes() : 0) + (replayer_ ? replayer_->written_bytes() : 0);
}

Task<void> Replica::stop(std::function<bool()> may_force) {
  co_await end_activities();
  co_await turn_.acquire();
  if (role_ == Role::primary) {
    bool is_drained = false;
    Scope beside(machine_.ready());
    beside.spawn(make_room_until(is_drained));
    auto closed = co_await device_->close();
    // That it is not in use was seen some time ago, or a user shows nowhere. What is still being written back is waited
    // for as long as it moves.
    for (uint64_t written = 0; !closed; closed = co_await device_->close()) {
      const Status status = closed.error().status;
      const bool moves = status == Status::timed_out && written_bytes() != written;
      if (!moves && (status != Status::busy || may_force())) break;
      written = written_bytes();
      co_await io::wait_until(machine_, wake_, machine_.now() + 200ms);
    }
    if (!closed) {
      was_cut_off_ = true;
      environment_.event(options_.resource, "the device is taken away from its users: " + closed.error().text);
      co_await device_->force_close();
    }
    // Nothing new can come now.
    if (co_await drain() != Status::ok) say(State::failed, "not everything could be written back");
    is_drained = true;
    wake_.notify();
    co_await beside.join();
  }
  co_await let_go();
  turn_.release(1);
}

void Replica::wake() {
  ++calls_;
  wake_.notify();
}

void Replica::on_report(const Uuid& peer, Report report) {
  heard_[peer] = machine_.now();
  remember(memory_of(peer), report);
  answered_.insert(peer);
  unable_.erase(peer);
  if (const auto former = peers_.find(peer); former != peers_.end()) complete(report, former->second);
  end_pin(peer, report);
  if (log_ != nullptr && given_up_.contains(peer)) {
    const auto common = bricks::common_position(log_->branch(), log_->durable().position.lsn, report.branch,
                                                report.durable.position.lsn);
    if (common.any && common.position.lsn >= trim_limit()) given_up_.erase(peer);
  }
  peers_[peer] = std::move(report);
  wake();
}

void Replica::on_peer_down(const Uuid& peer) {
  pins_.erase(peer);
  answered_.erase(peer);
  silences_.erase(peer);
  wake();
}

std::optional<io::Instant> Replica::heard(const Uuid& peer) const {
  const auto found = heard_.find(peer);
  if (found == heard_.end()) return std::nullopt;
  return found->second;
}

namespace {
bool is_routine(State state) {
  return state == State::up_to_date || state == State::replaying || state == State::fetching;
}
}  // namespace

void Replica::say(State state, std::string reason, std::string next_step) {
  // Nobody is left without one (P13).
  if (next_step.empty() && control::row(state).weight == control::Weight::broken) {
    next_step = "check the disks of this replica; then run `marsadm detach " + options_.name +
                "` and `marsadm attach " + options_.name + "`";
  }
  if (shown_ == state && reason_ == reason && next_step_ == next_step) return;
  const State was = shown_;
  const bool is_other_state = was != state;
  if (is_other_state) reached("state", control::name(state));
  shown_ = state;
  reason_ = std::move(reason);
  next_step_ = std::move(next_step);
  // The daily coming and going of a replica under load is no event: the bounded history is for what matters.
  if (is_other_state && !(is_routine(was) && is_routine(state))) {
    std::string text(control::name(state));
    if (!reason_.empty()) text += ": " + reason_;
    environment_.event(options_.resource, std::move(text));
  }
  environment_.report_changed(options_.resource);
}

// ---- the strategy

Task<void> Replica::work() {
  while (!stop_.is_set()) {
    co_await turn_.acquire();
    const uint64_t calls = calls_;
    if (!stop_.is_set()) co_await step();
    turn_.release(1);
    // What came from outside during the step may have come too late for it.
    co_await io::wait_until(machine_, wake_, machine_.now() + (calls_ == calls ? 1s : 100ms));
  }
}

// One look at everything, and the next safe step. Nothing here waits for a peer without a deadline.
Task<void> Replica::step() {
  if (!environment_.switches(options_.resource).attach) {
    if (log_ == nullptr) say(State::detached, "", "run `marsadm attach " + options_.name + "`");
    co_return;
  }
  if (log_ == nullptr && !co_await try_attach()) co_return;
  forget_strangers();
  co_await look_at_disk();
  co_await trim();
  apply_settings();
  if (role_ == Role::primary) co_return co_await step_primary();
  const bool is_consistent = state_->value().state == ReplicaState::consistent;
  if (is_consistent) {
    note_evidence();
    note_gap_in_pool();
    accepts_loss_ = accepts_loss_ && may_have_lost();  // what was missing may have come back
    if (may_read_on()) {
      reached("log: read on behind what was fetched");
      co_await let_go();
      co_return wake_.notify();
    }
    co_await learn_data_end();
    if (stop_.is_set()) co_return;
  }
  note_fork();
  // A failed log takes nothing more, and a later success proves nothing (D5): until it is attached anew, it is shown.
  // The same holds for the state block: each attempt to open would begin an epoch that it cannot write down.
  const bool has_failed = log_->failed() || state_->failed() != Status::ok;
  if (!is_consistent || has_failed) co_return co_await step_follower();
  co_await act(decide_start(facts()));
}

// Executes the table; decides nothing.
Task<void> Replica::act(StartAction action) {
  reached("start", name(action));
  const StillDue is_still_due = [this, action] { return decide_start(facts()) == action; };
  Status status = Status::ok;
  switch (action) {
    case StartAction::recreate_gone:
      status = co_await recreate_gone();
      if (status != Status::ok) say(State::log_damaged, "the log before this host's release is lost");
      break;
    case StartAction::drop_tail:
      if (!co_await drop_empty_tail(start_of_rivals(false))) co_return;
      break;
    case StartAction::open_recovered:
      co_return co_await open_primary(EpochCause::recover, {}, true, is_still_due);
    case StartAction::open_granted:
      co_return co_await open_primary(EpochCause::grant, log_->branch().back().grant, true, is_still_due);
    case StartAction::null_reign:
      co_return co_await open_primary(EpochCause::grant, log_->branch().back().grant, false, is_still_due);
    case StartAction::keep_closed:
      // A rival may be heard until open-wait is over: then there is nothing to hand over (row 8).
      if (wish() != Wish::other || is_forked_ || !has_heard()) break;
      // What a dead predecessor had acknowledged belongs to the old epoch: it goes first (D6).
      if (has_unlogged()) co_return co_await open_primary(EpochCause::recover, {}, false, is_still_due);
      co_return co_await hand_over(environment_.designated(options_.resource));
    case StartAction::follow:
      // While a rival is only remembered, this would be fetched again at once, and dropped again.
      if (!co_await drop_empty_tail(start_of_rivals(true))) co_return;
      status = co_await remember_gone();
      if (status != Status::ok) co_return say(State::log_failed, "the state block cannot be written");
      break;
    default:
      break;
  }
  co_await step_follower();
}

// Who has left the resource decides nothing any more.
void Replica::forget_strangers() {
  const auto members = environment_.members(options_.resource);
  const auto is_stranger = [&](const auto& entry) {
    return std::find(members.begin(), members.end(), entry.first) == members.end();
  };
  std::erase_if(peers_, is_stranger);
  std::erase_if(memories_, is_stranger);
}

// Who answers without having read its log, because it just starts, has said nothing yet (T10).
bool Replica::has_heard() const {
  const auto wait = std::chrono::milliseconds(environment_.settings(options_.resource).open_wait_ms);
  if (machine_.now() >= attached_at_ + wait) return true;
  return std::ranges::all_of(environment_.awaited(options_.resource), [this](const Uuid& member) {
    const auto peer = peers_.find(member);
    const bool has_said = answered_.contains(member) && peer != peers_.end() && peer->second.is_attached;
    return member == environment_.self() || has_said;
  });
}

Wish Replica::wish() const {
  const Uuid wanted = environment_.designated(options_.resource).host;
  if (wanted.is_nil()) return Wish::none;
  return wanted == environment_.self() ? Wish::me : Wish::other;
}

StartFacts Replica::facts() const {
  StartFacts facts;
  const bricks::Branch& branch = log_->branch();
  const Lsn end = log_->durable().position.lsn;
  facts.tail = tail_of(branch, end, environment_.self(), life_);
  const StateBlock& state = state_->value();
  if (!state.gone.empty() && !branch.empty()) {
    // Of the epoch in which the durable log ends, whatever the branch knows behind it.
    const format::BranchEpoch* last = end.value == 0 ? nullptr : bricks::epoch_at(branch, {end.value - 1});
    auto release = format::verify_batch(state.gone);
    if (release && last != nullptr && release->header.identity.epoch == last->id) {
      facts.is_gone = true;
      // Where the epoch was cut back to before that release, nothing is lost: another reign has taken its place.
      const bool was_cut = last->ended && last->end <= release->header.identity.lsn;
      facts.is_gone_lost = end < release->header.end() && !was_cut;
    }
  }
  for (const auto& [host, peer] : peers_) {
    if (is_outremembered(branch, end, environment_.self(), life_, peer)) facts.is_outremembered = true;
    if (!peer.is_consistent) continue;
    facts.rival = std::max(facts.rival, rival(peer));
  }
  facts.is_damaged = has_lost_log();
  facts.has_heard = has_heard();
  facts.wish = wish();
  return facts;
}

// ---- attach and detach

Task<bool> Replica::try_attach() {
  if (shown_ == State::detached) say(State::opening, "the disks are opened, and the log is read");
  auto attached = co_await attach();
  if (attached) co_return true;
  say(attach_problem_, attached.error().text, attach_next_step_);
  // Refused for what only this log has: while it is open, others fetch it.
  if (log_ != nullptr && attach_problem_ == State::disk_changed) co_await io::sleep_for(machine_, 1s, stop_);
  co_await let_go();
  co_return false;
}

Task<Result<void>> Replica::attach() {
  is_disk_ours_ = false;
  attach_problem_ = State::failed;
  attach_next_step_ = "check the disk of " + options_.state_directory +
                      " and bring that file back as it was; or give this replica up: `marsadm leave-resource " +
                      options_.name + "` here, then `marsadm join-resource` from a host that has the data";
  auto life = co_await read_life(machine_, options_.state_directory);
  if (!life) co_return failure(life.error());
  life_ = *life;
  state_ = std::make_unique<bricks::StateFile>(machine_);
  if (auto opened = co_await state_->open(options_.state_directory + "/state"); !opened) co_return opened;
  attach_next_step_.clear();
  if (auto opened = co_await open_disk(); !opened) co_return opened;
  if (auto opened = co_await open_log(); !opened) co_return opened;
  if (options_.allow_changed_disk) {
    if (auto accepted = co_await accept_other_disk(); !accepted) co_return accepted;
  }
  is_disk_ours_ = true;
  accepts_loss_ = accepts_loss_ && may_have_lost();
  role_ = Role::closed;
  times_.clear();
  replaying_.reset();
  note_time();
  attached_at_ = machine_.now();
  environment_.report_changed(options_.resource);
  co_return Result<void>();
}

Task<Result<void>> Replica::open_log() {
  const bricks::SegmentsOptions segments = co_await segments_options(environment_, options_);
  // A log that is still being read says nothing yet: what it lacks now would be taken for what this host lacks.
  auto log = std::make_unique<bricks::Log>(machine_, *state_, segments);
  log->on_roll([this] { wake_.notify(); });
  auto recovered = co_await log->recover(remembered_of_me());
  if (!recovered) {
    attach_problem_ = State::log_missing;
    attach_next_step_ = "check the log disk at " + options_.log_directory;
    co_await log->close();
    co_return failure(recovered.error());
  }
  log_ = std::move(log);
  recovery_ = *recovered;
  for (const std::string& file : log_->segments().damaged()) environment_.event(options_.resource, file);
  serve_limit_ = log_->durable().position.lsn;
  // A release that the state block does not know yet is not shown to anybody (T3).
  const bool is_released =
      tail_of(log_->branch(), serve_limit_, environment_.self(), life_) == Tail::released_to_other &&
      log_->branch().back().host == environment_.self() && log_->branch().back().end > log_->oldest();
  is_releasing_ = is_released && !facts().is_gone;
  data_end_ = serve_limit_;
  if (is_releasing_) serve_limit_ = {serve_limit_.value - format::batch_block_bytes};
  learned_to_ = {};
  state_->on_write([this](StateBlock& state) { log_->fill(state); });
  // What a predecessor had acknowledged and the log has: it would keep its memory from others until this host opens.
  environment_.pool().drop_inherited(options_.resource, log_->admitted());
  co_return Result<void>();
}

// Everything that is open is closed, as cleanly as it can be. The device is closed already.
Task<void> Replica::let_go() {
  const Counted barred(barred_);
  is_leaving_ = true;
  co_await end_serving();
  if (role_ == Role::primary) co_await close_logger();
  co_await end_following();
  role_ = Role::closed;
  co_await room_turn_.acquire();
  if (log_ != nullptr) {
    co_await log_->close();
    co_await leave_clean();
    co_await leave_doubt();
    // What could not be written is not on the disk, whatever the value says: there the next start finds an unclean end.
    const StateBlock& state = state_->value();
    needs_pool_ = state_->failed() != Status::ok || (!state.clean && !state.pool_id.is_nil());
    state_->on_write(nullptr);
    log_.reset();
  }
  room_turn_.release(1);
  is_leaving_ = false;
  graph_.remove("data");
  data_.reset();
  co_await insertions_.drop_unused();
  graph_.remove("disk");
  disk_.reset();
  co_await probing_.join();
  disk_file_.reset();
  state_.reset();
  environment_.report_changed(options_.resource);
}

// The fingerprint says what the disk looked like when it was last ours (D17).
Task<void> Replica::leave_clean() {
  if (!is_disk_ours_) co_return;
  const StateBlock& state = state_->value();
  const Lsn end = log_->durable().position.lsn;
  // A clean end would forget the writes that are missing, and the next start would open without them.
  const bool misses_writes = has_unlogged() && tail_of(log_->branch(), end, environment_.self(), life_) == Tail::mine;
  const bool is_clean = !log_->failed() && !has_lost_log() && !misses_writes &&
                        state.state == ReplicaState::consistent && state.applied.position.lsn == end;
  if (!is_clean) co_return;
  auto identity = identity_of(*disk_file_);
  std::vector<format::FingerprintExtent> extents;
  for (const uint64_t offset : disk_->recent().offsets()) extents.push_back({0, offset});
  constexpr uint32_t extent_bytes = bricks::RecentExtents::extent_bytes;
  identity.fingerprint = co_await fingerprint(*disk_file_, options_.volume_bytes, extent_bytes, extents);
  if (co_await state_->update([&](StateBlock& block) {
        block.clean = true;
        block.disks = {identity};
        block.fingerprint_extent_bytes = extent_bytes;
        block.fingerprint_extents = extents;
      }) != Status::ok) {
    environment_.event(options_.resource,
                       "the clean end could not be written down; the next start reads the log again");
  }
}

Task<Result<void>> Replica::detach() {
  co_await turn_.acquire();
  options_.allow_changed_disk = accepts_loss_ = false;  // it was said of the disk and the log that were attached
  Result<void> result;
  if (role_ == Role::primary) result = co_await device_->close();
  if (result) {
    co_await room_turn_.acquire();
    // The next attach makes new ones: who is detached for long would keep them from the other resources on the log
    // disk.
    if (log_ != nullptr) static_cast<void>(co_await log_->segments().drop_spares());
    room_turn_.release(1);
    const Status drained = co_await drain_patiently(24h, 60s);
    Error why(drained, sentence_of_slow_disk());
    if (drained != Status::timed_out) why = co_await why_no_answer(60s);
    // It goes on as before: who detaches a disk that hangs would have neither.
    if (why.status != Status::ok) result = failure(std::move(why));
    if (result && role_ == Role::primary && drained != Status::ok) tell_undrained();
  }
  if (result) {
    co_await room_turn_.acquire();
    // The next attach makes new ones: who is detached for long would keep them from the other resources on the log
    // disk.
    if (log_ != nullptr) static_cast<void>(co_await log_->segments().drop_spares());
    room_turn_.release(1);
    co_await let_go();
    say(State::detached, "", "run `marsadm attach " + options_.name + "`");
  }
  turn_.release(1);
  co_return result;
}

}  // namespace mars::replication
