// Log: what a host does with the log that it finds (D10, D11).
#include <algorithm>
#include <limits>

#include "bricks/log.h"

#include "base/probe.h"

namespace mars::bricks {

namespace {
constexpr Lsn no_limit{std::numeric_limits<uint64_t>::max() / 2};
constexpr size_t scan_bytes = 1u << 20;

// Reads what can be read; what cannot is zero, so no batch.
Task<Status> read_what_can_be(io::File& file, uint64_t offset, std::span<std::byte> into) {
  Status status = co_await io::read(file, offset, into);
  if (status != Status::io_error) co_return status;
  for (size_t at = 0; at < into.size(); at += format::batch_block_bytes) {
    const auto part = into.subspan(at, std::min<size_t>(format::batch_block_bytes, into.size() - at));
    status = co_await io::read(file, offset + at, part);
    if (status == Status::io_error) std::fill(part.begin(), part.end(), std::byte{0});
    if (status != Status::ok && status != Status::io_error) co_return status;
  }
  co_return Status::ok;
}

}  // namespace

Task<Result<Log::Recovery>> Log::recover(std::vector<Position> peers_know) {
  if (auto opened = co_await segments_.open(); !opened) co_return failure(opened.error());
  branch_ = state_.value().branch;
  Recovery result;
  result.admitted = state_.value().admitted;
  Lsn known_durable;
  Error why(Status::not_found);
  {
    LogReader reader(segments_, options_, branch_, state_.value().applied);
    for (;;) {
      auto batch = co_await reader.next(no_limit);
      if (!batch) {
        why = batch.error();
        break;
      }
      forget_beyond(*batch);
      if (Status status = extend(branch_, *batch); status != Status::ok) co_return failure(status);
      result.admitted = batch->header.identity.admitted;
      last_time_ = batch->header.identity.time;
      known_durable = std::max(known_durable, batch->header.identity.durable);
    }
    result.end = reader.tip();
  }
  // A newer version's batch is no tear: nobody touches it who cannot read it.
  if (why.status == Status::gone || why.status == Status::unsupported) co_return failure(why);
  known_durable = std::max(known_durable, evidence_in_state());
  const Lsn end = result.end.position.lsn;
  result.reason = why.text;
  if (why.status == Status::not_found) result.reason += " in " + options_.directory + "/log";
  if (!segments_.damaged().empty()) result.reason += "; " + segments_.damaged().back();
  const Behind behind = co_await find_behind(end);
  result.evidence = std::max(behind.evidence, co_await evidence_of_short_files(end));
  result.evidence =
      std::max({result.evidence, known_durable, evidence_of_peers(peers_know), evidence_of_lost_files(end)});
  // A tear can be read; a place that cannot may have held anything, but nothing behind a clean end.
  const bool may_have_held = why.status == Status::io_error && !is_clean_end(result.end);
  if (may_have_held) result.evidence = std::max(result.evidence, end + format::batch_block_bytes);
  result.is_damaged = result.evidence > end;
  // A whole batch is no proof of itself; but where the log went on it may have been durable, and be here alone.
  if (result.is_damaged) result.evidence = std::max(result.evidence, behind.whole);
  if (result.is_damaged) reached("log: damaged, with evidence behind it");
  if (!result.is_damaged && why.status == Status::damaged) reached("log: torn tail");
  if (why.status == Status::io_error) reached("log: unreadable");
  if (result.end == state_.value().applied) co_await learn_last_time(result.end);
  admitted_ = durable_admitted_ = result.admitted;
  tail_ = result.end;
  const Lsn doubtful = std::max(std::min(known_durable, end), state_.value().applied.position.lsn);
  if (Status status = co_await make_durable_again(doubtful); status != Status::ok) {
    co_return failure(status, "cannot write to the log again: check the log disk");
  }
  if (!result.is_damaged) {
    // What follows has no evidence that it was durable.
    if (Status status = co_await segments_.set_aside_behind(result.end.position); status != Status::ok) {
      co_return failure(status, "cannot move what a crash left behind the end of the log");
    }
    if (co_await segments_.set_aside_lost(result.end.position.lsn) != Status::ok) reached("log: a lost file stays");
  }
  continue_at(result.end);
  co_return result;
}

void Log::continue_at(Tip end) {
  tail_ = durable_ = end;
  written_ = flush_wanted_ = end.position.lsn;
  current_ = nullptr;
  // The youngest file: an older one of the same epoch may have room behind its last batch, but the log has left it.
  for (Segment* segment : segments_.candidates(end.position.lsn)) {
    if (segment->header.epoch != end.position.epoch) continue;
    current_ = segment;
    break;
  }
}

// Everything up to the end of the log had been written back when it was closed.
bool Log::is_clean_end(const Tip& end) const { return state_.value().clean && end == state_.value().applied; }

// Nothing stands behind the applied position; the batch that ends there is found by its hash, so that the next one is
// not older than it, whatever the clock says (D3).
Task<void> Log::learn_last_time(Tip end) {
  for (const auto& segment : segments_.all()) {
    const Lsn last = end.position.lsn;
    if (segment->header.epoch != end.position.epoch || last <= segment->first() || last > segment->limit()) continue;
    const uint64_t bytes = std::min<uint64_t>(last - segment->first(), format::batch_bytes_max);
    const Lsn from{last.value - bytes};
    AlignedBuffer buffer(bytes);
    if (co_await io::read(*segment->file, segment->offset_of(from), buffer.span()) != Status::ok) co_return;
    for (uint64_t back = format::batch_block_bytes; back <= bytes; back += format::batch_block_bytes) {
      auto header = format::decode_batch_header(buffer.span().last(back));
      if (!header || header->hash != end.hash || header->batch_bytes != back) continue;
      if (auto batch = format::verify_batch(buffer.span().last(back))) last_time_ = batch->header.identity.time;
      co_return;
    }
  }
}

// The state block knows epochs behind a damaged end; a forced one began in front of them, and the state block had not
// heard of it when the host died.
void Log::forget_beyond(const format::Batch& batch) {
  const bool begins_epoch = !batch.records.empty() && batch.records.front().op == RecordOp::epoch;
  const Lsn at = batch.header.identity.lsn;
  if (!begins_epoch || find_epoch(branch_, batch.header.identity.epoch) != nullptr || branch_.empty()) return;
  if (branch_.back().first >= at) cut(branch_, at);
}

// What the state block knows to have been durable: its hint, and everything below a release that was (T3). Of an epoch
// that has ended no more than its end, and nothing behind the beginning of one that was read here and that the state
// block has not heard of: what lay there was given up.
Lsn Log::evidence_in_state() const {
  const format::StateBlock& state = state_.value();
  Lsn evidence = state.durable.position.lsn;
  const format::BranchEpoch* epoch = find_epoch(branch_, state.durable.position.epoch);
  if (epoch != nullptr && epoch->ended) evidence = std::min(evidence, epoch->end);
  if (auto release = format::verify_batch(state.gone)) {
    const format::BatchIdentity& identity = release->header.identity;
    const format::BranchEpoch* released = find_epoch(branch_, identity.epoch);
    const bool is_cut = released == nullptr || (released->ended && released->end <= identity.lsn);
    if (!is_cut) evidence = std::max(evidence, identity.lsn);
  }
  for (const format::BranchEpoch& one : branch_) {
    if (find_epoch(state.branch, one.id) == nullptr) evidence = std::min(evidence, one.first);
  }
  return evidence;
}

// What a peer was told to be durable was durable, as long as its epoch is of this branch and goes so far.
Lsn Log::evidence_of_peers(const std::vector<Position>& positions) const {
  Lsn evidence;
  for (const Position& position : positions) {
    const format::BranchEpoch* epoch = find_epoch(branch_, position.epoch);
    if (epoch == nullptr) continue;
    evidence = std::max(evidence, epoch->ended ? std::min(epoch->end, position.lsn) : position.lsn);
  }
  return evidence;
}

// Whether a batch of the same epoch stands behind `end`, in this log's files, that continues it.
Task<bool> Log::goes_on_in_epoch(Tip end) {
  Branch open = branch_;
  cut(open, end.position.lsn);
  if (!open.empty() && open.back().released_to.is_nil()) open.back().ended = false;
  LogReader reader(segments_, options_, open, end);
  auto batch = co_await reader.next(no_limit);
  co_return batch && batch->header.identity.epoch == end.position.epoch;
}

// cut_back() ended the youngest epoch here, and a crash came before all files behind it were moved: they are abandoned.
bool Log::was_cut_at(Lsn end) const {
  return !branch_.empty() && branch_.back().ended && branch_.back().end <= end && branch_.back().released_to.is_nil();
}

// A file whose header rotted, with a first batch that is not whole either. A tear never looks like that. One that
// begins before the bad place held it, unless a younger file does; after a clean end nothing stood behind. Where a
// later reign begins before it, it was given up. Files of a reign that died before its first batch say nothing.
Lsn Log::evidence_of_lost_files(Lsn bad) const {
  Lsn evidence;
  if (was_cut_at(bad)) return evidence;
  for (const format::SegmentName& name : segments_.lost()) {
    const auto is_successor = [&](const auto& one) {
      return one->header.epoch_number > name.epoch_number && one->first() <= std::min(name.first, bad) &&
             find_epoch(branch_, one->header.epoch) != nullptr;
    };
    if (std::ranges::any_of(segments_.all(), is_successor)) continue;
    const auto is_younger = [&](const auto& one) {
      return one->first() > name.first && one->first() <= bad && find_epoch(branch_, one->header.epoch) != nullptr;
    };
    const bool held_it = !state_.value().clean && std::ranges::none_of(segments_.all(), is_younger);
    if (name.first >= bad || held_it)
      evidence = std::max(evidence, std::max(name.first, bad) + format::batch_block_bytes);
  }
  return evidence;
}

// A file is filled and durable before it is used, so one that ends too early was cut; if the log ends where it does,
// what followed may have been durable.
Task<Lsn> Log::evidence_of_short_files(Lsn bad) {
  for (const auto& segment : segments_.all()) {
    if (segment->missing_bytes == 0 || bad < segment->first()) continue;
    const auto* owner = find_epoch(branch_, segment->header.epoch);
    if (owner == nullptr ? was_cut_at(bad) : owner->ended && owner->end <= bad) continue;
    if (bad >= segment->limit() + segment->missing_bytes || state_.value().clean) continue;
    if (bad >= segment->limit()) co_return bad + format::batch_block_bytes;
    const uint64_t left = segment->limit() - bad;
    AlignedBuffer head(format::batch_block_bytes);
    if (co_await read_what_can_be(*segment->file, segment->offset_of(bad), head.span()) != Status::ok) continue;
    auto header = format::decode_batch_header(head.span());
    if (header && header->batch_bytes > left) co_return bad + header->batch_bytes;
  }
  co_return Lsn{};
}

// Whole batches behind the bad place say how far the log was durable when they were composed; the furthest counts. A
// file of a later epoch is such a batch too: its epoch start binds its parent's durable end.
Task<Log::Behind> Log::find_behind(Lsn bad) {
  Behind behind;
  for (const auto& segment : segments_.all()) {
    const Lsn from = std::max(segment->first(), bad);
    const auto* owner = find_epoch(branch_, segment->header.epoch);
    const bool is_ours = owner == nullptr ? !was_cut_at(bad) : !owner->ended || owner->end > bad;
    if (from >= segment->limit() || !is_ours) continue;
    const Behind here = co_await find_in(*segment, from);
    behind = {std::max(behind.evidence, here.evidence), std::max(behind.whole, here.whole)};
  }
  co_return behind;
}

// Looks at the bytes that may have been in flight behind `from`, and as many behind each whole batch that is found.
Task<Log::Behind> Log::find_in(Segment& segment, Lsn from) {
  Behind behind;
  AlignedBuffer bytes(std::min<uint64_t>(scan_bytes + format::batch_bytes_max, segment.limit() - from));
  const uint64_t window = segment.header.in_flight_bytes_max + format::batch_bytes_max;
  Lsn to = from + window;
  for (Lsn chunk = from; chunk < std::min(to, segment.limit()); chunk += scan_bytes) {
    const size_t count = std::min<uint64_t>(bytes.size(), segment.limit() - chunk);
    if (co_await read_what_can_be(*segment.file, segment.offset_of(chunk), bytes.span().first(count)) != Status::ok) {
      break;
    }
    for (uint64_t at = 0; at < scan_bytes && at + format::batch_block_bytes <= count; at += format::batch_block_bytes) {
      const ByteView rest = bytes.span().subspan(at, count - at);
      auto header = format::decode_batch_header(rest);
      if (!header || header->batch_bytes > rest.size()) continue;
      format::BatchExpectation expected{options_.cluster, options_.resource, segment.header.epoch, chunk + at, {}};
      auto batch = format::verify_batch(rest.first(header->batch_bytes), expected);
      if (!batch) continue;
      behind.evidence = std::max(behind.evidence, batch->header.identity.durable);
      behind.whole = std::max(behind.whole, batch->header.end());
      to = std::max(to, batch->header.end() + window);
    }
  }
  co_return behind;
}

// What was read back may have come from a cache that a failed or missing flush never emptied: it is written and flushed
// once more before anybody trusts it.
Task<Status> Log::make_durable_again(Lsn from) {
  for (const auto& segment : segments_.all()) {
    const auto* owner = find_epoch(branch_, segment->header.epoch);
    if (owner == nullptr) continue;
    Lsn to = segment->limit();
    if (owner->ended) to = std::min(to, owner->end);
    // Behind its last batch a file has what no LSN counts, and what perhaps cannot be read.
    for (const auto& other : segments_.all()) {
      const bool follows = other->header.epoch == segment->header.epoch && other->first() > segment->first();
      if (follows) to = std::min(to, other->first());
    }
    to = std::min(to, tail_.position.lsn);
    const Lsn start = std::max(from, segment->first());
    if (start >= to) continue;
    if (Status status = co_await rewrite(*segment, start, to); status != Status::ok) co_return status;
  }
  co_return Status::ok;
}

Task<Status> Log::rewrite(Segment& segment, Lsn from, Lsn to) {
  AlignedBuffer bytes(std::min<uint64_t>(scan_bytes, to - from));
  for (Lsn at = from; at < to; at += scan_bytes) {
    const auto part = bytes.span().first(std::min<uint64_t>(bytes.size(), to - at));
    Status status = co_await io::read(*segment.file, segment.offset_of(at), part);
    if (status == Status::ok) status = co_await io::write(*segment.file, segment.offset_of(at), part);
    if (status != Status::ok) co_return status;
  }
  co_return co_await io::flush(*segment.file);
}

}  // namespace mars::bricks
