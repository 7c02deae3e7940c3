#include "bricks/segments.h"

#include <gtest/gtest.h>

#include "bricks/test_replica_test.h"

namespace mars::bricks {
namespace {

class SegmentsTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(open().has_value()); }

  sim::Host& host() { return world.host("a"); }
  template <class T>
  T run(Task<T> task) {
    return world.run(host().machine(), std::move(task));
  }
  Result<void> open() {
    segments.reset();
    SegmentsOptions options{"/mars/r", test_uuid(1), test_uuid(2), 65536, 65536};
    options.control_bytes = 8192;
    segments = std::make_unique<Segments>(host().machine(), options);
    return run(segments->open());
  }
  Result<void> power_loss() {
    host().power_loss();
    world.run_for(std::chrono::milliseconds(10));
    segments.reset();
    host().start();
    return open();
  }
  Status trim(Lsn limit) {
    return run(segments->trim(limit, [this](const Segment& one) { return &one != left_behind; }, current));
  }
  Segment* begin(uint64_t number, uint64_t first) {
    auto begun = run(segments->begin(test_uuid(static_cast<uint8_t>(10 + number)), number, {first}));
    return begun ? *begun : nullptr;
  }
  std::string names(const std::string& folder) {
    std::string names;
    for (const auto& entry : host().disks().list("/mars/r/" + folder)) names += entry.name + " ";
    return names;
  }
  std::string firsts() {
    std::string text;
    for (const auto& segment : segments->all()) {
      text += std::to_string(segment->header.epoch_number) + "-" + to_string(segment->first()) + " ";
    }
    return text;
  }

  sim::World world{1};
  std::unique_ptr<Segments> segments;
  const Segment* left_behind = nullptr;
  Segment* current = nullptr;
};

TEST_F(SegmentsTest, a_file_and_its_header_survive_power_loss) {
  Segment* made = begin(1, 8192);
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(made->limit(), Lsn{8192 + 65536 - 4096});
  ASSERT_TRUE(power_loss().has_value());
  EXPECT_EQ(firsts(), "1-8192 ");
  EXPECT_EQ(segments->find(test_uuid(11), {8192})->header.in_flight_bytes_max, 65536u);
}

TEST_F(SegmentsTest, a_crash_at_any_step_leaves_a_whole_file_or_none) {
  for (uint64_t n = 1; n <= 8; ++n) {
    host().power_loss_at_disk_op(n);
    const bool is_begun = begin(1, 65536 * n) != nullptr;
    host().disks().on_change({});
    if (host().is_up()) host().power_loss();
    world.run_for(std::chrono::milliseconds(10));
    segments.reset();
    host().start();
    ASSERT_TRUE(open().has_value());
    EXPECT_TRUE(segments->damaged().empty());
    if (is_begun) EXPECT_NE(segments->find(test_uuid(11), {65536 * n}), nullptr);
    EXPECT_EQ(names("log").find("spare"), std::string::npos);
  }
}

TEST_F(SegmentsTest, trimmed_files_become_the_next_ones) {
  for (uint64_t i = 0; i < 5; ++i) begin(1, i * 61440);
  ASSERT_EQ(trim({4 * 61440}), Status::ok);
  EXPECT_EQ(firsts(), "1-" + std::to_string(4 * 61440) + " ");
  EXPECT_EQ(segments->bytes(), 3u * 65536 + 8192) << "two spares are kept, and the control segment";
  host().disks().file_system("/").set_capacity(0);
  EXPECT_NE(begin(1, 5 * 61440), nullptr);
  EXPECT_NE(begin(1, 6 * 61440), nullptr);
  EXPECT_EQ(begin(1, 7 * 61440), nullptr);
}

TEST_F(SegmentsTest, without_room_nothing_is_left_behind) {
  host().disks().file_system("/").set_capacity(40000);
  auto begun = run(segments->begin(test_uuid(11), 1, {0}));
  EXPECT_EQ(status_of(begun), Status::no_space);
  EXPECT_EQ(names("log"), "control ");
}

TEST_F(SegmentsTest, what_could_not_be_begun_is_tried_again_with_the_same_file) {
  const sim::Fault on_header{.path = "/", .op = sim::DiskOp::write, .skip = 2, .times = 1, .status = Status::no_space};
  host().disks().fail(on_header);
  EXPECT_EQ(status_of(run(segments->begin(test_uuid(11), 1, {0}))), Status::no_space);
  host().disks().heal();
  EXPECT_EQ(names("log"), "control spare-2 ");
  host().disks().file_system("/").set_capacity(0);
  EXPECT_NE(begin(1, 0), nullptr);
  EXPECT_EQ(names("log"), "1-0000000000000000.seg control ");
}

TEST_F(SegmentsTest, the_control_segment_is_there_for_the_next_try) {
  host().disks().file_system("/").set_capacity(0);
  host().disks().fail({.path = "/", .op = sim::DiskOp::write, .times = 1, .status = Status::no_space});
  EXPECT_EQ(status_of(run(segments->begin(test_uuid(11), 1, {0}, true))), Status::no_space);
  host().disks().heal();
  EXPECT_TRUE(run(segments->begin(test_uuid(11), 1, {0}, true)).has_value());
}

TEST_F(SegmentsTest, a_control_batch_finds_room_on_a_full_disk) {
  host().disks().file_system("/").set_capacity(0);
  EXPECT_EQ(begin(1, 0), nullptr);
  ASSERT_TRUE(run(segments->begin(test_uuid(11), 1, {0}, true)).has_value());
  EXPECT_EQ(status_of(run(segments->begin(test_uuid(12), 2, {4096}, true))), Status::no_space) << "once";
  ASSERT_TRUE(power_loss().has_value());
  EXPECT_EQ(firsts(), "1-0 ");
  host().disks().file_system("/").set_capacity(1 << 20);
  ASSERT_EQ(trim({0}), Status::ok);
  host().disks().file_system("/").set_capacity(0);
  EXPECT_TRUE(run(segments->begin(test_uuid(12), 2, {4096}, true)).has_value());
}

TEST_F(SegmentsTest, what_is_needed_is_not_trimmed) {
  begin(1, 0);
  begin(1, 61440);
  begin(1, 122880);
  ASSERT_EQ(trim({61439}), Status::ok);
  EXPECT_EQ(segments->all().size(), 3u);
  segments->all()[0]->readers = 1;
  ASSERT_EQ(trim({200000}), Status::ok);
  EXPECT_EQ(segments->all().size(), 3u);
  segments->all()[0]->readers = 0;
  ASSERT_EQ(trim({200000}), Status::ok);
  EXPECT_EQ(segments->all().size(), 1u) << "the last one stays";
}

TEST_F(SegmentsTest, what_another_history_left_behind_makes_nothing_past) {
  begin(1, 0);
  current = begin(1, 61440);
  left_behind = begin(2, 61440);
  ASSERT_EQ(trim({70000}), Status::ok);
  EXPECT_EQ(firsts(), "1-61440 2-61440 ") << "only the first file lies below what counts";
  begin(1, 122880);
  ASSERT_EQ(trim({122880}), Status::ok);
  EXPECT_EQ(segments->all().front().get(), current) << "it is still written";
  current = nullptr;
  ASSERT_EQ(trim({122880}), Status::ok);
  EXPECT_EQ(firsts(), "1-122880 ");
}

TEST_F(SegmentsTest, candidates_are_those_that_may_hold_a_position_the_youngest_first) {
  begin(1, 0);
  begin(1, 49152);
  begin(2, 57344);
  const auto found = segments->candidates({57344});
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0]->header.epoch_number, 2u);
  EXPECT_EQ(found[1]->first(), Lsn{49152});
  EXPECT_TRUE(segments->candidates({1 << 20}).empty());
}

TEST_F(SegmentsTest, what_could_be_trimmed_is_told_before_and_spare_files_give_their_room_back) {
  for (uint64_t number = 0; number < 4; ++number) ASSERT_NE(begin(1, 8192 + number * 61440), nullptr);
  const auto counts = [](const Segment&) { return true; };
  EXPECT_EQ(segments->bytes_below({8192}, counts, nullptr), 0u);
  EXPECT_EQ(segments->bytes_below({8192 + 2 * 61440}, counts, nullptr), 2u * 65536);
  EXPECT_EQ(segments->bytes_below({8192 + 3 * 61440}, counts, segments->all()[1].get()), 65536u)
      << "the current one stays";
  const uint64_t before = segments->bytes();
  ASSERT_EQ(trim({8192 + 2 * 61440}), Status::ok);
  EXPECT_EQ(segments->bytes(), before) << "they wait for the next roll";
  EXPECT_EQ(segments->spare_bytes(), 2u * 65536);
  ASSERT_EQ(run(segments->drop_spares()), Status::ok);
  EXPECT_EQ(segments->bytes(), before - 2 * 65536);
  EXPECT_EQ(names("log").find("spare"), std::string::npos) << names("log");
  EXPECT_NE(begin(1, 8192 + 4 * 61440), nullptr);
}

TEST_F(SegmentsTest, strange_files_are_named_and_left_alone) {
  begin(1, 0);
  begin(1, 61440);
  const std::string first = segments->all()[0]->path;
  const std::string second = segments->all()[1]->path;
  segments.reset();
  const io::Bytes header = host().disks().peek(first, 0, 4096);
  host().disks().poke(second, 0, header);
  ASSERT_TRUE(open().has_value());
  EXPECT_EQ(firsts(), "1-0 ");
  EXPECT_EQ(segments->damaged().size(), 1u);
  EXPECT_EQ(segments->lost().size(), 1u);
  EXPECT_TRUE(host().disks().exists(second));
}

TEST_F(SegmentsTest, a_lost_file_goes_when_the_log_is_trimmed_behind_it) {
  begin(1, 0);
  begin(1, 61440);
  begin(1, 122880);
  const std::string middle = segments->all()[1]->path;
  segments.reset();
  host().disks().flip(middle, 50);
  ASSERT_TRUE(open().has_value());
  EXPECT_EQ(segments->lost().size(), 1u);
  ASSERT_EQ(trim({61440}), Status::ok);
  EXPECT_TRUE(host().disks().exists(middle));
  ASSERT_EQ(trim({122880}), Status::ok);
  EXPECT_FALSE(host().disks().exists(middle));
  EXPECT_TRUE(segments->lost().empty());
}

TEST_F(SegmentsTest, a_lost_file_is_replaced_when_it_is_begun_again) {
  begin(1, 0);
  const std::string path = segments->all()[0]->path;
  segments.reset();
  host().disks().flip(path, 50);
  ASSERT_TRUE(open().has_value());
  ASSERT_NE(begin(1, 0), nullptr);
  EXPECT_TRUE(segments->lost().empty());
  ASSERT_TRUE(power_loss().has_value());
  EXPECT_EQ(firsts(), "1-0 ");
}

TEST_F(SegmentsTest, a_file_that_was_cut_is_replaced_when_it_is_begun_again) {
  begin(1, 0);
  const std::string path = begin(1, 61440)->path;
  segments.reset();
  sim::FileSystem& files = host().disks().file_system("/");
  files.resize(*files.file(path.substr(1)), 8192, true);
  ASSERT_TRUE(open().has_value());
  ASSERT_EQ(segments->all().back()->missing_bytes, 65536u - 8192);
  Segment* const again = begin(1, 61440);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->header.capacity, 65536u);
  EXPECT_EQ(firsts(), "1-0 1-61440 ");
  EXPECT_NE(names("branch"), "");
}

TEST_F(SegmentsTest, what_leaves_the_branch_is_kept_under_its_own_name) {
  begin(1, 0);
  begin(2, 61440);
  begin(2, 122880);
  ASSERT_EQ(run(segments->set_aside({61440})), Status::ok);
  EXPECT_EQ(firsts(), "1-0 ");
  ASSERT_EQ(run(segments->begin(test_uuid(40), 2, {61440})).has_value(), true);
  ASSERT_EQ(run(segments->set_aside({61440})), Status::ok);
  begin(2, 61440);
  ASSERT_EQ(run(segments->set_aside({61440})), Status::ok);
  EXPECT_EQ(host().disks().list("/mars/r/branch").size(), 4u);
}

}  // namespace
}  // namespace mars::bricks
