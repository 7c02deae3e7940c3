#include "bricks/pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/probe.h"
#include "format/random_uuid.h"

namespace mars::bricks {

using format::PoolHeader;
using format::PoolRecord;

namespace {

constexpr uint64_t share_of_free = 4;

PoolHeader layout(uint64_t bytes) {
  PoolHeader header;
  header.page_bytes = Pool::page_bytes;
  const uint64_t pages = std::clamp<uint64_t>(bytes / Pool::page_bytes, 256, format::pool_records_max);
  header.page_count = static_cast<uint32_t>(pages);
  header.record_slots = header.page_count;
  return header;
}

uint32_t pages_of(size_t bytes) { return static_cast<uint32_t>((bytes + Pool::page_bytes - 1) / Pool::page_bytes); }

Uuid boot_of(io::Machine& machine) {
  Uuid boot;
  const auto bytes = machine.boot_id();
  std::memcpy(boot.bytes.data(), bytes.data(), bytes.size());
  return boot;
}

}  // namespace

Result<std::unique_ptr<Pool>> Pool::open(io::Machine& machine, std::string name, uint64_t bytes) {
  std::unique_ptr<Pool> pool(new Pool);
  auto memory = machine.map_pool(std::move(name), format::pool_file_bytes(layout(bytes)));
  if (!memory) {
    // io_error: there is one, and what a predecessor acknowledged may be in it.
    const Status status = memory.error().status;
    if (status == Status::gone || status == Status::io_error) return failure(memory.error());
    pool->why_not_ = memory.error().text;
    pool->header_ = layout(bytes);
    pool->plain_ = AlignedBuffer(format::pool_file_bytes(pool->header_));
    pool->start_anew(machine, bytes);
    return pool;
  }
  pool->memory_ = std::move(*memory);
  auto header = format::decode_pool_header(pool->memory());
  const bool is_usable = header && header->boot_id == boot_of(machine) && header->page_bytes == page_bytes &&
                         format::pool_file_bytes(*header) <= pool->memory().size();
  if (is_usable) {
    pool->header_ = *header;
    pool->taken_ = PageMap(header->page_count);
    const std::vector<uint32_t> damaged = pool->adopt();
    if (!damaged.empty()) pool->give_up(damaged, machine);
  } else {
    pool->start_anew(machine, bytes);
  }
  return pool;
}

std::span<std::byte> Pool::memory() { return memory_ ? memory_->bytes() : plain_.span(); }

// A new pool id: who was written down with the old one learns that its records are gone. The file's size wins over the
// one that was asked for.
void Pool::start_anew(io::Machine& machine, uint64_t bytes) {
  header_ = layout(bytes);
  while (format::pool_file_bytes(header_) > memory().size()) {
    CHECK(header_.page_count > 1);
    header_.page_count = header_.record_slots = header_.page_count - std::max(1u, header_.page_count / 64);
  }
  header_.pool_id = random_uuid(machine);
  header_.boot_id = boot_of(machine);
  for (uint32_t slot = 0; slot < header_.record_slots; ++slot) format::clear_pool_record(slot_bytes(slot));
  const auto encoded = format::encode_pool_header(header_);
  std::copy(encoded.begin(), encoded.end(), memory().begin());
  taken_ = PageMap(header_.page_count);
  for (uint32_t slot = header_.record_slots; slot-- > 0;) free_slots_.push_back(slot);
}

std::vector<uint32_t> Pool::adopt() {
  std::vector<uint32_t> damaged;
  for (uint32_t slot = header_.record_slots; slot-- > 0;) {
    auto record = format::load_pool_record(slot_bytes(slot));
    if (!record && record.error().status == Status::not_found) {
      free_slots_.push_back(slot);
      continue;
    }
    if (record && is_whole(*record)) {
      leave({slot, record->first_page, (record->payload_bytes + page_bytes - 1) / page_bytes});
    } else {
      damaged.push_back(slot);
    }
  }
  return damaged;
}

// The new id first: who is killed before that finds the same damage again, and nothing is missed without a word.
void Pool::give_up(const std::vector<uint32_t>& damaged, io::Machine& machine) {
  was_damaged_ = true;
  reached("pool: damaged");
  rename(machine);
  for (const uint32_t slot : damaged) {
    format::clear_pool_record(slot_bytes(slot));
    free_slots_.push_back(slot);
  }
}

// Whoever was written down with the old id misses writes, perhaps, and learns that at each start until the operator has
// accepted it.
void Pool::rename(io::Machine& machine) {
  header_.pool_id = random_uuid(machine);
  const auto encoded = format::encode_pool_header(header_);
  std::copy(encoded.begin(), encoded.end(), memory().begin());
  for (Inherited& one : inherited_) seal(one.lease.slot, one.record);
}

// Two records never share a page: one of them would be damaged.
bool Pool::is_whole(const PoolRecord& record) {
  if (!format::fits_pool(record, header_)) return false;
  const uint32_t pages = (record.payload_bytes + page_bytes - 1) / page_bytes;
  for (uint32_t page = record.first_page; page < record.first_page + pages; ++page) {
    if (taken_[page]) return false;
  }
  return data_is_whole(record);
}

bool Pool::data_is_whole(const PoolRecord& record) {
  if (record.payload_bytes == 0) return true;
  return hash({data(record.first_page), record.payload_bytes}) == record.payload_hash;
}

void Pool::leave(PoolLease lease) {
  if (!is_persistent()) return give_back(lease);
  auto record = format::load_pool_record(slot_bytes(lease.slot));
  CHECK(record.has_value());
  taken_.take({lease.first_page, lease.pages});
  inherited_.push_back({*record, lease});
}

bool Pool::has_inherited(const Uuid& resource, uint64_t above) const {
  return std::any_of(inherited_.begin(), inherited_.end(), [&](const Inherited& one) {
    return one.record.resource == resource && one.record.sequence > above;
  });
}

bool Pool::has_gap(const Uuid& resource, const EpochId& epoch, uint64_t above) const {
  uint64_t count = 0;
  uint64_t newest = above;
  for (const Inherited& one : inherited_) {
    if (one.record.resource != resource || one.record.epoch != epoch || one.record.sequence <= above) continue;
    ++count;
    newest = std::max(newest, one.record.sequence);
  }
  return newest - above > count;
}

void Pool::drop_inherited(const Uuid& resource, uint64_t sequence) {
  const auto is_left = [&](const Inherited& one) {
    return one.record.resource != resource || one.record.sequence > sequence;
  };
  const auto dropped = std::partition(inherited_.begin(), inherited_.end(), is_left);
  const std::vector<Inherited> logged(dropped, inherited_.end());
  inherited_.erase(dropped, inherited_.end());
  for (const Inherited& one : logged) {
    clear(one.lease.slot);
    give_back(one.lease);
  }
}

std::vector<Pool::Inherited> Pool::take_inherited(const Uuid& resource, uint64_t sequence) {
  drop_inherited(resource, sequence);
  const auto first = std::partition(inherited_.begin(), inherited_.end(),
                                    [&](const Inherited& one) { return one.record.resource != resource; });
  std::vector<Inherited> taken(first, inherited_.end());
  inherited_.erase(first, inherited_.end());
  std::sort(taken.begin(), taken.end(),
            [](const Inherited& a, const Inherited& b) { return a.record.sequence < b.record.sequence; });
  return taken;
}

std::byte* Pool::data(uint32_t page) { return memory().data() + format::pool_page_offset(header_, page); }

std::span<std::byte, format::pool_record_bytes> Pool::slot_bytes(uint32_t slot) {
  const uint64_t at = format::pool_record_offset(header_, slot);
  return memory().subspan(at).first<format::pool_record_bytes>();
}

void Pool::seal(uint32_t slot, PoolRecord record) {
  if (!is_persistent()) return;
  record.pool_id = header_.pool_id;
  record.boot_id = header_.boot_id;
  format::store_pool_record(slot_bytes(slot), record);
}

void Pool::clear(uint32_t slot) {
  if (is_persistent()) format::clear_pool_record(slot_bytes(slot));
}

// ---- pages

std::optional<PoolLease> Pool::try_take(size_t bytes, PoolShare& share) { return try_take(bytes, bytes, share); }

std::optional<PoolLease> Pool::try_take(size_t bytes, size_t bytes_min, PoolShare& share) {
  uint32_t most = pages_of(bytes);
  const uint32_t least = pages_of(bytes_min);
  if (free_slots_.empty() || least > free_pages()) return std::nullopt;
  if (share.slots > 0 && !leaves_room(most, share)) {
    reached("pool: a user has its share");
    return std::nullopt;
  }
  const uint64_t share_of_all = share_of_free * free_pages() / (share_of_free + 1);
  most = std::max<uint32_t>(least, std::min<uint64_t>(most, share_of_all));
  PoolLease lease;
  if (most > 0) {
    const PageMap::Run run = taken_.find(most);
    if (run.pages < most) reached("pool: free, and not in one piece");
    if (run.pages < least) return std::nullopt;
    taken_.take(run);
    lease.first_page = run.first;
    lease.pages = run.pages;
  }
  lease.slot = free_slots_.back();
  free_slots_.pop_back();
  share.add(lease);
  return lease;
}

bool Pool::leaves_room(uint32_t pages, const PoolShare& share) const {
  return pages <= free_pages() && share.pages + pages <= share_of_free * (free_pages() - pages) &&
         share.slots < share_of_free * free_slots_.size();
}

void Pool::give_back(PoolLease lease, PoolShare& share) {
  share.remove(lease);
  give_back(lease);
}

void Pool::give_back(PoolLease lease) {
  taken_.give_back({lease.first_page, lease.pages});
  free_slots_.push_back(lease.slot);
  List<PoolWaiter> told;
  while (PoolWaiter* waiter = waiters_.pop_front()) told.push_back(*waiter);
  while (PoolWaiter* waiter = told.pop_front()) waiter->freed(*waiter);
}

}  // namespace mars::bricks
