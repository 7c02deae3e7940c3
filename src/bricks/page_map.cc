#include "bricks/page_map.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace mars::bricks {

PageMap::PageMap(uint32_t pages)
    : words_((pages + word_bits - 1) / word_bits), size_(pages), free_(pages), longest_(pages) {
  if (pages % word_bits != 0) words_.back() = ~Word{0} << pages % word_bits;
}

// Gives each word of the run and the bits of it to `change`, which returns the new word; returns how many bits changed.
template <class Change>
uint32_t PageMap::change(Run run, Change change) {
  CHECK(run.pages <= size_ && run.first <= size_ - run.pages);
  int changed = 0;
  for (uint32_t page = run.first, end = run.first + run.pages; page < end;) {
    const uint32_t at = page % word_bits;
    const uint32_t count = std::min(end - page, word_bits - at);
    const Word bits = ~Word{0} >> (word_bits - count) << at;
    const Word former = word(page);
    words_[page / word_bits] = change(former, bits);
    changed += std::popcount(former ^ word(page));
    page += count;
  }
  return static_cast<uint32_t>(changed);
}

void PageMap::take(Run run) {
  free_ -= change(run, [](Word word, Word bits) { return word | bits; });
}

void PageMap::give_back(Run run) {
  const uint32_t changed = change(run, [](Word word, Word bits) { return word & ~bits; });
  CHECK(changed == run.pages);
  free_ += changed;
  if (run.pages == 0) return;
  lowest_ = std::min(lowest_, run.first);
  if (longest_ == size_) return;
  const uint32_t begin = begin_of_free(run.first);
  longest_ = std::max(longest_, next(run.first, size_, true) - begin);
}

PageMap::Run PageMap::find(uint32_t pages) {
  CHECK(pages > 0 && free_ > 0);
  const uint32_t wanted = std::min(pages, longest_);
  lowest_ = next(lowest_, size_, false);
  Run best;
  for (uint32_t page = lowest_; page < size_;) {
    const uint32_t end = next(page, std::min<uint64_t>(uint64_t{page} + wanted, size_), true);
    if (end - page > best.pages) best = {page, end - page};
    if (best.pages == wanted) return best;
    page = next(end, size_, false);
  }
  longest_ = best.pages;
  return best;
}

// The first page from `page` on that is taken, or that is free; `to` when there is none in front of it.
uint32_t PageMap::next(uint32_t page, uint32_t to, bool taken) const {
  while (page < to) {
    const Word bits = (taken ? word(page) : ~word(page)) >> page % word_bits;
    if (bits != 0) return std::min(to, page + static_cast<uint32_t>(std::countr_zero(bits)));
    page = (page / word_bits + 1) * word_bits;
  }
  return to;
}

// Where the free run begins to which `page` belongs.
uint32_t PageMap::begin_of_free(uint32_t page) const {
  while (page > 0) {
    const Word bits = word(page - 1) << (word_bits - 1 - (page - 1) % word_bits);
    if (bits != 0) return page - static_cast<uint32_t>(std::countl_zero(bits));
    page = (page - 1) / word_bits * word_bits;
  }
  return 0;
}

}  // namespace mars::bricks
