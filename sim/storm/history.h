// History: the reference. It knows every write that was given to a device, in its order, and what of it was
// acknowledged, flushed or written with FUA; it knows from which epoch to which the right to write went. Against it an
// image of a disk is checked: is it a prefix of the history that its position names (P1), with everything that was
// flushed (P2) and, after a planned handover, everything that was acknowledged (P5)?
//
// Which write lies at which LSN is not asked of the log under test. Each look at a disk, each flush and each new epoch
// says something about how many writes a position holds: at least so many, at most so many. What is known is kept, for
// each position of each epoch; two looks that contradict each other are a broken promise.
//
// The volume is seen through `sectors` places of 512 bytes, in runs of 32, each run far from the next.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bricks/branch.h"

namespace mars::sim {

inline constexpr unsigned sector_bytes = 512;
inline constexpr unsigned run_sectors = 32;
inline constexpr unsigned run_count = 12;
inline constexpr unsigned sectors = run_sectors * run_count;
inline constexpr uint64_t run_stride = 320u << 10;  // runs lie in different extents, and not all at their beginning

constexpr uint64_t offset_of(unsigned sector) {
  return sector / run_sectors * run_stride + uint64_t{sector % run_sectors} * sector_bytes;
}

// What a sector says of itself: the write that it is from.
struct Origin {
  uint32_t reign = 0;
  uint32_t index = 0;
};

class History {
 public:
  struct Write {
    unsigned first = 0;
    unsigned count = 0;
    bool is_zeroes = false;
    bool is_acknowledged = false;
    bool is_failed = false;  // it may be in the log or not
  };
  struct Bounds {  // of the number of writes
    uint32_t low = 0;
    uint32_t high = UINT32_MAX;
  };
  struct Reign {
    EpochId id;
    Uuid host;
    EpochCause cause = EpochCause::create;
    std::optional<uint32_t> parent;
    Lsn parent_end;
    bool is_given_up = false;  // its host forgot it on the operator's word
    bool is_mixed = false;     // see mix()
    std::vector<Write> writes;
    std::vector<std::vector<uint32_t>> of_sector;  // indices, ascending
    uint32_t acknowledged = 0;                     // so many must survive the death of the process
    uint32_t flushed = 0;                          // so many must survive the loss of power
    std::map<uint64_t, Bounds> known;              // by LSN; both bounds never fall
  };

  // An epoch list that some host showed. Not empty: what is wrong with it.
  std::string learn(const bricks::Branch& branch);
  const Reign* find(const EpochId& id) const;
  std::optional<uint32_t> number_of(const EpochId& id) const;
  const Reign& reign(uint32_t number) const { return reigns_.at(number); }

  // The application. submit() is called in the order in which the device gets the writes.
  uint32_t submit(uint32_t reign, unsigned first, unsigned count, bool is_zeroes);
  void fill(std::span<std::byte> bytes, uint32_t reign, uint32_t index) const;
  void completed(uint32_t reign, uint32_t index, bool is_ok, bool is_durable);
  void flushed(uint32_t reign, uint32_t writes);  // so many were acknowledged before the flush was sent
  // So many of this reign are acknowledged, all before them counted in.
  uint32_t acknowledged(uint32_t reign) const { return reigns_.at(reign).acknowledged; }
  // The last acknowledged write onto the sector in this reign.
  std::optional<uint32_t> last_acknowledged(uint32_t reign, unsigned sector) const;

  // So many bytes a sync moves at most (P7): ranges of `range_bytes` in which somebody wrote once; others are equal.
  uint64_t touched_bytes(uint64_t range_bytes) const;

  // What was acknowledged by that host and not flushed may be lost from now on; everything may.
  void forget_unflushed(const Uuid& host);
  void excuse(const Uuid& host);
  // The operator gave this host's version up: it may begin again from an earlier point.
  void give_up(const Uuid& host);
  // The operator took the disk of a log that rotted as it is, and it may be ahead. From now on nothing is known about
  // this reign.
  void mix(uint32_t reign) { reigns_.at(reign).is_mixed = true; }

  // The end of its log rotted away and nobody could tell: the same reign goes on with other batches at those places.
  void forget_behind(uint32_t reign, Lsn end);
  // At this position of this epoch lie at least and at most so many writes.
  std::string narrow(uint32_t reign, Lsn lsn, uint32_t low, uint32_t high, const std::string& why);
  // `image`: all sectors, in order; the disk of a replica that says that it is at `end`.
  std::string check_image(const Position& end, std::span<const std::byte> image);
  // One sector as the open device of `reign` gave it; `floor`: last_acknowledged() when the read was sent.
  std::string check_read(uint32_t reign, unsigned sector, std::span<const std::byte> content,
                         std::optional<uint32_t> floor);
  // Is `older` a part of the history that ends at `newer`?
  bool contains(const Position& newer, const Position& older) const;
  // Were there, for certain, acknowledged writes between where the two part and `given_up`?
  bool is_data_lost(const Position& kept, const Position& given_up) const;

 private:
  struct Point {  // a reign of a lineage, and up to where
    uint32_t reign;
    Lsn end;
    uint32_t low = 0;
    uint32_t high = UINT32_MAX;
    unsigned low_sector = 0;
    unsigned high_sector = 0;
  };
  std::vector<Point> lineage(uint32_t reign, Lsn end) const;  // the oldest first
  std::string check_sector(std::vector<Point>& points, unsigned sector, std::span<const std::byte> content) const;
  std::string narrow_all(const std::vector<Point>& points);
  std::string begin(const format::BranchEpoch& epoch, const format::BranchEpoch* parent);
  Bounds bounds(uint32_t reign, Lsn lsn) const;
  uint32_t next_certain(const Reign& reign, unsigned sector, uint32_t from) const;

  std::vector<Reign> reigns_;
  std::map<EpochId, uint32_t> numbers_;
  std::vector<bool> was_zeroed_ = std::vector<bool>(sectors);
  std::vector<bool> was_touched_ = std::vector<bool>(sectors);
};

}  // namespace mars::sim
