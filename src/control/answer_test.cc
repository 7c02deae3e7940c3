#include "control/answer.h"

#include <gtest/gtest.h>

namespace mars::control {
namespace {

TEST(exit_codes, are_the_documented_numbers) {
  std::string all;
  for (const ExitCodeRow& row : exit_codes()) {
    all += std::to_string(static_cast<int>(row.code)) + " " + std::string(row.name) + ",";
    EXPECT_EQ(name(row.code), row.name);
    EXPECT_EQ(*exit_code_from_number(static_cast<int64_t>(row.code)), row.code);
  }
  EXPECT_EQ(all, "0 done,1 failed,2 usage,3 refused,4 timed-out,5 unreachable,6 fork,7 not-found,8 not-running,");
  EXPECT_FALSE(exit_code_from_number(9));
  EXPECT_FALSE(exit_code_from_number(-1));
}

TEST(exit_codes, follow_from_the_status) {
  EXPECT_EQ(exit_code_of(Status::ok), ExitCode::done);
  EXPECT_EQ(exit_code_of(Status::refused), ExitCode::refused);
  EXPECT_EQ(exit_code_of(Status::busy), ExitCode::refused);
  EXPECT_EQ(exit_code_of(Status::timed_out), ExitCode::timed_out);
  EXPECT_EQ(exit_code_of(Status::unreachable), ExitCode::unreachable);
  EXPECT_EQ(exit_code_of(Status::forked), ExitCode::fork);
  EXPECT_EQ(exit_code_of(Status::not_found), ExitCode::not_found);
  EXPECT_EQ(exit_code_of(Status::invalid), ExitCode::usage);
  EXPECT_EQ(exit_code_of(Status::io_error), ExitCode::failed);
}

TEST(answer_line, progress_comes_back_as_it_went) {
  Progress progress{"replaying on beta", 7, UINT64_MAX};
  auto line = decode_line(encode(progress));
  ASSERT_TRUE(line);
  EXPECT_EQ(std::get<Progress>(*line), progress);
}

TEST(answer_line, answer_comes_back_as_it_went) {
  Answer answer{ExitCode::refused, "the device is in use\non alpha", "unmount it", R"({"a":[1,2]})"};
  std::string encoded = encode(answer);
  EXPECT_EQ(encoded.find('\n'), std::string::npos);
  auto line = decode_line(encoded);
  ASSERT_TRUE(line);
  EXPECT_EQ(std::get<Answer>(*line), answer);
}

TEST(answer_line, an_error_becomes_an_answer) {
  Answer answer = Answer::of(Error(Status::not_found, "there is no resource \"x\""), "marsadm status");
  EXPECT_EQ(answer.code, ExitCode::not_found);
  EXPECT_EQ(answer.text, "there is no resource \"x\"");
}

TEST(answer_line, bytes_that_are_no_text_do_not_stop_it) {
  auto line = decode_line(encode(Answer::done("disk \xff\xfe")));
  ASSERT_TRUE(line);
  EXPECT_TRUE(decode_line(encode(Answer{ExitCode::done, {}, {}, "no json"})));
}

TEST(answer_line, refuses_garbage) {
  for (std::string_view text :
       {"", "{}", "[]", "nonsense", R"({"progress":7})", R"({"progress":{"done":-1}})", R"({"progress":{"done":"x"}})",
        R"({"answer":{}})", R"({"answer":{"exit_code":9}})", R"({"answer":{"exit_code":255}})",
        R"({"answer":{"exit_code":-1}})", R"({"answer":{"exit_code":18446744073709551615}})",
        R"({"answer":{"exit_code":0,"text":[]}})", R"({"answer":[]})"}) {
    EXPECT_EQ(status_of(decode_line(text)), Status::invalid) << text;
  }
}

}  // namespace
}  // namespace mars::control
