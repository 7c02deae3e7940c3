// Segments: the files of one resource's log on this host (D8). Knows names, headers, room and which file holds which
// LSN; nothing of what the batches mean. Files are allocated whole, zero-filled and durable before use, and recycled.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "format/segment.h"
#include "io/machine.h"

namespace mars::bricks {

struct SegmentsOptions {
  std::string directory;  // of the resource on the log disk; has log/ and branch/ below it
  Uuid cluster;
  Uuid resource;
  uint64_t segment_bytes = 64u << 20;  // of a new file, header included
  uint64_t in_flight_bytes_max = 16u << 20;
  size_t spare_max = 2;               // recycled files that are kept for the next roll
  uint64_t control_bytes = 1u << 20;  // of the file that is always free for release and epoch start (D8)
  // No log file is made that leaves less than this free on the log disk (log-reserve): it is for the control segment,
  // the state and the store.
  uint64_t reserve_bytes = 0;
};

// One file. Owned by Segments; stays where it is while `readers` is not zero.
struct Segment {
  std::string path;
  format::SegmentHeader header;
  std::unique_ptr<io::File> file;
  uint32_t readers = 0;
  uint64_t missing_bytes = 0;  // of what the header says: the file was cut, which no crash does

  Lsn first() const { return header.first; }
  Lsn limit() const { return header.first + (header.capacity - format::segment_header_bytes); }  // no batch beyond it
  uint64_t offset_of(Lsn lsn) const { return format::segment_header_bytes + (lsn - header.first); }
};

class Segments {
 public:
  Segments(io::Machine& machine, SegmentsOptions options);

  // Makes the directories, lists the files, opens each and checks its header. A damaged header is made up from the
  // file's name and its first batch, if that is whole; otherwise the file is left alone and named by lost(): what it
  // held may have been durable. Nothing is repaired in place.
  Task<Result<void>> open();

  // In the order of (first LSN, epoch number).
  const std::vector<std::unique_ptr<Segment>>& all() const { return segments_; }
  // Sentences for the operator about every file whose header is not as it should be.
  const std::vector<std::string>& damaged() const { return damaged_; }
  // Files that cannot be used, by what their name says.
  const std::vector<format::SegmentName>& lost() const { return lost_; }
  // Those that may hold a batch beginning at `lsn`, newest epoch first.
  std::vector<Segment*> candidates(Lsn lsn) const;
  Segment* find(EpochId epoch, Lsn first) const;

  // A file whose first batch will stand at `first`: recycled, or new. Its header and its name are durable on return. A
  // file of that name which is there already (a crash before its first batch) is taken as it is.
  // no_space: nothing was made; trim() may help. `is_control`: for a control batch: where there is no room it gets the
  // control segment, which is made anew by trim() and open().
  Task<Result<Segment*>> begin(EpochId epoch, uint64_t epoch_number, Lsn first, bool is_control = false);

  // The control segment was taken for want of room, and nothing has been freed since: the reserve is no longer whole.
  bool is_short() const { return is_short_; }

  // Gives up files whose batches all lie below `limit`, oldest first: those before a file that begins at or below it
  // and counts. One does not when it was left behind by another history, or by ours behind a damaged end: what it
  // claims to follow may still be written in an earlier file. What is `current`, as it changes, and what is read,
  // stays.
  using Counts = std::function<bool(const Segment&)>;
  Task<Status> trim(Lsn limit, Counts counts, Segment* const& current);
  // How much trim() would give up when nobody reads it.
  uint64_t bytes_below(Lsn limit, const Counts& counts, const Segment* current) const;
  // What is kept for the next files. It is gone when others need the room.
  uint64_t spare_bytes() const { return spares_.size() * options_.segment_bytes; }
  Task<Status> drop_spares();
  // Files that begin at or behind `from` leave the branch, lost ones too: they move to branch/ and are kept (P6). The
  // newest goes first, so that a crash in between leaves the beginning of a history and never a hole.
  Task<Status> set_aside(Lsn from);
  // What a crash left behind the end of the log: files that begin behind it, or at it but in another epoch.
  Task<Status> set_aside_behind(const Position& end);
  // Of those whose header could not be read.
  Task<Status> set_aside_lost(Lsn from);
  // All files go.
  Task<Status> drop_all();

  uint64_t bytes() const;  // on disk, spares included
  // What the log disk had above the reserve when it was asked last, which is at each new file and whenever old
  // ones were removed; nothing: not known.
  std::optional<uint64_t> room() const;

  // What lies in branch/: histories that were given up.
  uint64_t branch_bytes() const;
  // The oldest of it goes until at most `bytes_max` are left. How much went.
  Task<Result<uint64_t>> shrink_branch(uint64_t bytes_max);

 private:
  std::string log_path(const std::string& name) const { return options_.directory + "/log/" + name; }
  Task<bool> remove_leftover(std::string name);
  Task<Result<void>> open_branch();
  size_t past(Lsn limit, const Counts& counts) const;
  Task<Status> ask_room();  // room() has the answer
  Task<Status> has_room(uint64_t bytes);
  Task<Result<void>> open_one(std::string name);
  Task<Status> read_header(Segment& segment, const std::string& name);
  Task<bool> make_up_header(Segment& segment, const std::string& name);
  Task<Result<std::unique_ptr<io::File>>> take_spare_or_make(std::string& name);
  Task<Result<std::unique_ptr<io::File>>> make_file(std::string path, uint64_t bytes);
  Task<Result<std::unique_ptr<io::File>>> open_file(std::string path);
  Task<Status> keep_control_segment();
  Task<Status> retire(std::unique_ptr<Segment> segment);
  Task<Status> move_aside(std::unique_ptr<Segment> segment);
  Task<Status> keep_in_branch(std::string path, std::string mark);
  Task<Status> free_name(const std::string& path, EpochId epoch);
  void sort();

  io::Machine& machine_;
  SegmentsOptions options_;
  std::vector<std::unique_ptr<Segment>> segments_;
  std::vector<std::string> spares_;  // names in log/
  std::vector<std::string> damaged_;
  std::vector<format::SegmentName> lost_;
  std::vector<io::DirectoryEntry> kept_;  // in branch/, the oldest first
  std::optional<uint64_t> free_;          // on the log disk, when it was asked last
  uint64_t generation_ = 0;               // of what is moved there
  uint64_t spare_number_ = 0;
  bool has_control_ = false;  // the control segment is there
  bool is_short_ = false;
  int beginnings_ = 0;  // begin() under way
};

}  // namespace mars::bricks
