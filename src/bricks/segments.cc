#include "bricks/segments.h"

#include <algorithm>

#include "base/aligned.h"

namespace mars::bricks {

using format::segment_header_bytes;

namespace {

constexpr std::string_view spare_prefix = "spare-";

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

Segments::Segments(io::Machine& machine, SegmentsOptions options) : machine_(machine), options_(std::move(options)) {}

Task<Result<void>> Segments::open() {
  for (const char* folder : {"/log", "/branch"}) {
    if (Status status = co_await machine_.storage().make_directory(options_.directory + folder); status != Status::ok) {
      co_return failure(status, "cannot make " + options_.directory + folder);
    }
  }
  auto entries = co_await machine_.storage().list(options_.directory + "/log");
  if (!entries) co_return failure(entries.error());
  for (const io::DirectoryEntry& entry : *entries) {
    if (entry.is_directory) continue;
    if (entry.name.starts_with(spare_prefix)) {
      if (auto status = co_await machine_.storage().remove(log_path(entry.name)); status != Status::ok) {
        co_return failure(status, "cannot remove " + log_path(entry.name));
      }
    } else if (format::parse_segment_name(entry.name)) {
      auto opened = co_await open_one(entry.name);
      if (!opened) co_return opened;
    }
  }
  sort();
  co_return Result<void>();
}

Task<Result<void>> Segments::open_one(std::string name) {
  auto segment = std::make_unique<Segment>();
  segment->path = log_path(name);
  io::OpenOptions options;
  options.exclusive = true;
  auto file = co_await machine_.storage().open(segment->path, options);
  if (!file) co_return failure(file.error());
  segment->file = std::move(*file);
  AlignedBuffer header(segment_header_bytes);
  if (Status status = co_await io::read(*segment->file, 0, header.span()); status == Status::gone) {
    co_return failure(status);
  } else if (status != Status::ok) {
    damaged_.push_back(segment->path + ": cannot be read");
    co_return Result<void>();
  }
  auto decoded = format::decode_segment_header(header.span());
  if (!decoded) {
    damaged_.push_back(segment->path + ": " + decoded.error().text);
    co_return Result<void>();
  }
  const bool is_ours = decoded->cluster == options_.cluster && decoded->resource == options_.resource;
  if (!is_ours || to_string(format::SegmentName{decoded->epoch_number, decoded->first}) != name) {
    damaged_.push_back(segment->path + ": the header belongs to another file or resource");
    co_return Result<void>();
  }
  segment->header = *decoded;
  segment->header.capacity = std::min<uint64_t>(segment->header.capacity, segment->file->size());
  segments_.push_back(std::move(segment));
  co_return Result<void>();
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
Task<Result<std::unique_ptr<io::File>>> Segments::make_file(std::string path) {
  io::OpenOptions options;
  options.create = true;
  options.exclusive = true;
  auto file = co_await machine_.storage().open(path, options);
  if (!file) co_return failure(file.error());
  AlignedBuffer zeroes(1u << 20);
  Status status = co_await io::allocate(**file, 0, options_.segment_bytes);
  for (uint64_t at = 0; status == Status::ok && at < options_.segment_bytes; at += zeroes.size()) {
    const size_t bytes = std::min<uint64_t>(zeroes.size(), options_.segment_bytes - at);
    status = co_await io::write(**file, at, zeroes.span().first(bytes));
  }
  if (status == Status::ok) status = co_await io::flush(**file);
  if (status == Status::ok) co_return std::move(*file);
  file->reset();
  if (co_await machine_.storage().remove(path) == Status::gone) status = Status::gone;
  co_return failure(status, "cannot make the log file " + path);
}

Task<Result<Segment*>> Segments::begin(EpochId epoch, uint64_t epoch_number, Lsn first) {
  if (Segment* there = find(epoch, first)) co_return there;
  auto segment = std::make_unique<Segment>();
  std::string from;
  if (spares_.empty()) {
    from = std::string(spare_prefix) + std::to_string(++spare_number_);
    auto made = co_await make_file(log_path(from));
    if (!made) co_return failure(made.error());
    segment->file = std::move(*made);
  } else {
    from = spares_.back();
    spares_.pop_back();
    io::OpenOptions options;
    options.exclusive = true;
    auto file = co_await machine_.storage().open(log_path(from), options);
    if (!file) co_return failure(file.error());
    segment->file = std::move(*file);
  }
  segment->header = {options_.cluster,     options_.resource, epoch, epoch_number, first, options_.in_flight_bytes_max,
                     segment->file->size()};
  const auto header = format::encode_segment_header(segment->header);
  AlignedBuffer block(segment_header_bytes);
  std::copy(header.begin(), header.end(), block.data());
  Status status = co_await io::write(*segment->file, 0, block.span());
  if (status == Status::ok) status = co_await io::flush(*segment->file);
  segment->path = log_path(to_string(format::SegmentName{epoch_number, first}));
  if (status == Status::ok) status = co_await machine_.storage().rename(log_path(from), segment->path);
  if (status != Status::ok) co_return failure(status, "cannot begin the log file " + segment->path);
  Segment* result = segment.get();
  segments_.push_back(std::move(segment));
  sort();
  co_return result;
}

Task<Status> Segments::retire(std::unique_ptr<Segment> segment) {
  segment->file.reset();
  const bool is_spare = spares_.size() < options_.spare_max && segment->header.capacity == options_.segment_bytes;
  if (!is_spare) co_return co_await machine_.storage().remove(segment->path);
  std::string name = std::string(spare_prefix) + std::to_string(++spare_number_);
  Status status = co_await machine_.storage().rename(segment->path, log_path(name));
  if (status == Status::ok) spares_.push_back(name);
  co_return status;
}

Task<Status> Segments::trim(Lsn limit) {
  while (segments_.size() > 1 && segments_[1]->first() <= limit && segments_[0]->readers == 0) {
    std::unique_ptr<Segment> oldest = std::move(segments_.front());
    segments_.erase(segments_.begin());
    if (Status status = co_await retire(std::move(oldest)); status != Status::ok) co_return status;
  }
  co_return Status::ok;
}

Task<Status> Segments::set_aside(Lsn from) {
  while (!segments_.empty() && segments_.back()->first() >= from) {
    std::unique_ptr<Segment> last = std::move(segments_.back());
    segments_.pop_back();
    CHECK(last->readers == 0);
    last->file.reset();
    std::string kept = options_.directory + "/branch/" + name_of(last->path);
    if (Status status = co_await machine_.storage().rename(last->path, kept); status != Status::ok) co_return status;
  }
  co_return Status::ok;
}

uint64_t Segments::bytes() const {
  uint64_t sum = spares_.size() * options_.segment_bytes;
  for (const auto& segment : segments_) sum += segment->header.capacity;
  return sum;
}

}  // namespace mars::bricks
