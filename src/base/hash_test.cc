#include "base/hash.h"

#include <gtest/gtest.h>

namespace mars {
namespace {

// The published value of XXH3-128, seed 0, of no bytes.
TEST(Hash, is_xxh3_of_128_bits_with_seed_0) {
  EXPECT_EQ(to_string(hash({})), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash({}).high, 0x99aa06d3014798d8u);
}

TEST(Hash, pieces_give_the_hash_of_the_whole) {
  std::vector<std::byte> bytes(5000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  ByteView view(bytes);
  for (size_t cut : {0u, 1u, 16u, 240u, 241u, 1024u, 4999u, 5000u}) {
    Hasher hasher;
    hasher.add(view.first(cut));
    hasher.add(view.subspan(cut));
    EXPECT_EQ(hasher.digest(), hash(view)) << cut;
  }
}

TEST(Hash, a_hasher_can_be_used_again) {
  Hasher hasher;
  hasher.add(bytes_of("other"));
  hasher.reset();
  hasher.add(bytes_of("abc"));
  EXPECT_EQ(hasher.digest(), hash(bytes_of("abc")));
}

TEST(Hash, is_stored_low_half_first) {
  std::vector<std::byte> out;
  Writer writer(out);
  write_hash(writer, {1, 2});
  EXPECT_EQ(out[0], std::byte{1});
  EXPECT_EQ(out[8], std::byte{2});
  Reader reader(out);
  EXPECT_EQ(read_hash(reader), (Hash128{1, 2}));
}

}  // namespace
}  // namespace mars
