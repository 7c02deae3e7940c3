#include "control/value_text.h"

#include <gtest/gtest.h>

namespace mars::control {
namespace {

TEST(value_text, sizes_are_binary) {
  EXPECT_EQ(*parse_size("0"), 0u);
  EXPECT_EQ(*parse_size("4096"), 4096u);
  EXPECT_EQ(*parse_size("64K"), 65536u);
  EXPECT_EQ(*parse_size("64KiB"), 65536u);
  EXPECT_EQ(*parse_size("1.5g"), 1610612736u);
  EXPECT_EQ(*parse_size("18446744073709551615"), UINT64_MAX);
  for (std::string_view bad : {"", "K", "1X", "1KK", "-1", "1..2K", "9999999P", "18446744073709551616", " 1", "1 K"}) {
    EXPECT_EQ(status_of(parse_size(bad)), Status::invalid) << bad;
  }
}

TEST(value_text, durations_have_units) {
  EXPECT_EQ(*parse_duration_ms("100ms"), 100u);
  EXPECT_EQ(*parse_duration_ms("10s"), 10'000u);
  EXPECT_EQ(*parse_duration_ms("10"), 10'000u);
  EXPECT_EQ(*parse_duration_ms("0.5m"), 30'000u);
  EXPECT_EQ(*parse_duration_ms("1h"), 3'600'000u);
  EXPECT_EQ(*parse_duration_ms("7d"), 604'800'000u);
  for (std::string_view bad : {"", "s", "1w", "-1s", "99999999999999999999d"}) {
    EXPECT_EQ(status_of(parse_duration_ms(bad)), Status::invalid) << bad;
  }
}

TEST(value_text, exact_values_are_taken_again) {
  EXPECT_EQ(exact_size(8 << 20), "8M");
  EXPECT_EQ(exact_size(1025), "1025");
  EXPECT_EQ(exact_duration(100), "100ms");
  EXPECT_EQ(exact_duration(10'000), "10s");
  EXPECT_EQ(exact_duration(90'000), "90s");
  for (uint64_t value : {uint64_t{0}, uint64_t{999}, uint64_t{1000}, uint64_t{86'400'000}, uint64_t{1} << 38}) {
    EXPECT_EQ(*parse_duration_ms(exact_duration(value)), value);
    EXPECT_EQ(*parse_size(exact_size(value)), value);
  }
}

TEST(value_text, is_readable) {
  EXPECT_EQ(size_text(0), "0 B");
  EXPECT_EQ(size_text(1023), "1023 B");
  EXPECT_EQ(size_text(2ull << 30), "2.0 GiB");
  EXPECT_EQ(size_text((1ull << 20) - 1), "1.0 MiB");
  EXPECT_EQ(size_text(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(duration_text(250), "250 ms");
  EXPECT_EQ(duration_text(3'210), "3.2 s");
  EXPECT_EQ(duration_text(310'000), "5 min 10 s");
  EXPECT_EQ(duration_text(7'200'000), "2 h 0 min");
  EXPECT_EQ(duration_text(90'000'000), "1 d 1 h");
}

TEST(value_text, times_come_back) {
  EXPECT_EQ(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(rfc3339(951'782'400'000'000'001), "2000-02-29T00:00:00.000000001Z");
  for (uint64_t ns :
       {uint64_t{0}, uint64_t{1}, uint64_t{951'827'696'123'456'789}, uint64_t{4'102'444'800'000'000'000}}) {
    EXPECT_EQ(*parse_rfc3339(rfc3339(ns)), ns);
  }
  for (std::string_view bad :
       {"", "2000-02-30T00:00:00.000000000Z", "2000-02-29T24:00:00.000000000Z", "1969-12-31T23:59:59.000000000Z",
        "2000-02-29T00:00:00Z", "2000-02-29 00:00:00.000000000Z", "2000-0a-29T00:00:00.000000000Z"}) {
    EXPECT_EQ(status_of(parse_rfc3339(bad)), Status::invalid) << bad;
  }
  EXPECT_EQ(rfc3339(UINT64_MAX).size(), rfc3339(0).size());
}

TEST(value_text, nearest_word_is_a_slip_away) {
  std::string_view words[] = {"primary", "secondary", "status"};
  EXPECT_EQ(nearest("primry", words), "primary");
  EXPECT_EQ(nearest("statsu", words), "status");
  EXPECT_EQ(nearest("qqqqqqqq", words), "");
  EXPECT_EQ(nearest(std::string(100'000, 'a'), words), "");
}

TEST(value_text, names_are_plain) {
  for (std::string_view good : {"a", "mydata", "0", "a.b_c-d"}) EXPECT_EQ(check_name(good), Status::ok) << good;
  for (std::string_view bad : {"", "A", ".", "-", "_a", "all", "none", "a/b", "a\n"}) {
    EXPECT_EQ(check_name(bad), Status::invalid) << bad;
  }
}

}  // namespace
}  // namespace mars::control
