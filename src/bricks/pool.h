// Pool: the memory in which admitted writes lie until they are on the data disk (D6). It outlives the process, not the
// power of the host: a successor finds what its predecessor had acknowledged and logs it. Shared by the resources of
// one reactor; pages of 4 KiB, a request takes consecutive ones. All memory is taken at start.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/list.h"
#include "base/status.h"
#include "bricks/page_map.h"
#include "format/pool_record.h"
#include "io/machine.h"

namespace mars::bricks {

// Memory for one admitted request: a record slot and, for writes, pages.
struct PoolLease {
  uint32_t slot = 0;
  uint32_t first_page = 0;
  uint32_t pages = 0;
};

// What one user has of the pool now; it is counted where it is taken and given back.
struct PoolShare {
  void add(const PoolLease& lease) {
    pages += lease.pages;
    ++slots;
  }
  void remove(const PoolLease& lease) {
    pages -= lease.pages;
    --slots;
  }

  uint64_t pages = 0;
  uint64_t slots = 0;
};

// Something that waits for memory: told once each time some was given back.
struct PoolWaiter : ListHook {
  void (*freed)(PoolWaiter& self) = nullptr;
};

class Pool {
 public:
  static constexpr uint32_t page_bytes = 4096;

  // `bytes`: of data pages. Without tmpfs it is ordinary memory, is_persistent() is false and why_not() says why:
  // then nothing may be acknowledged before it is durable.
  static Result<std::unique_ptr<Pool>> open(io::Machine& machine, std::string name, uint64_t bytes);

  const Uuid& id() const { return header_.pool_id; }
  const Uuid& boot_id() const { return header_.boot_id; }
  bool is_persistent() const { return memory_ != nullptr; }
  const std::string& why_not() const { return why_not_; }
  // A slot of the predecessor could not be read: some resource may miss acknowledged writes. The pool has another id
  // then.
  bool was_damaged() const { return was_damaged_; }

  // Nothing when there is not that much in one piece, or when this user has its share already; wait() then. `bytes` may
  // be 0. A user who frees nothing leaves room for the others: it may have four times of what is free (the dynamic
  // threshold that switches use for their buffers: Choudhury and Hahne, 1998), alone that is four fifths of everything.
  std::optional<PoolLease> try_take(size_t bytes, PoolShare& share);
  // As much of it as lies in one piece, at least `bytes_min`; also when all that is free is less, and never all that is
  // free if it can be less. Who has something and may not have all of `bytes` gets nothing: it waits for its own to be
  // written back, and is not served in crumbs.
  std::optional<PoolLease> try_take(size_t bytes, size_t bytes_min, PoolShare& share);
  void give_back(PoolLease lease, PoolShare& share);
  void wait(PoolWaiter& waiter) { waiters_.push_back(waiter); }

  std::byte* data(uint32_t page);
  // The record counts from here on: it is found by a successor (no effect without tmpfs).
  void seal(uint32_t slot, format::PoolRecord record);
  void clear(uint32_t slot);

  // What the predecessor left of a resource: acknowledged, perhaps not in the log.
  struct Inherited {
    format::PoolRecord record;
    PoolLease lease;
  };
  bool has_inherited(const Uuid& resource, uint64_t above = 0) const;
  // A record of this epoch is there, and one between it and `above` is not: whoever cleared that one had it in the log.
  bool has_gap(const Uuid& resource, const EpochId& epoch, uint64_t above) const;
  // Hands over those above `sequence`, in the order of admission: their memory is the caller's now. The rest is given
  // back, the log has it.
  std::vector<Inherited> take_inherited(const Uuid& resource, uint64_t sequence);
  // Those up to `sequence` are given back, the log has them; whoever does not open the resource leaves the rest here.
  void drop_inherited(const Uuid& resource, uint64_t sequence);
  void give_back(PoolLease lease);  // of taken inheritance that nobody counts
  // The other way round: a sealed slot that its owner could not bring into the log waits for the next one.
  void leave(PoolLease lease);

  // Nothing lies in it, for nobody.
  bool is_empty() const { return free_slots_.size() == header_.record_slots && inherited_.empty(); }

  uint64_t pages() const { return header_.page_count; }
  uint64_t free_pages() const { return taken_.free(); }

 private:
  Pool() = default;
  void start_anew(io::Machine& machine, uint64_t bytes);
  std::vector<uint32_t> adopt();  // the slots that are damaged
  void give_up(const std::vector<uint32_t>& damaged, io::Machine& machine);
  void rename(io::Machine& machine);
  bool data_is_whole(const format::PoolRecord& record);
  bool is_whole(const format::PoolRecord& record);
  std::span<std::byte> memory();
  std::span<std::byte, format::pool_record_bytes> slot_bytes(uint32_t slot);
  bool leaves_room(uint32_t pages, const PoolShare& share) const;

  std::unique_ptr<io::PoolMemory> memory_;
  AlignedBuffer plain_;
  std::string why_not_;
  format::PoolHeader header_;
  PageMap taken_;
  std::vector<uint32_t> free_slots_;
  std::vector<Inherited> inherited_;
  List<PoolWaiter> waiters_;
  bool was_damaged_ = false;
};

}  // namespace mars::bricks
