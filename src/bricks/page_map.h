// PageMap: which pages of the pool are taken. Finds free ones that follow each other, as far in front as there are
// some: what is behind stays in one piece for whoever needs much.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mars::bricks {

class PageMap {
 public:
  struct Run {
    uint32_t first = 0;
    uint32_t pages = 0;
  };

  PageMap() = default;
  explicit PageMap(uint32_t pages);  // all free

  uint32_t free() const { return free_; }
  bool operator[](uint32_t page) const { return (word(page) >> page % word_bits & 1) != 0; }

  // What is taken already stays so.
  void take(Run run);
  // All of it was taken.
  void give_back(Run run);
  // The first free run of so many pages, no longer; the longest when there is none of that length. At least one page.
  Run find(uint32_t pages);

 private:
  using Word = uint64_t;
  static constexpr uint32_t word_bits = 64;

  Word word(uint32_t page) const { return words_[page / word_bits]; }
  template <class Change>
  uint32_t change(Run run, Change change);
  uint32_t next(uint32_t page, uint32_t to, bool taken) const;
  uint32_t begin_of_free(uint32_t page) const;

  std::vector<Word> words_;  // a bit is set: taken; behind the end all are
  uint32_t size_ = 0;
  uint32_t free_ = 0;
  uint32_t lowest_ = 0;   // no page in front of it is free
  uint32_t longest_ = 0;  // no free run is longer
};

}  // namespace mars::bricks
