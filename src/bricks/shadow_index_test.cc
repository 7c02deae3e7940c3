#include "bricks/shadow_index.h"

#include <gtest/gtest.h>

#include <deque>
#include <set>

#include "base/prng.h"

namespace mars::bricks {
namespace {

class ShadowIndexTest : public testing::Test {
 protected:
  Admitted& insert(uint64_t offset, uint64_t bytes, std::byte* data = nullptr) {
    Admitted& request = requests.emplace_back();
    request.offset = offset;
    request.bytes = bytes;
    request.data = data;
    index.insert(request);
    return request;
  }
  // "owner:offset+bytes ...", gaps as "-"; owners are numbered in the order of insertion.
  std::string pieces(uint64_t offset, uint64_t bytes) {
    std::string text;
    index.walk(offset, bytes, [&](const ShadowIndex::Piece& piece) {
      std::string owner = "-";
      for (size_t i = 0; i < requests.size(); ++i) {
        if (&requests[i] == piece.owner) owner = std::to_string(i);
      }
      text +=
          (text.empty() ? "" : " ") + owner + ":" + std::to_string(piece.offset) + "+" + std::to_string(piece.bytes);
    });
    return text;
  }

  std::deque<Admitted> requests;
  std::vector<Admitted*> dropped;
  ShadowIndex index{&Admitted::newest_pieces, [this](Admitted& request) { dropped.push_back(&request); }};
};

TEST_F(ShadowIndexTest, the_newer_cuts_a_hole_into_the_older) {
  insert(0, 100);
  insert(30, 40);
  EXPECT_EQ(pieces(0, 120), "0:0+30 1:30+40 0:70+30 -:100+20");
  EXPECT_EQ(requests[0].newest_pieces, 2u);
  EXPECT_TRUE(dropped.empty());
}

TEST_F(ShadowIndexTest, who_is_covered_is_dropped_once) {
  insert(0, 10);
  insert(20, 10);
  insert(0, 50);
  EXPECT_EQ(dropped, (std::vector<Admitted*>{&requests[0], &requests[1]}));
  EXPECT_EQ(pieces(0, 50), "2:0+50");
}

TEST_F(ShadowIndexTest, remove_takes_only_what_is_still_the_owners) {
  insert(0, 100);
  insert(50, 100);
  index.remove(requests[0], 0, 100);
  EXPECT_EQ(pieces(0, 150), "-:0+50 1:50+100");
  EXPECT_EQ(dropped, (std::vector<Admitted*>{&requests[0]}));
  index.remove(requests[1], 60, 10);
  EXPECT_EQ(pieces(0, 150), "-:0+50 1:50+10 -:60+10 1:70+80");
}

TEST_F(ShadowIndexTest, next_finds_the_piece_that_covers_or_follows) {
  insert(10, 10);
  insert(40, 10);
  EXPECT_EQ(index.next(0).offset, 10u);
  EXPECT_EQ(index.next(15).offset, 10u);
  EXPECT_EQ(index.next(20).offset, 40u);
  EXPECT_EQ(index.next(50).owner, nullptr);
}

TEST_F(ShadowIndexTest, pieces_know_their_bytes) {
  std::byte bytes[100];
  insert(1000, 100, bytes);
  insert(1000, 20);
  EXPECT_EQ(index.next(1000).data(), nullptr);
  EXPECT_EQ(index.next(1020).data(), bytes + 20);
}

// Against an array that remembers the owner of every byte.
class Model {
 public:
  explicit Model(uint64_t seed) : prng_(seed) {}

  void step() {
    const uint64_t offset = prng_.below(size - 1);
    const uint64_t bytes = prng_.between(1, std::min<uint64_t>(40, size - offset));
    if (prng_.chance(2, 3) || requests_.empty()) {
      Admitted& request = requests_.emplace_back();
      request.offset = offset;
      request.bytes = bytes;
      alive_.insert(&request);
      index_.insert(request);
      std::fill_n(owners_.begin() + static_cast<ptrdiff_t>(offset), bytes, &request);
    } else {
      Admitted& request = requests_[prng_.below(requests_.size())];
      index_.remove(request, offset, bytes);
      for (uint64_t at = offset; at < offset + bytes; ++at) {
        if (owners_[at] == &request) owners_[at] = nullptr;
      }
    }
  }
  void check() {
    std::map<Admitted*, uint32_t> pieces;
    Admitted* last = nullptr;
    index_.walk(0, size, [&](const ShadowIndex::Piece& piece) {
      for (uint64_t at = piece.offset; at < piece.offset + piece.bytes; ++at) ASSERT_EQ(owners_[at], piece.owner);
      if (piece.owner != nullptr) ++pieces[piece.owner];
      if (piece.owner == nullptr) ASSERT_FALSE(last == nullptr && piece.offset > 0);
      last = piece.owner;
    });
    ASSERT_EQ(pieces.size(), alive_.size());
    for (const auto& [owner, count] : pieces) ASSERT_EQ(owner->newest_pieces, count);
  }

 private:
  static constexpr uint64_t size = 200;
  Prng prng_;
  std::deque<Admitted> requests_;
  std::set<Admitted*> alive_;
  std::vector<Admitted*> owners_ = std::vector<Admitted*>(size);
  ShadowIndex index_{&Admitted::newest_pieces, [this](Admitted& gone) { CHECK(alive_.erase(&gone) == 1); }};
};

TEST(shadow_index, agrees_with_an_array_of_owners) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Model model(seed);
    for (int i = 0; i < 60; ++i) {
      model.step();
      model.check();
      ASSERT_FALSE(testing::Test::HasFatalFailure()) << "seed " << seed << " step " << i;
    }
  }
}

}  // namespace
}  // namespace mars::bricks
