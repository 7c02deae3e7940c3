#include "sim/medium.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace mars::sim {

// Calls f(page, begin in page, bytes, bytes done before) for each page that the range touches.
template <class F>
void Medium::for_each_page(uint64_t offset, uint64_t bytes, F&& f) {
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t begin = (offset + done) % page_bytes;
    const uint64_t count = std::min(page_bytes - begin, bytes - done);
    f((offset + done) / page_bytes, begin, count, done);
    done += count;
  }
}

void Medium::Content::write(uint64_t offset, std::span<const std::byte> bytes) {
  if (!page_) {
    if (std::memcmp(bytes.data(), zeroes.data(), bytes.size()) == 0) return;
    page_ = std::make_unique<Page>();
  }
  std::memcpy(page_->data() + offset, bytes.data(), bytes.size());
}

const Medium::Page& Medium::page_at(uint64_t page) const {
  if (auto cached = cached_.find(page); cached != cached_.end()) return cached->second.content.get();
  auto durable = durable_.find(page);
  return durable != durable_.end() ? durable->second : zeroes;
}

void Medium::read(uint64_t offset, std::span<std::byte> into) const {
  for_each_page(offset, into.size(), [&](uint64_t page, uint64_t begin, uint64_t count, uint64_t done) {
    std::memcpy(into.data() + done, page_at(page).data() + begin, count);
  });
}

bool Medium::reads_as(const Medium& other, uint64_t bytes) const {
  std::set<uint64_t> pages;  // those that may be anything but zero
  for (const Medium* medium : {this, &other}) {
    for (const auto& [page, durable] : medium->durable_) pages.insert(page);
    for (const auto& [page, cached] : medium->cached_) pages.insert(page);
  }
  return std::ranges::all_of(pages, [&](uint64_t page) {
    if (page * page_bytes >= bytes) return true;
    const uint64_t count = std::min(page_bytes, bytes - page * page_bytes);
    return std::memcmp(page_at(page).data(), other.page_at(page).data(), count) == 0;
  });
}

void Medium::read_durable(uint64_t offset, std::span<std::byte> into) const {
  for_each_page(offset, into.size(), [&](uint64_t page, uint64_t begin, uint64_t count, uint64_t done) {
    auto durable = durable_.find(page);
    if (durable != durable_.end()) {
      std::memcpy(into.data() + done, durable->second.data() + begin, count);
    } else {
      std::memset(into.data() + done, 0, count);
    }
  });
}

void Medium::write(uint64_t offset, std::span<const std::byte> from, bool fua) {
  ++sequence_;
  for_each_page(offset, from.size(), [&](uint64_t page, uint64_t begin, uint64_t count, uint64_t done) {
    write_page(page, begin, from.subspan(done, count), fua);
  });
}

void Medium::zero(uint64_t offset, uint64_t bytes) {
  ++sequence_;
  for_each_page(offset, bytes, [&](uint64_t page, uint64_t begin, uint64_t count, uint64_t) {
    if (!cached_.contains(page) && !durable_.contains(page)) return;  // reads as zero, cannot become anything else
    write_page(page, begin, std::span(zeroes).first(count), false);
  });
}

Medium::CachedPage& Medium::cache(uint64_t page) {
  auto [place, is_new] = cached_.try_emplace(page);
  if (is_new) {
    auto durable = durable_.find(page);
    if (durable != durable_.end()) place->second.content.write(0, durable->second);
  }
  return place->second;
}

void Medium::write_page(uint64_t page, uint64_t from, std::span<const std::byte> bytes, bool fua) {
  CachedPage& cached = cache(page);
  const auto first = static_cast<unsigned>(from / sector_bytes);
  const auto last = static_cast<unsigned>((from + bytes.size() - 1) / sector_bytes);
  // The version that is replaced may be what survives: a flush under way may owe it, else the cache wrote it back or
  // not.
  const bool writes_back = !flushes_.empty() || prng_.chance(1, 4);
  for (unsigned sector = first; sector <= last; ++sector) {
    broken_.erase(page * page_sectors + sector);
    if (cached.written[sector] != 0 && writes_back && !cached.is_lost[sector]) make_durable(page, cached, sector);
  }
  cached.content.write(from, bytes);
  for (unsigned sector = first; sector <= last; ++sector) {
    cached.written[sector] = sequence_;
    cached.is_lost[sector] = false;
    if (!fua) continue;
    make_durable(page, cached, sector);
    cached.written[sector] = 0;
  }
  if (std::ranges::all_of(cached.written, [](uint64_t written) { return written == 0; })) cached_.erase(page);
}

void Medium::make_durable(uint64_t page, const CachedPage& cached, unsigned sector) {
  auto durable = durable_.find(page);
  const std::byte* from = cached.content.get().data() + sector * sector_bytes;
  if (durable == durable_.end()) {
    if (std::memcmp(from, zeroes.data(), sector_bytes) == 0) return;
    durable = durable_.try_emplace(page).first;
  }
  std::memcpy(durable->second.data() + sector * sector_bytes, from, sector_bytes);
}

uint64_t Medium::begin_flush() {
  flushes_.insert(sequence_);
  return sequence_;
}

void Medium::end_flush(uint64_t ticket) {
  cancel_flush(ticket);
  for (auto place = cached_.begin(); place != cached_.end();) {
    CachedPage& cached = place->second;
    bool is_clean = true;
    for (unsigned sector = 0; sector < page_sectors; ++sector) {
      if (cached.written[sector] == 0) continue;
      if (cached.written[sector] <= ticket && !cached.is_lost[sector]) {
        make_durable(place->first, cached, sector);
        cached.written[sector] = 0;
      } else {
        is_clean = false;
      }
    }
    place = is_clean ? cached_.erase(place) : std::next(place);
  }
}

void Medium::fail_flush(uint64_t ticket) {
  cancel_flush(ticket);
  for (auto& [page, cached] : cached_) {
    for (unsigned sector = 0; sector < page_sectors; ++sector) {
      if (cached.written[sector] != 0 && cached.written[sector] <= ticket) cached.is_lost[sector] = true;
    }
  }
}

void Medium::cancel_flush(uint64_t ticket) {
  auto under_way = flushes_.find(ticket);
  if (under_way != flushes_.end()) flushes_.erase(under_way);
}

void Medium::settle() {
  for (auto& [page, cached] : cached_) {
    for (unsigned sector = 0; sector < page_sectors; ++sector) {
      if (cached.written[sector] != 0) make_durable(page, cached, sector);
    }
  }
  cached_.clear();
}

// `cut` is a sequence: writes before it survive (prefix), or its low bits choose among whole writes.
bool Medium::survives(Survival mode, uint64_t written, uint64_t cut, uint64_t parts) {
  switch (mode) {
    case Survival::none:
      return false;
    case Survival::all:
      return true;
    case Survival::some_sectors:
      return prng_.chance(parts, 8);
    case Survival::prefix:
      return written < cut || (written == cut && prng_.chance(1, 2));
    case Survival::whole_writes:
      if (written == cut) return prng_.chance(1, 2);  // one of them is torn
      return Prng(cut ^ written * 0x9e3779b97f4a7c15).chance(parts, 8);
  }
  return false;
}

void Medium::power_loss() {
  constexpr Survival modes[] = {Survival::none,         Survival::all,          Survival::some_sectors,
                                Survival::some_sectors, Survival::whole_writes, Survival::prefix,
                                Survival::prefix,       Survival::whole_writes};
  const Survival mode = modes[prng_.below(std::size(modes))];
  const uint64_t parts = prng_.between(1, 7);
  uint64_t oldest = sequence_;
  for (auto& [page, cached] : cached_) {
    for (uint64_t written : cached.written) {
      if (written != 0) oldest = std::min(oldest, written);
    }
  }
  const uint64_t cut = prng_.between(oldest, sequence_);
  const auto grain = static_cast<unsigned>(tear_bytes_ / sector_bytes);
  for (auto& [page, cached] : cached_) {
    bool does_survive = false;
    for (unsigned sector = 0; sector < page_sectors; ++sector) {
      if (sector % grain == 0) does_survive = survives(mode, cached.written[sector], cut, parts);
      if (cached.written[sector] == 0 || cached.is_lost[sector] || !does_survive) continue;
      make_durable(page, cached, sector);
    }
  }
  cached_.clear();
  flushes_.clear();
}

void Medium::erase_from(uint64_t offset) {
  const uint64_t first_whole = (offset + page_bytes - 1) / page_bytes;
  durable_.erase(durable_.lower_bound(first_whole), durable_.end());
  cached_.erase(cached_.lower_bound(first_whole), cached_.end());
  const uint64_t inside = offset % page_bytes;
  if (inside == 0) return;
  const std::span<const std::byte> wiped = std::span(zeroes).first(page_bytes - inside);
  if (auto durable = durable_.find(offset / page_bytes); durable != durable_.end()) {
    std::ranges::copy(wiped, durable->second.data() + inside);
  }
  if (auto cached = cached_.find(offset / page_bytes); cached != cached_.end()) {
    cached->second.content.write(inside, wiped);
  }
}

void Medium::flip(uint64_t offset, unsigned bit) {
  CHECK(bit < 8);
  const uint64_t page = offset / page_bytes;
  const auto mask = static_cast<std::byte>(1u << bit);
  if (auto cached = cached_.find(page); cached != cached_.end()) {
    const std::byte flipped = cached->second.content.get()[offset % page_bytes] ^ mask;
    cached->second.content.write(offset % page_bytes, {&flipped, 1});
  }
  durable_[page][offset % page_bytes] ^= mask;
}

bool Medium::is_readable(uint64_t offset, uint64_t bytes) const {
  auto broken = broken_.lower_bound(offset / sector_bytes);
  return broken == broken_.end() || *broken * sector_bytes >= offset + bytes;
}

}  // namespace mars::sim
