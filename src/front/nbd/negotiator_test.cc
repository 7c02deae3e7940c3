#include "front/nbd/negotiator.h"

#include <gtest/gtest.h>

#include <map>

namespace mars::nbd {
namespace {

using Next = Negotiator::Next;

class Shelf : public Catalogue {
 public:
  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, shape] : shapes) all.push_back(name);
    return all;
  }
  std::optional<Shape> find(std::string_view name) const override {
    auto found = shapes.find(std::string(name));
    return found == shapes.end() ? std::nullopt : std::optional(found->second);
  }
  std::string description(std::string_view) const override { return "a device"; }
  std::string why_not(std::string_view name) const override { return std::string(name) + " is primary on host b"; }
  std::map<std::string, Shape> shapes;
};

class NegotiatorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    shelf.shapes["mydata"] = {.bytes = 1 << 20};
    EXPECT_TRUE(negotiator.on_client_flags(flag_fixed_newstyle | flag_no_zeroes));
  }
  Next say(uint32_t option, std::string_view data = {}) { return say(negotiator, option, data); }
  Next say(Negotiator& to, uint32_t option, std::string_view data = {}) {
    answer.clear();
    const Next next = to.on_option({option, static_cast<uint32_t>(data.size())}, bytes_of(data), answer);
    types.clear();
    for (size_t at = 0; answer.size() - at >= 20;) {
      auto word = [&](size_t where) {
        uint32_t value = 0;
        for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint32_t>(answer[at + where + i]);
        return value;
      };
      types.push_back(static_cast<OptionReply>(word(12)));
      text = text_of(ByteView(answer).subspan(at + 20, word(16)));
      at += 20 + word(16);
    }
    return next;
  }
  static std::string go(std::string_view name) {
    return std::string("\0\0\0", 3) + static_cast<char>(name.size()) + std::string(name) + std::string("\0\0", 2);
  }

  Shelf shelf;
  Negotiator negotiator{shelf, TlsPolicy::none};
  Bytes answer;
  std::vector<OptionReply> types;
  std::string text;  // of the last reply
};

TEST_F(NegotiatorTest, go_opens_an_export) {
  EXPECT_EQ(say(7, go("mydata")), Next::transmission);
  EXPECT_EQ(types, (std::vector{OptionReply::info, OptionReply::info, OptionReply::ack}));
  EXPECT_EQ(negotiator.name(), "mydata");
}

TEST_F(NegotiatorTest, info_tells_and_stays) {
  EXPECT_EQ(say(6, go("mydata")), Next::option);
  EXPECT_EQ(types.back(), OptionReply::ack);
}

TEST_F(NegotiatorTest, the_empty_name_is_the_only_export) {
  EXPECT_EQ(say(7, go("")), Next::transmission);
  EXPECT_EQ(negotiator.name(), "mydata");
  shelf.shapes["other"] = {};
  Negotiator second(shelf, TlsPolicy::none);
  second.on_client_flags(flag_fixed_newstyle);
  EXPECT_EQ(say(second, 7, go("")), Next::option);
  EXPECT_EQ(types, std::vector{OptionReply::unknown});
}

TEST_F(NegotiatorTest, an_unknown_name_is_told_who_is_primary) {
  EXPECT_EQ(say(7, go("elsewhere")), Next::option);
  EXPECT_EQ(types, std::vector{OptionReply::unknown});
  EXPECT_EQ(text, "elsewhere is primary on host b");
}

TEST_F(NegotiatorTest, malformed_data_is_invalid) {
  for (const std::string& data : {std::string(), std::string("\0\0\0\x09mydata\0\0", 12), go("mydata") + "x"}) {
    EXPECT_EQ(say(7, data), Next::option);
    EXPECT_EQ(types, std::vector{OptionReply::invalid});
  }
  EXPECT_EQ(say(3, "x"), Next::option);
  EXPECT_EQ(types, std::vector{OptionReply::invalid});
  EXPECT_EQ(say(8, "x"), Next::option);
  EXPECT_EQ(types, std::vector{OptionReply::invalid});
}

TEST_F(NegotiatorTest, list_names_what_is_open) {
  shelf.shapes["other"] = {};
  EXPECT_EQ(say(3), Next::option);
  EXPECT_EQ(types, (std::vector{OptionReply::server, OptionReply::server, OptionReply::ack}));
}

TEST_F(NegotiatorTest, export_name_answers_with_its_own_format) {
  EXPECT_EQ(say(1, "mydata"), Next::transmission);
  EXPECT_EQ(answer.size(), 10u);
  Negotiator old(shelf, TlsPolicy::none);
  old.on_client_flags(0);
  EXPECT_EQ(say(old, 1, "mydata"), Next::transmission);
  EXPECT_EQ(answer.size(), 134u);
  EXPECT_EQ(say(old, 1, "elsewhere"), Next::close);
  EXPECT_EQ(say(old, 3), Next::close);
}

TEST_F(NegotiatorTest, structured_replies_are_agreed) {
  EXPECT_FALSE(negotiator.has_structured_replies());
  EXPECT_EQ(say(8), Next::option);
  EXPECT_EQ(types, std::vector{OptionReply::ack});
  EXPECT_TRUE(negotiator.has_structured_replies());
}

TEST_F(NegotiatorTest, unknown_options_are_unsupported) {
  for (const uint32_t option : {4u, 9u, 10u, 11u, 0u, 4711u}) {
    EXPECT_EQ(say(option, "data"), Next::option);
    EXPECT_EQ(types, std::vector{OptionReply::unsupported});
  }
}

TEST_F(NegotiatorTest, abort_is_acknowledged_and_ends) {
  EXPECT_EQ(say(2), Next::close);
  EXPECT_EQ(types, std::vector{OptionReply::ack});
}

TEST_F(NegotiatorTest, unknown_client_flags_end_it) { EXPECT_FALSE(negotiator.on_client_flags(4)); }

TEST_F(NegotiatorTest, starttls_where_there_is_none_is_unsupported) {
  EXPECT_EQ(say(5), Next::option);
  EXPECT_EQ(types, std::vector{OptionReply::unsupported});
}

TEST_F(NegotiatorTest, where_tls_is_required_nothing_else_comes_first) {
  Negotiator strict(shelf, TlsPolicy::required);
  strict.on_client_flags(flag_fixed_newstyle);
  for (const uint32_t option : {3u, 6u, 7u, 8u}) {
    EXPECT_EQ(say(strict, option, option > 5 && option < 8 ? go("mydata") : ""), Next::option);
    EXPECT_EQ(types, std::vector{OptionReply::tls_required});
  }
  EXPECT_EQ(say(strict, 1, "mydata"), Next::close);
  EXPECT_EQ(say(strict, 5), Next::secure);
  strict.secured();
  EXPECT_EQ(say(strict, 7, go("mydata")), Next::transmission);
}

}  // namespace
}  // namespace mars::nbd
