#include "bricks/page_map.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/prng.h"

namespace mars::bricks {
namespace {

std::string text(PageMap::Run run) { return std::to_string(run.first) + "+" + std::to_string(run.pages); }

TEST(PageMapTest, the_first_that_is_long_enough_else_the_longest) {
  PageMap map(300);
  map.take({0, 300});
  for (const PageMap::Run run : {PageMap::Run{3, 1}, {60, 9}, {100, 2}, {190, 66}}) map.give_back(run);
  EXPECT_EQ(text(map.find(1)), "3+1");
  EXPECT_EQ(text(map.find(2)), "60+2");
  EXPECT_EQ(text(map.find(66)), "190+66");
  EXPECT_EQ(text(map.find(67)), "190+66");
  map.take({200, 50});
  EXPECT_EQ(text(map.find(66)), "190+10");
  map.give_back({69, 31});
  EXPECT_EQ(text(map.find(66)), "60+42");
}

TEST(PageMapTest, it_ends_where_the_pages_end) {
  for (const uint32_t pages : {1u, 63u, 64u, 65u, 128u}) {
    PageMap map(pages);
    EXPECT_EQ(map.free(), pages);
    EXPECT_EQ(text(map.find(1000)), "0+" + std::to_string(pages));
    map.take({0, pages});
    EXPECT_EQ(map.free(), 0u);
    map.give_back({pages - 1, 1});
    EXPECT_EQ(text(map.find(2)), text({pages - 1, 1}));
  }
}

// Page by page, as one would do it by hand.
PageMap::Run found_slowly(const PageMap& map, uint32_t size, uint32_t wanted) {
  PageMap::Run best;
  uint32_t run = 0;
  for (uint32_t page = 0; page < size && best.pages < wanted; ++page) {
    run = map[page] ? 0 : run + 1;
    if (run > best.pages) best = {page + 1 - run, run};
  }
  return best;
}

TEST(PageMapTest, it_finds_what_a_look_at_each_page_finds) {
  constexpr uint32_t size = 500;
  Prng prng(1);
  PageMap map(size);
  std::vector<PageMap::Run> taken;
  for (int i = 0; i < 20000; ++i) {
    const auto wanted = static_cast<uint32_t>(1 + prng.below(prng.chance(1, 4) ? 40 : 3));
    if (map.free() > 0 && prng.chance(11, 20)) {
      const PageMap::Run run = map.find(wanted);
      ASSERT_EQ(text(run), text(found_slowly(map, size, wanted))) << i;
      map.take(run);
      taken.push_back(run);
    } else if (!taken.empty()) {
      std::swap(taken[prng.below(taken.size())], taken.back());
      map.give_back(taken.back());
      taken.pop_back();
    }
  }
}

}  // namespace
}  // namespace mars::bricks
