#include "bricks/segments.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/aligned.h"
#include "base/counted.h"
#include "base/probe.h"
#include "format/batch.h"

namespace mars::bricks {

using format::segment_header_bytes;

namespace {

constexpr std::string_view spare_prefix = "spare-";
constexpr const char* control_name = "control";

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Segments::Segments(io::Machine& machine, SegmentsOptions options) : machine_(machine), options_(std::move(options)) {}

Task<Result<void>> Segments::open() {
  for (const char* folder : {"/log", "/branch"}) {
    if (Status status = co_await machine_.storage().make_directory(options_.directory + folder); status != Status::ok) {
      co_return failure(status, "cannot make " + options_.directory + folder + ": " + std::string(name(status)));
    }
  }
  auto entries = co_await machine_.storage().list(options_.directory + "/log");
  if (!entries) co_return failure(entries.error());
  for (const io::DirectoryEntry& entry : *entries) {
    if (entry.is_directory) continue;
    const bool is_control = entry.name == control_name;
    if (is_control && entry.bytes == options_.control_bytes) {
      has_control_ = true;
    } else if (is_control || entry.name.starts_with(spare_prefix)) {
      if (!co_await remove_leftover(entry.name)) co_return failure(Status::gone);
    } else if (format::parse_segment_name(entry.name)) {
      auto opened = co_await open_one(entry.name);
      if (!opened) co_return opened;
    }
  }
  sort();
  if (auto opened = co_await open_branch(); !opened) co_return opened;
  if (co_await keep_control_segment() == Status::gone) co_return failure(Status::gone);
  static_cast<void>(co_await ask_room());
  co_return Result<void>();
}

// One that stays is no reason not to open: it is in nobody's way. False: the process is gone.
Task<bool> Segments::remove_leftover(std::string name) {
  const Status status = co_await machine_.storage().remove(log_path(name));
  if (status == Status::ok || status == Status::not_found) co_return true;
  damaged_.push_back(log_path(name) + ": it is of no use, and cannot be removed");
  if (name.starts_with(spare_prefix)) {
    spare_number_ = std::max<uint64_t>(spare_number_, std::strtoull(name.c_str() + spare_prefix.size(), nullptr, 10));
  }
  co_return status != Status::gone;
}

// Names begin with the generation, so that their order is the order in which they came.
Task<Result<void>> Segments::open_branch() {
  auto entries = co_await machine_.storage().list(options_.directory + "/branch");
  if (!entries) co_return failure(entries.error());
  kept_ = std::move(*entries);
  for (const io::DirectoryEntry& entry : kept_) {
    if (!entry.name.starts_with("g")) continue;
    generation_ = std::max<uint64_t>(generation_, std::strtoull(entry.name.c_str() + 1, nullptr, 16));
  }
  ++generation_;
  co_return Result<void>();
}

Task<Status> Segments::ask_room() {
  const auto space = co_await machine_.storage().free_space(options_.directory);
  free_ = space ? std::optional(space->free_bytes) : std::nullopt;
  co_return space ? Status::ok : space.error().status;
}

// The reserve is not taken by log files; several resources that ask at once may each take one file too many.
Task<Status> Segments::has_room(uint64_t bytes) {
  const Status status = co_await ask_room();
  if (options_.reserve_bytes == 0) co_return Status::ok;
  if (status != Status::ok) co_return status;
  co_return *free_ < bytes + options_.reserve_bytes ? Status::no_space : Status::ok;
}

std::optional<uint64_t> Segments::room() const {
  if (!free_) return std::nullopt;
  return *free_ - std::min(*free_, options_.reserve_bytes);
}

// Made under another name, so that the name stands for a whole file. Without room it has to wait.
Task<Status> Segments::keep_control_segment() {
  // A file that is just being begun may be the former one, under its name still.
  if (beginnings_ > 0) co_return Status::ok;
  if (!has_control_) {
    const std::string unnamed = log_path(std::string(spare_prefix) + std::to_string(++spare_number_));
    auto made = co_await make_file(unnamed, options_.control_bytes);
    if (!made) co_return made.error().status;
    made->reset();
    const Status status = co_await machine_.storage().rename(unnamed, log_path(control_name));
    if (status != Status::ok) co_return status;
    has_control_ = true;
  }
  // Whoever made room: the reserve is whole again.
  if (is_short_ && co_await has_room(0) == Status::ok) is_short_ = false;
  co_return Status::ok;
}

Task<Result<std::unique_ptr<io::File>>> Segments::open_file(std::string path) {
  io::OpenOptions options;
  options.exclusive = true;
  co_return co_await machine_.storage().open(path, options);
}

Task<Result<void>> Segments::open_one(std::string name) {
  auto segment = std::make_unique<Segment>();
  segment->path = log_path(name);
  auto file = co_await open_file(segment->path);
  if (!file) co_return failure(file.error());
  segment->file = std::move(*file);
  Status status = co_await read_header(*segment, name);
  if (status == Status::gone) co_return failure(status);
  if (status == Status::unsupported) co_return failure(status, damaged_.back());
  if (status != Status::ok && !co_await make_up_header(*segment, name)) {
    lost_.push_back(*format::parse_segment_name(name));
    co_return Result<void>();
  }
  segments_.push_back(std::move(segment));
  co_return Result<void>();
}

Task<Status> Segments::read_header(Segment& segment, const std::string& name) {
  AlignedBuffer header(segment_header_bytes);
  if (Status status = co_await io::read(*segment.file, 0, header.span()); status != Status::ok) {
    damaged_.push_back(segment.path + ": cannot be read");
    co_return status;
  }
  auto decoded = format::decode_segment_header(header.span());
  if (!decoded) {
    damaged_.push_back(segment.path + ": " + decoded.error().text);
    co_return decoded.error().status;
  }
  const bool is_ours = decoded->cluster == options_.cluster && decoded->resource == options_.resource;
  if (!is_ours || to_string(format::SegmentName{decoded->epoch_number, decoded->first}) != name) {
    damaged_.push_back(segment.path + ": the header belongs to another file or resource");
    co_return Status::damaged;
  }
  segment.header = *decoded;
  const uint64_t whole_bytes = segment.file->size() / segment_header_bytes * segment_header_bytes;
  if (whole_bytes < segment.header.capacity) {
    damaged_.push_back(segment.path + ": shorter than it was made");
    segment.missing_bytes = segment.header.capacity - whole_bytes;
    segment.header.capacity = whole_bytes;
  }
  co_return Status::ok;
}

// A header is durable before its file gets a name, so a bad one is rot and no tear: what follows it may be whole.
Task<bool> Segments::make_up_header(Segment& segment, const std::string& name) {
  const format::SegmentName parsed = *format::parse_segment_name(name);
  const uint64_t capacity = segment.file->size() / segment_header_bytes * segment_header_bytes;
  if (capacity < segment_header_bytes + format::batch_block_bytes) co_return false;
  AlignedBuffer bytes(std::min<uint64_t>(capacity - segment_header_bytes, format::batch_bytes_max));
  if (co_await io::read(*segment.file, segment_header_bytes, bytes.span()) != Status::ok) co_return false;
  auto first = format::decode_batch_header(bytes.span());
  if (!first || first->batch_bytes > bytes.size()) co_return false;
  auto batch = format::verify_batch(bytes.span().first(first->batch_bytes));
  if (!batch) co_return false;
  const format::BatchIdentity& identity = batch->header.identity;
  const bool is_ours = identity.cluster == options_.cluster && identity.resource == options_.resource;
  if (!is_ours || format::SegmentName{identity.epoch_number, identity.lsn} != parsed) co_return false;
  segment.header = {options_.cluster, options_.resource,
                    identity.epoch,   parsed.epoch_number,
                    parsed.first,     options_.in_flight_bytes_max,
                    capacity};
  damaged_.back() += "; it was made up from the first batch";
  co_return true;
}

void Segments::sort() {
  std::sort(segments_.begin(), segments_.end(), [](const auto& a, const auto& b) {
    return std::pair(a->first(), a->header.epoch_number) < std::pair(b->first(), b->header.epoch_number);
  });
}

std::vector<Segment*> Segments::candidates(Lsn lsn) const {
  std::vector<Segment*> found;
  for (const auto& segment : segments_) {
    if (segment->first() <= lsn && lsn < segment->limit()) found.push_back(segment.get());
  }
  std::reverse(found.begin(), found.end());
  return found;
}

Segment* Segments::find(EpochId epoch, Lsn first) const {
  for (const auto& segment : segments_) {
    if (segment->header.epoch == epoch && segment->first() == first) return segment.get();
  }
  return nullptr;
}

// The zeroes are written, not only allocated, so that a later write changes no metadata and a flush costs one round.
Task<Result<std::unique_ptr<io::File>>> Segments::make_file(std::string path, uint64_t bytes_wanted) {
  io::OpenOptions options;
  options.create = true;
  options.exclusive = true;
  auto file = co_await machine_.storage().open(path, options);
  if (!file) co_return failure(file.error());
  AlignedBuffer zeroes(std::min<uint64_t>(1u << 20, bytes_wanted));
  Status status = co_await io::allocate(**file, 0, bytes_wanted);
  for (uint64_t at = 0; status == Status::ok && at < bytes_wanted; at += zeroes.size()) {
    const size_t bytes = std::min<uint64_t>(zeroes.size(), bytes_wanted - at);
    status = co_await io::write(**file, at, zeroes.span().first(bytes));
  }
  if (status == Status::ok) status = co_await io::flush(**file);
  if (status == Status::ok) co_return std::move(*file);
  file->reset();
  if (co_await machine_.storage().remove(path) == Status::gone) status = Status::gone;
  co_return failure(status, "cannot make the log file " + path + ": " + std::string(name(status)));
}

Task<Result<std::unique_ptr<io::File>>> Segments::take_spare_or_make(std::string& name) {
  if (spares_.empty()) {
    if (Status status = co_await has_room(options_.segment_bytes); status != Status::ok) {
      co_return failure(status, "the log disk has no room above its reserve of " +
                                    std::to_string(options_.reserve_bytes >> 20) + " MiB (log-reserve)");
    }
    name = std::string(spare_prefix) + std::to_string(++spare_number_);
    co_return co_await make_file(log_path(name), options_.segment_bytes);
  }
  reached("segment: recycled");
  name = spares_.back();
  spares_.pop_back();
  auto file = co_await open_file(log_path(name));
  if (!file) spares_.push_back(name);
  co_return file;
}

// A crash before the first batch of an epoch was durable leaves a file that the next attempt, with another epoch id,
// wants to name the same.
Task<Status> Segments::free_name(const std::string& path, EpochId epoch) {
  for (auto& segment : segments_) {
    if (segment->path != path) continue;
    CHECK(segment->header.epoch != epoch && segment->readers == 0);
    std::unique_ptr<Segment> other = std::move(segment);
    std::erase(segments_, nullptr);
    reached("segment: name of an epoch that never began");
    co_return co_await move_aside(std::move(other));
  }
  const auto lost = format::parse_segment_name(name_of(path));
  if (!lost || std::ranges::find(lost_, *lost) == lost_.end()) co_return Status::ok;
  const Status status = co_await keep_in_branch(path, "damaged");
  if (status == Status::ok) std::erase(lost_, *lost);
  co_return status;
}

Task<Result<Segment*>> Segments::begin(EpochId epoch, uint64_t epoch_number, Lsn first, bool is_control) {
  if (Segment* there = find(epoch, first)) {
    // One that was cut may be too short for what comes, whoever begins it has read nothing in it.
    if (there->missing_bytes == 0) co_return there;
    if (there->readers > 0) co_return failure(Status::busy, there->path + " was cut and is still read");
    auto place = std::ranges::find(segments_, there, &std::unique_ptr<Segment>::get);
    std::unique_ptr<Segment> cut = std::move(*place);
    segments_.erase(place);
    reached("segment: cut before its first batch ended");
    if (Status status = co_await move_aside(std::move(cut)); status != Status::ok) co_return failure(status);
  }
  auto segment = std::make_unique<Segment>();
  std::string from;
  const Counted beginning(beginnings_);
  auto file = co_await take_spare_or_make(from);
  if (!file && file.error().status == Status::no_space && is_control && has_control_) {
    reached("segment: the control segment is used");
    from = control_name;
    file = co_await open_file(log_path(from));
    has_control_ = !file;
    is_short_ = true;
  }
  if (!file) co_return failure(file.error());
  segment->file = std::move(*file);
  const uint64_t capacity = segment->file->size();
  if (capacity <= segment_header_bytes)
    co_return failure(Status::io_error, "cannot tell the size of " + log_path(from));
  segment->header = {options_.cluster, options_.resource, epoch, epoch_number, first, options_.in_flight_bytes_max,
                     capacity};
  const auto header = format::encode_segment_header(segment->header);
  AlignedBuffer block(segment_header_bytes);
  std::copy(header.begin(), header.end(), block.data());
  Status status = co_await io::write(*segment->file, 0, block.span());
  if (status == Status::ok) status = co_await io::flush(*segment->file);
  const format::SegmentName name{epoch_number, first};
  segment->path = log_path(to_string(name));
  if (status == Status::ok) status = co_await free_name(segment->path, epoch);
  if (status == Status::ok) status = co_await machine_.storage().rename(log_path(from), segment->path);
  if (status != Status::ok) {
    // It is tried again when there is room: with this file, unless it has its name already, not with another one each
    // time.
    const auto is_left = co_await machine_.storage().exists(log_path(from));
    if (is_left && *is_left && from == control_name) has_control_ = true;
    if (is_left && *is_left && from != control_name) spares_.push_back(from);
    co_return failure(status, "cannot begin the log file " + segment->path + ": " + std::string(mars::name(status)));
  }
  std::erase(lost_, name);
  Segment* result = segment.get();
  segments_.push_back(std::move(segment));
  sort();
  co_return result;
}

Task<Status> Segments::retire(std::unique_ptr<Segment> segment) {
  segment->file.reset();
  is_short_ = false;
  const bool is_spare = spares_.size() < options_.spare_max && segment->header.capacity == options_.segment_bytes;
  if (!is_spare) co_return co_await machine_.storage().remove(segment->path);
  std::string name = std::string(spare_prefix) + std::to_string(++spare_number_);
  Status status = co_await machine_.storage().rename(segment->path, log_path(name));
  if (status == Status::ok) spares_.push_back(name);
  co_return status;
}

// How many files lie before the last one that begins at or below the limit.
size_t Segments::past(Lsn limit, const Counts& counts) const {
  for (size_t i = segments_.size(); i-- > 0;) {
    if (segments_[i]->first() <= limit && counts(*segments_[i])) return i;
  }
  return 0;
}

uint64_t Segments::bytes_below(Lsn limit, const Counts& counts, const Segment* current) const {
  uint64_t sum = 0;
  const size_t count = past(limit, counts);
  for (size_t i = 0; i < count && segments_[i].get() != current; ++i) sum += segments_[i]->header.capacity;
  return sum;
}

Task<Status> Segments::drop_spares() {
  while (!spares_.empty()) {
    const std::string name = spares_.back();
    spares_.pop_back();
    const Status status = co_await machine_.storage().remove(log_path(name));
    if (status == Status::ok || status == Status::not_found) continue;
    spares_.push_back(name);
    co_return status;
  }
  static_cast<void>(co_await ask_room());
  co_return Status::ok;
}

Task<Status> Segments::trim(Lsn limit, Counts counts, Segment* const& current) {
  if (past(limit, counts) > 0 && segments_[0]->readers > 0) reached("segment: kept for a reader");
  bool has_retired = false;
  while (past(limit, counts) > 0 && segments_[0]->readers == 0 && segments_[0].get() != current) {
    has_retired = true;
    std::unique_ptr<Segment> oldest = std::move(segments_.front());
    segments_.erase(segments_.begin());
    if (Status status = co_await retire(std::move(oldest)); status != Status::ok) co_return status;
  }
  Status worst = Status::ok;
  for (const format::SegmentName& name : std::vector(lost_)) {
    // While no file of ours goes on behind it at or below the limit, it may be what held the limit.
    const auto goes_on = [&](const auto& one) {
      return one->first() > name.first && one->first() <= limit && counts(*one);
    };
    if (std::ranges::none_of(segments_, goes_on)) continue;
    const Status status = co_await machine_.storage().remove(log_path(to_string(name)));
    if (status == Status::ok || status == Status::not_found) {
      std::erase(lost_, name);
    } else {
      worst = status;
    }
  }
  const Status status = co_await keep_control_segment();
  if (has_retired) static_cast<void>(co_await ask_room());
  co_return status == Status::ok || status == Status::no_space ? worst : status;
}

// Names in branch/: generation, name in the log, epoch. Two abandoned histories may have the same numbers.
Task<Status> Segments::move_aside(std::unique_ptr<Segment> segment) {
  CHECK(segment->readers == 0);
  const Status status = co_await keep_in_branch(segment->path, short_text(segment->header.epoch));
  if (status != Status::ok) {  // it lies where it was, and whoever tries again must find it
    segments_.push_back(std::move(segment));
    sort();
  }
  co_return status;
}

Task<Status> Segments::keep_in_branch(std::string path, std::string mark) {
  const std::string name = name_of(path);
  char generation[32];
  std::snprintf(generation, sizeof generation, "g%08llx-", static_cast<unsigned long long>(generation_));
  const std::string stem = generation + name.substr(0, name.rfind('.')) + "-" + mark;
  io::DirectoryEntry kept{stem + ".seg", false, options_.segment_bytes};
  const std::string folder = options_.directory + "/branch/";
  for (int number = 2;; ++number) {
    auto exists = co_await machine_.storage().exists(folder + kept.name);
    if (!exists) co_return exists.error().status;
    if (!*exists) break;
    kept.name = stem + "-" + std::to_string(number) + ".seg";
  }
  const Status status = co_await machine_.storage().rename(path, folder + kept.name);
  if (status == Status::ok) kept_.push_back(kept);
  co_return status;
}

uint64_t Segments::branch_bytes() const {
  uint64_t sum = 0;
  for (const io::DirectoryEntry& entry : kept_) sum += entry.bytes;
  return sum;
}

Task<Result<uint64_t>> Segments::shrink_branch(uint64_t bytes_max) {
  std::sort(kept_.begin(), kept_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const uint64_t before = branch_bytes();
  while (branch_bytes() > bytes_max) {
    const std::string oldest = options_.directory + "/branch/" + kept_.front().name;
    const Status status = co_await machine_.storage().remove(oldest);
    if (status != Status::ok && status != Status::not_found) co_return failure(status, "cannot remove " + oldest);
    kept_.erase(kept_.begin());
  }
  co_return before - branch_bytes();
}

Task<Status> Segments::set_aside(Lsn from) {
  ++generation_;
  while (!segments_.empty() && segments_.back()->first() >= from) {
    std::unique_ptr<Segment> last = std::move(segments_.back());
    segments_.pop_back();
    if (Status status = co_await move_aside(std::move(last)); status != Status::ok) co_return status;
  }
  co_return co_await set_aside_lost(from);
}

Task<Status> Segments::set_aside_lost(Lsn from) {
  for (const format::SegmentName& name : std::vector(lost_)) {
    if (name.first < from) continue;
    Status status = co_await keep_in_branch(log_path(to_string(name)), "damaged");
    if (status != Status::ok) co_return status;
    std::erase(lost_, name);
  }
  co_return Status::ok;
}

Task<Status> Segments::set_aside_behind(const Position& end) {
  const auto lies_behind = [&end](const std::unique_ptr<Segment>& one) {
    return one->first() > end.lsn || (one->first() == end.lsn && one->header.epoch != end.epoch);
  };
  // Looked for anew each time: beside it files are trimmed at the front.
  for (;;) {
    const auto found = std::find_if(segments_.rbegin(), segments_.rend(), lies_behind);
    if (found == segments_.rend()) break;
    std::unique_ptr<Segment> leftover = std::move(*found);
    segments_.erase(std::next(found).base());
    if (Status status = co_await move_aside(std::move(leftover)); status != Status::ok) co_return status;
  }
  co_return Status::ok;
}

Task<Status> Segments::drop_all() {
  while (!segments_.empty()) {
    std::unique_ptr<Segment> last = std::move(segments_.back());
    segments_.pop_back();
    CHECK(last->readers == 0);
    if (Status status = co_await retire(std::move(last)); status != Status::ok) co_return status;
  }
  for (const format::SegmentName& name : std::vector(lost_)) {
    const Status status = co_await machine_.storage().remove(log_path(to_string(name)));
    if (status != Status::ok && status != Status::not_found) co_return status;
    std::erase(lost_, name);
  }
  co_return Status::ok;
}

uint64_t Segments::bytes() const {
  uint64_t sum = spare_bytes() + (has_control_ ? options_.control_bytes : 0);
  for (const auto& segment : segments_) sum += segment->header.capacity;
  return sum;
}

}  // namespace mars::bricks
