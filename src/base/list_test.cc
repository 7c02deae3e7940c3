#include "base/list.h"

#include <gtest/gtest.h>

#include <string>

namespace mars {
namespace {

struct Item : ListHook {
  explicit Item(char l) : letter(l) {}
  char letter;
};

std::string text(List<Item>& list) {
  std::string letters;
  list.for_each([&](Item& item) { letters += item.letter; });
  return letters;
}

TEST(list, keeps_the_order) {
  Item a('a'), b('b'), c('c');
  List<Item> list;
  list.push_back(b);
  list.push_back(c);
  list.push_front(a);
  EXPECT_EQ(text(list), "abc");
  EXPECT_EQ(&list.front(), &a);
  EXPECT_EQ(&list.back(), &c);
  EXPECT_EQ(list.after(a), &b);
  EXPECT_EQ(list.after(c), nullptr);
}

TEST(list, an_element_leaves_from_anywhere_and_when_it_dies) {
  Item a('a'), c('c');
  List<Item> list;
  list.push_back(a);
  {
    Item b('b');
    list.push_back(b);
    list.push_back(c);
    EXPECT_EQ(text(list), "abc");
  }
  EXPECT_EQ(text(list), "ac");
  a.unlink();
  a.unlink();
  EXPECT_FALSE(a.is_linked());
  EXPECT_EQ(list.pop_front(), &c);
  EXPECT_EQ(list.pop_front(), nullptr);
}

TEST(list, for_each_may_take_out_what_it_looks_at) {
  Item a('a'), b('b'), c('c');
  List<Item> list;
  for (Item* item : {&a, &b, &c}) list.push_back(*item);
  list.for_each([](Item& item) {
    if (item.letter == 'b') item.unlink();
  });
  EXPECT_EQ(text(list), "ac");
}

TEST(list, a_list_that_dies_lets_go) {
  Item a('a');
  {
    List<Item> list;
    list.push_back(a);
  }
  EXPECT_FALSE(a.is_linked());
}

TEST(list, nothing_stands_in_two_lists) {
  Item a('a');
  List<Item> one, two;
  one.push_back(a);
  EXPECT_DEATH(two.push_back(a), "is_linked");
}

}  // namespace
}  // namespace mars
