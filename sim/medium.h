// Medium: the bytes of one simulated device or file: what is durable, and above it a volatile cache of 512-byte
// sectors. Sparse: unwritten bytes are zero and cost nothing. A value: a copy is a snapshot.
//
// What it promises is what the Linux block layer says, and nothing more. A completed write is read back at once, and
// lost at power_loss() unless a flush that began after its completion has ended, or it was written with FUA. Any older
// version of a sector that was in the cache may be what survives (caches write back when they like).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>

#include "base/prng.h"

namespace mars::sim {

class Medium {
 public:
  static constexpr uint64_t sector_bytes = 512;
  static constexpr uint64_t page_bytes = 4096;

  // tear_bytes: what survives or is lost as a whole, 512 or 4096.
  Medium(uint32_t tear_bytes, Prng prng) : tear_bytes_(tear_bytes), prng_(prng) {}

  void read(uint64_t offset, std::span<std::byte> into) const;
  void write(uint64_t offset, std::span<const std::byte> from, bool fua = false);
  void zero(uint64_t offset, uint64_t bytes);

  // A flush covers what was written before begin_flush(); end_flush() makes that durable.
  uint64_t begin_flush();
  void end_flush(uint64_t ticket);
  // The flush ended with an error: what it covered stays readable, but no later flush makes it durable.
  void fail_flush(uint64_t ticket);
  // It does not take place.
  void cancel_flush(uint64_t ticket);
  // Makes everything durable at once.
  void settle();
  void power_loss();

  void erase_from(uint64_t offset);          // everything behind is forgotten, durably
  void flip(uint64_t offset, unsigned bit);  // rot: cached and durable
  void break_sector(uint64_t offset) { broken_.insert(offset / sector_bytes); }  // unreadable until written
  bool is_readable(uint64_t offset, uint64_t bytes) const;

  // What would be read if the cache were lost now.
  void read_durable(uint64_t offset, std::span<std::byte> into) const;
  // Whether the first bytes are read back as those of another one. It costs what was written, not what is compared.
  bool reads_as(const Medium& other, uint64_t bytes) const;

 private:
  static constexpr unsigned page_sectors = page_bytes / sector_bytes;
  using Page = std::array<std::byte, page_bytes>;
  static constexpr Page zeroes = {};
  // A page that is all zero needs no memory: log files are written full of zeroes when they are made.
  class Content {
   public:
    Content() = default;
    Content(const Content& other) : page_(other.page_ ? std::make_unique<Page>(*other.page_) : nullptr) {}
    Content(Content&& other) = default;
    Content& operator=(const Content& other) { return *this = Content(other); }
    Content& operator=(Content&& other) = default;
    ~Content() = default;
    const Page& get() const { return page_ ? *page_ : zeroes; }
    void write(uint64_t offset, std::span<const std::byte> bytes);

   private:
    std::unique_ptr<Page> page_;
  };
  struct CachedPage {
    Content content = {};
    std::array<uint64_t, page_sectors> written = {};  // sequence of the sector's write; 0 = same as durable
    std::array<bool, page_sectors> is_lost = {};      // a flush failed on it
  };
  enum class Survival : uint8_t { none, all, some_sectors, whole_writes, prefix };

  template <class F>
  static void for_each_page(uint64_t offset, uint64_t bytes, F&& f);
  const Page& page_at(uint64_t page) const;
  CachedPage& cache(uint64_t page);
  void write_page(uint64_t page, uint64_t from, std::span<const std::byte> bytes, bool fua);
  void make_durable(uint64_t page, const CachedPage& cached, unsigned sector);
  bool survives(Survival mode, uint64_t written, uint64_t cut, uint64_t parts);

  uint32_t tear_bytes_;
  Prng prng_;
  std::map<uint64_t, Page> durable_;
  std::map<uint64_t, CachedPage> cached_;
  std::set<uint64_t> broken_;
  uint64_t sequence_ = 0;
  std::multiset<uint64_t> flushes_;  // tickets of those under way
};

}  // namespace mars::sim
