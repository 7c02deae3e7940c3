// Log: the transaction log of one resource on this host, and the only writer of its segments. The primary appends what
// it composed, a replica appends what it fetched; both become durable as a prefix (D5).
//
//   tail     end of what was handed to append()
//   written  end of what the disk took, as a prefix
//   durable  end of what a flush covered, as a prefix: only this is acknowledged, replayed and shipped
//
// At most in_flight_bytes_max lie between durable and what was given to the disk: so far evidence reaches (D10).
//
// A failed write or flush ends logging for good: nothing is retried (D5), failed() says so, later appends get io_error.
// No room: appends wait, needs_space() is true, and whoever trims calls space_freed().
#pragma once

#include <algorithm>
#include <functional>

#include "base/list.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "bricks/branch.h"
#include "bricks/log_reader.h"
#include "bricks/segments.h"
#include "bricks/state_file.h"

namespace mars::bricks {

// One batch on its way into the log. The caller owns it and the pieces until `durable` was called.
struct Append : ListHook {
  format::BatchHeader header;
  std::span<const ByteView> pieces;
  bool is_control = false;                                   // release, epoch start: has a file kept free for it (D8)
  bool is_urgent = false;                                    // somebody waits for it: flush as soon as it is written
  void (*durable)(Append& append, Status status) = nullptr;  // from the ready queue, in the order of the log
  // Set when it begins or ends an epoch; alive until durable(). The branch has it in the moment in which it is durable:
  // nobody sees an end of the log in an epoch that the branch does not know.
  const format::Batch* branch_step = nullptr;

 private:
  friend class Log;
  struct Op : io::FileOp {
    Append* append = nullptr;
    class Log* log = nullptr;
  };
  Op op;
  std::vector<io::Buffer> buffers;
  Segment* segment = nullptr;
  bool is_written = false;
  bool begins_reign = false;  // what lies behind its place was given up
};

class Log {
 public:
  static constexpr size_t pieces_max = io::File::buffers_max;

  Log(io::Machine& machine, StateFile& state, SegmentsOptions options);
  ~Log();

  // What recover() found. Nothing is appended before recover() was ok.
  struct Recovery {
    Tip end;                  // the log is whole up to here
    bool is_damaged = false;  // there is evidence that it was durable beyond `end` (D10); else the rest was torn
    Lsn evidence;           // when damaged: how far, or the end of the furthest whole batch, which nobody else may have
    uint64_t admitted = 0;  // of the last batch
    std::string reason;     // what stands at `end`, for the operator
  };
  // Reads from the state block's applied position to the end, tells tear from damage by evidence (`peers_know`: what
  // peers remember of this log; those on its branch count), extends the branch, and makes what it found durable anew
  // (D11).
  Task<Result<Recovery>> recover(std::vector<Position> peers_know);

  // For an empty log that will begin at `tip` (a new resource, a replica that will fetch from there).
  void begin_at(Tip tip, Branch branch);

  // header.identity must come from next_identity(). Completions come in order.
  void append(Append& append);
  // What the next batch must carry: all but `admitted` and the time.
  format::BatchIdentity next_identity() const;
  // Composes one batch of one control record and returns when it is durable.
  Task<Status> append_control(RecordOp op, ByteView payload, uint64_t admitted);
  // The first batch of a new epoch, in a file of its own; the branch has it when this returns (T1). The state block is
  // the caller's. `evidence`: how far the log is known to have been durable, when that is more than is left of it: the
  // state block says so until the new reign stands.
  Task<Status> begin_epoch(format::EpochStart start, uint64_t admitted, Lsn evidence = {});
  // What the state block cannot know by itself; whoever owns both calls it for each write (StateFile::on_write).
  void fill(format::StateBlock& state) const;
  // A whole verified batch of somebody else. refused: it does not continue this log. Its bytes are copied before this
  // suspends; several may be under way, in order.
  Task<Status> append_fetched(const format::Batch& batch);

  // The log is to be durable up to its present tail soon.
  void flush();
  // Waits until durable() >= lsn, which may not be appended yet. io_error when it failed, stopped on close(); who waits
  // must be gone before the log is destroyed.
  Task<Status> wait_durable(Lsn lsn);

  // History behind `end` leaves this branch: files that begin there move aside, and where a file has more of an epoch
  // than up to `end`, that epoch has ended there. The state block has it first, branch and durable hint. Nothing may be
  // in flight; readers must be gone.
  Task<Status> cut_back(Tip end);
  // The log begins anew at `tip`, on another branch. What was here moves to branch/ (`keeps_files`), or goes: the copy
  // of an interrupted sync. The same conditions as for cut_back().
  Task<Status> restart(Tip tip, Branch branch, bool keeps_files);
  Task<Status> trim(Lsn limit);
  uint64_t bytes_below(Lsn limit) const;  // what trim() would give up when nobody reads it
  void space_freed();
  // Somebody must end and there is no room: what waits for space gets io_error, logging has ended until cut_back() or
  // restart(), or until forget_given_up().
  void give_up();
  // What was given up for want of room is as if it had never come, and appends may follow. False: the log stays failed,
  // because not all that was written is durable. The same conditions as for cut_back().
  Task<bool> forget_given_up();

  const Branch& branch() const { return branch_; }
  Tip tail() const { return tail_; }
  Tip durable() const { return durable_; }
  Lsn oldest() const;  // the first position that can be read from here
  // Sequence of the last request that the durable log contains; before anything was appended, what the state block
  // knows. What was appended to a log that failed is not in it, and stays in the pool (D6).
  uint64_t admitted() const { return std::max(durable_admitted_, state_.value().admitted); }
  Stamp last_time() const { return last_time_; }
  bool failed() const { return failed_ != Status::ok; }
  bool needs_space() const { return needs_space_; }
  bool has_given_up() const { return gave_up_; }  // failed for want of room, and for nothing else
  // How often it was tried in vain: when this grows, what was freed was not enough.
  uint64_t tries_without_room() const { return tries_without_room_; }
  uint64_t in_flight_bytes() const { return tail_.position.lsn - written_; }
  const SegmentsOptions& options() const { return options_; }
  Segments& segments() { return segments_; }
  // Durable moved, it failed, or it waits for space.
  Notifier& changed() { return changed_; }
  // Called whenever another file was begun: trimming now may give the next one back, which then need not be made.
  void on_roll(std::move_only_function<void()> rolled) { rolled_ = std::move(rolled); }

  // No more appends; waits until nothing is in flight.
  Task<void> close();

 private:
  // Whole batches behind a bad place: how far they say that the log was durable, and how far they go themselves.
  struct Behind {
    Lsn evidence;
    Lsn whole;
  };

  void pump();
  bool start_write(Append& append);
  static void on_written(Job& job);
  void advance_written();
  void finish(Append& append, Status status);
  void start_flush();
  Task<void> flush_files(std::vector<Segment*> files, Lsn upto);
  void advance_durable(Lsn upto);
  void fail(Status status);
  Task<void> end_flush();
  bool is_on_branch(const Segment& segment) const;
  Task<void> roll();
  Task<Status> make_durable_again(Lsn from);
  Task<Status> rewrite(Segment& segment, Lsn from, Lsn to);
  Task<void> learn_last_time(Tip end);
  void forget_beyond(const format::Batch& batch);
  void begin_again();
  Task<Status> keep_evidence(Lsn evidence);
  Lsn evidence_in_state() const;
  Task<Behind> find_behind(Lsn bad);
  Task<Behind> find_in(Segment& segment, Lsn from);
  Lsn evidence_of_lost_files(Lsn bad) const;
  Task<Lsn> evidence_of_short_files(Lsn bad);
  Lsn evidence_of_peers(const std::vector<Position>& positions) const;
  bool was_cut_at(Lsn end) const;
  bool is_clean_end(const Tip& end) const;
  Task<bool> goes_on_in_epoch(Tip end);
  void continue_at(Tip end);

  io::Machine& machine_;
  StateFile& state_;
  SegmentsOptions options_;
  Segments segments_;
  Branch branch_;
  Tip tail_;
  Lsn written_;
  Tip durable_;
  bool has_begun_epoch_ = false;  // what was durable behind its beginning is given up
  uint64_t admitted_ = 0;         // of what was appended
  uint64_t durable_admitted_ = 0;
  uint64_t tries_without_room_ = 0;
  Stamp last_time_;

  Segment* current_ = nullptr;
  List<Append> queued_;          // composed, not submitted
  List<Append> submitted_;       // in order; written or not
  List<Append> unflushed_;       // written, not durable
  std::vector<Segment*> dirty_;  // files with writes that no flush covers
  Lsn flush_wanted_;
  bool flushing_ = false;
  bool rolling_ = false;
  bool needs_space_ = false;
  bool closing_ = false;
  Status failed_ = Status::ok;
  bool gave_up_ = false;  // it failed for want of room alone
  Event stop_;
  Notifier space_;
  std::move_only_function<void()> rolled_;
  Notifier changed_;
  Scope scope_;
};

}  // namespace mars::bricks
