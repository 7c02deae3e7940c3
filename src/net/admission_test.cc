#include "net/admission.h"

#include <gtest/gtest.h>

namespace mars::net {
namespace {

constexpr Claim claim(uint64_t incarnation, bool is_dialled_by_smaller) {
  return {Incarnation{incarnation}, is_dialled_by_smaller};
}

TEST(admission, first_connection_is_taken) {
  EXPECT_EQ(decide_admission(std::nullopt, false, claim(1, false)), Admission::take);
}

TEST(admission, of_two_crossing_the_one_dialled_by_the_smaller_stays) {
  EXPECT_EQ(decide_admission(claim(1, true), false, claim(1, false)), Admission::refuse_crossing);
  EXPECT_EQ(decide_admission(claim(1, false), false, claim(1, true)), Admission::replace);
}

TEST(admission, same_dialler_has_given_up_its_former_connection) {
  EXPECT_EQ(decide_admission(claim(1, true), false, claim(1, true)), Admission::replace);
  EXPECT_EQ(decide_admission(claim(1, false), false, claim(1, false)), Admission::replace);
}

TEST(admission, second_incarnation_is_refused_while_the_first_is_heard) {
  for (const bool smaller : {false, true}) {
    EXPECT_EQ(decide_admission(claim(1, true), false, claim(2, smaller)), Admission::refuse_second);
    EXPECT_EQ(decide_admission(claim(2, true), false, claim(1, smaller)), Admission::refuse_second);
  }
}

TEST(admission, silent_connection_gives_way) {
  for (const uint64_t incarnation : {1, 2}) {
    for (const bool smaller : {false, true}) {
      EXPECT_EQ(decide_admission(claim(1, true), true, claim(incarnation, smaller)), Admission::replace);
    }
  }
}

}  // namespace
}  // namespace mars::net
