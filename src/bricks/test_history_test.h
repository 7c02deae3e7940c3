// What a block device must contain: the changes in the order in which they were admitted, and which of them were
// acknowledged. After a crash the content must be what some prefix of them leaves behind, and a long enough one.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/prng.h"
#include "bricks/test_replica_test.h"

namespace mars::bricks {

class History {
 public:
  static constexpr uint64_t sector_bytes = 512;

  explicit History(uint64_t bytes) : base_(bytes / sector_bytes), now_(base_) {}

  uint64_t size() const { return changes_.size(); }
  uint64_t sectors() const { return base_.size(); }
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t durable() const { return durable_; }

  // The next change, to be called in the same breath as enter(); its number counts from 1.
  uint64_t admit(uint64_t offset, uint64_t bytes, bool is_zeroes) {
    changes_.push_back({offset / sector_bytes, bytes / sector_bytes, is_zeroes ? 0 : ++stamp_});
    apply(changes_.back(), now_, &last_);
    return size();
  }
  std::vector<std::byte> content_of_last() const {
    const Change& change = changes_.back();
    std::vector<std::byte> bytes(change.count * sector_bytes);
    for (uint64_t i = 0; i < bytes.size(); i += 8) {
      const uint64_t word = word_of(change.stamp, change.first + i / sector_bytes);
      std::memcpy(bytes.data() + i, &word, 8);
    }
    return bytes;
  }
  void acknowledge(uint64_t number) { acknowledged_ = std::max(acknowledged_, number); }
  void make_durable(uint64_t number) { durable_ = std::max(durable_, number); }

  // Was this read right? Sectors that were changed behind the change `since` are passed over.
  bool is_right(uint64_t offset, ByteView bytes, uint64_t since) const {
    for (uint64_t i = 0; i < bytes.size() / sector_bytes; ++i) {
      const uint64_t sector = offset / sector_bytes + i;
      const auto last = last_.find(sector);
      if (last != last_.end() && last->second > since) continue;
      if (!holds(bytes.subspan(i * sector_bytes, sector_bytes), now_[sector], sector)) return false;
    }
    return true;
  }

  // Empty, or what is wrong. `required`: so many changes at least must be there. All of it is the base of what follows.
  std::string accept(ByteView content, uint64_t required) {
    std::vector<uint64_t> stamps = base_;
    uint64_t wrong = 0;
    for (uint64_t sector = 0; sector < sectors(); ++sector) wrong += is_wrong(content, sector, stamps);
    bool found = false;
    uint64_t best = wrong;
    for (uint64_t count = 0; !found && count <= size(); ++count) {
      if (count > 0) wrong += take(changes_[count - 1], content, stamps);
      found = wrong == 0 && count >= required;
      best = std::min(best, wrong);
    }
    if (!found)
      return "no prefix of " + std::to_string(size()) + " changes fits that has at least " + std::to_string(required) +
             "; the best differs in " + std::to_string(best) + " sectors";
    base_ = now_ = stamps;
    changes_.clear();
    last_.clear();
    acknowledged_ = durable_ = 0;
    return {};
  }

 private:
  struct Change {
    uint64_t first;
    uint64_t count;
    uint64_t stamp;
  };

  static uint64_t word_of(uint64_t stamp, uint64_t sector) {
    return stamp == 0 ? 0 : stamp * 0x9e3779b97f4a7c15 + sector;
  }
  static bool holds(ByteView sector_content, uint64_t stamp, uint64_t sector) {
    const uint64_t word = word_of(stamp, sector);
    for (uint64_t i = 0; i < sector_bytes; i += 8) {
      if (std::memcmp(sector_content.data() + i, &word, 8) != 0) return false;
    }
    return true;
  }
  static bool is_wrong(ByteView content, uint64_t sector, const std::vector<uint64_t>& stamps) {
    return !holds(content.subspan(sector * sector_bytes, sector_bytes), stamps[sector], sector);
  }
  // By how much the number of wrong sectors changes.
  static uint64_t take(const Change& change, ByteView content, std::vector<uint64_t>& stamps) {
    uint64_t difference = 0;
    for (uint64_t sector = change.first; sector < change.first + change.count; ++sector) {
      difference -= is_wrong(content, sector, stamps);
      stamps[sector] = change.stamp;
      difference += is_wrong(content, sector, stamps);
    }
    return difference;
  }
  void apply(const Change& change, std::vector<uint64_t>& stamps, std::map<uint64_t, uint64_t>* last) {
    for (uint64_t sector = change.first; sector < change.first + change.count; ++sector) {
      stamps[sector] = change.stamp;
      (*last)[sector] = size();
    }
  }

  std::vector<uint64_t> base_;  // stamp per sector; 0 = zeroes
  std::vector<uint64_t> now_;
  std::map<uint64_t, uint64_t> last_;  // number of a sector's last change
  std::vector<Change> changes_;
  uint64_t stamp_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t durable_ = 0;
};

// Clients that write, flush, discard and read at random, and write down in a History what they were told.
class Workload {
 public:
  Workload(TestReplica& replica, History& history, uint64_t seed)
      : replica_(replica),
        history_(history),
        prng_(seed),
        nothing_(replica.machine().ready()),
        scope_(replica.machine().ready()) {}

  void start(unsigned clients, unsigned requests_each) {
    for (unsigned i = 0; i < clients; ++i) scope_.spawn(client(requests_each));
    clients_ = clients;
    scope_.spawn(trimmer());
  }
  // Until all clients are done; on a dead machine they end soon.
  void finish() {
    CHECK(replica_.world().run_until([&] { return scope_.count() == 0; }));
  }
  bool is_done() const { return scope_.count() == 0; }
  uint64_t wrong_reads() const { return wrong_reads_; }

 private:
  bool is_alive() { return replica_.machine().is_alive(); }

  Task<void> rest(uint64_t longest_ns) {
    const io::Instant until = replica_.machine().now() + io::Duration(prng_.below(longest_ns));
    co_await io::wait_until(replica_.machine(), nothing_, until);
  }

  // So that files are used again.
  Task<void> trimmer() {
    while (clients_ > 0 && is_alive()) {
      co_await rest(6'000'000);
      const Status status = co_await replica_.log().trim(replica_.logger().applied().position.lsn);
      if (status != Status::ok) co_return;
    }
  }

  Task<void> client(unsigned requests) {
    co_await requests_of(requests);
    --clients_;
  }
  Task<void> requests_of(unsigned requests) {
    for (unsigned i = 0; i < requests && is_alive(); ++i) {
      const uint64_t dice = prng_.below(16);
      const uint64_t unit = replica_.options().block_bytes / History::sector_bytes;
      const uint64_t count = unit * (prng_.chance(1, 4) ? prng_.between(1, 64 / unit) : prng_.between(1, 8));
      const uint64_t first = unit * prng_.below((history_.sectors() - count) / unit + 1);
      const uint64_t offset = first * History::sector_bytes;
      const auto bytes = static_cast<uint32_t>(count * History::sector_bytes);
      Status status = Status::ok;
      if (dice < 8) {
        status = co_await write(offset, bytes, dice == 0, dice % 2 == 1);
      } else if (dice < 10) {
        status = co_await zero(offset, bytes, dice == 8 ? xio::Op::discard : xio::Op::write_zeroes);
      } else if (dice < 12) {
        status = co_await flush();
      } else {
        status = co_await read(offset, bytes);
      }
      if (status != Status::ok) co_return;
      if (prng_.chance(1, 4)) co_await rest(4'000'000);
    }
  }

  void note(uint64_t number, Status status, bool is_durable) {
    if (status != Status::ok || !is_alive()) return;
    history_.acknowledge(number);
    if (is_durable) history_.make_durable(number);
  }

  Task<Status> write(uint64_t offset, uint32_t bytes, bool fua, bool asks_for_buffer) {
    TestOrigin::Request request;
    request.prepare(xio::Op::write, offset, bytes, nullptr);
    request.fua = fua;
    if (asks_for_buffer) {
      request.step = xio::Step::get;
      if (Status status = co_await replica_.origin().send(request); status != Status::ok) co_return status;
      request.step = xio::Step::io;
      bytes = request.bytes;
    }
    const uint64_t number = history_.admit(offset, bytes, false);
    std::vector<std::byte> content = history_.content_of_last();
    if (asks_for_buffer) {
      std::memcpy(request.data, content.data(), bytes);
    } else {
      request.data = content.data();
    }
    const Status status = co_await replica_.origin().send(request);
    request.put();
    note(number, status, fua || !replica_.options().write_cache);
    co_return status;
  }

  Task<Status> zero(uint64_t offset, uint32_t bytes, xio::Op op) {
    TestOrigin::Request request;
    request.prepare(op, offset, bytes, nullptr);
    request.fua = prng_.chance(1, 4);
    const uint64_t number = history_.admit(offset, bytes, true);
    const Status status = co_await replica_.origin().send(request);
    note(number, status, request.fua || !replica_.options().write_cache);
    co_return status;
  }

  Task<Status> flush() {
    const uint64_t covered = history_.acknowledged();
    const Status status = co_await replica_.origin().flush();
    if (status == Status::ok && is_alive()) history_.make_durable(covered);
    co_return status;
  }

  Task<Status> read(uint64_t offset, uint32_t bytes) {
    const uint64_t since = history_.size();
    const std::vector<std::byte> content = co_await replica_.origin().read(offset, bytes);
    if (content.empty()) co_return Status::gone;
    // Behind a failed log changes are refused that the history has taken down already.
    if (!is_alive() || replica_.logger().has_failed()) co_return Status::ok;
    if (!history_.is_right(offset, content, since)) ++wrong_reads_;
    co_return Status::ok;
  }

  TestReplica& replica_;
  History& history_;
  Prng prng_;
  Notifier nothing_;
  Scope scope_;
  uint64_t wrong_reads_ = 0;
  unsigned clients_ = 0;  // that are not done
};

}  // namespace mars::bricks
