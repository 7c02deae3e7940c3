#include "sim/storage.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/aligned.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

using namespace std::chrono_literals;

class StorageTest : public testing::Test {
 protected:
  Host& host() { return world_.host("a"); }
  SimMachine& machine() { return host().machine(); }
  io::Storage& storage() { return machine().storage(); }
  template <class T>
  T run(Task<T> task) {
    return world_.run(machine(), std::move(task));
  }
  Status put(const std::string& path, size_t bytes, int value = 1) {
    return run(storage().write_file(path, io::Bytes(bytes, static_cast<std::byte>(value)), false));
  }
  std::unique_ptr<io::File> open(const std::string& path) {
    io::OpenOptions options{.create = true};
    return run(storage().open(path, options)).value();
  }
  World world_{21};
};

TEST_F(StorageTest, directories_are_made_with_parents_listed_and_removed) {
  EXPECT_EQ(run(storage().make_directory("/mars/log/x")), Status::ok);
  EXPECT_EQ(run(storage().make_directory("/mars/log")), Status::ok);
  EXPECT_EQ(put("/mars/log/b", 5), Status::ok);
  EXPECT_EQ(put("/mars/log/a", 7), Status::ok);
  const auto entries = run(storage().list("/mars/log")).value();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[0].bytes, 7u);
  EXPECT_TRUE(entries[2].is_directory);
  EXPECT_EQ(run(storage().remove_tree("/mars")), Status::ok);
  EXPECT_FALSE(run(storage().exists("/mars/log/a")).value());
  EXPECT_EQ(host().disks().file_system("/").space().free_bytes, uint64_t{1} << 40);
  EXPECT_EQ(status_of(run(storage().list("/mars"))), Status::not_found);
}

TEST_F(StorageTest, rename_replaces_and_moves_directories) {
  ASSERT_EQ(run(storage().make_directory("/d")), Status::ok);
  ASSERT_EQ(put("/d/x", 1, 1), Status::ok);
  ASSERT_EQ(put("/y", 1, 2), Status::ok);
  EXPECT_EQ(run(storage().rename("/d/x", "/y")), Status::ok);
  EXPECT_EQ(run(storage().read_file("/y", 10)).value(), io::Bytes(1, std::byte{1}));
  EXPECT_EQ(run(storage().rename("/y", "/d/z")), Status::ok);
  EXPECT_EQ(run(storage().rename("/d", "/e")), Status::ok);
  EXPECT_TRUE(run(storage().exists("/e/z")).value());
  EXPECT_EQ(run(storage().rename("/nothing", "/e/q")), Status::not_found);
}

TEST_F(StorageTest, errors_say_what_is_wrong) {
  EXPECT_EQ(status_of(run(storage().open("/no", {}))), Status::not_found);
  EXPECT_EQ(status_of(run(storage().open("/no/file", {.create = true}))), Status::not_found);
  EXPECT_EQ(status_of(run(storage().read_file("/no", 1))), Status::not_found);
  ASSERT_EQ(put("/big", 100), Status::ok);
  EXPECT_EQ(status_of(run(storage().read_file("/big", 99))), Status::invalid);
  EXPECT_EQ(run(storage().remove("/run")), Status::invalid);
  EXPECT_NE(run(storage().open("/no", {})).error().text.find("/no"), std::string::npos);
}

TEST_F(StorageTest, what_returned_survives_power_loss) {
  ASSERT_EQ(run(storage().make_directory("/d")), Status::ok);
  ASSERT_EQ(put("/d/x", 10), Status::ok);
  ASSERT_EQ(put("/d/old", 10), Status::ok);
  ASSERT_EQ(run(storage().remove("/d/old")), Status::ok);
  host().power_loss();
  host().start();
  EXPECT_EQ(run(storage().read_file("/d/x", 10)).value(), io::Bytes(10, std::byte{1}));
  EXPECT_FALSE(run(storage().exists("/d/old")).value());
}

TEST_F(StorageTest, write_file_is_atomic_at_every_step) {
  for (uint64_t n = 1; n <= 4; ++n) {
    ASSERT_EQ(put("/state", 5000, 1), Status::ok);
    host().power_loss_at_disk_op(n);
    SimMachine& dying = machine();
    EXPECT_EQ(world_.run(dying, dying.storage().write_file("/state", io::Bytes(6000, std::byte{2}), false)),
              Status::gone);
    host().start();
    const io::Bytes found = run(storage().read_file("/state", 10'000)).value();
    EXPECT_TRUE(found == io::Bytes(5000, std::byte{1}) || found == io::Bytes(6000, std::byte{2}));
  }
}

TEST_F(StorageTest, volatile_memory_is_empty_after_power_loss_only) {
  ASSERT_EQ(put("/run/x", 10), Status::ok);
  host().kill();
  host().start();
  EXPECT_TRUE(run(storage().exists("/run/x")).value());
  host().power_loss();
  host().start();
  EXPECT_FALSE(run(storage().exists("/run/x")).value());
}

TEST_F(StorageTest, a_full_file_system_says_so_and_takes_what_was_allocated) {
  host().disks().mount("/small", {.capacity = 64 << 10});
  auto file = open("/small/f");
  EXPECT_EQ(run(io::allocate(*file, 0, 32 << 10)), Status::ok);
  EXPECT_EQ(file->size(), 32u << 10);
  AlignedBuffer buffer(40 << 10);
  auto other = open("/small/g");
  EXPECT_EQ(run(io::write(*other, 0, buffer.span())), Status::no_space);
  EXPECT_EQ(run(io::write(*file, 0, buffer.span().first(32 << 10))), Status::ok);
  EXPECT_EQ(run(storage().free_space("/small"))->free_bytes, 32u << 10);
  EXPECT_EQ(run(io::punch(*file, 0, 32 << 10)), Status::ok);
  EXPECT_EQ(run(io::write(*other, 0, buffer.span())), Status::ok);
}

TEST_F(StorageTest, an_unmounted_file_system_shows_an_empty_directory) {
  host().disks().mount("/log", FileSystemOptions{});
  ASSERT_EQ(put("/log/id", 3), Status::ok);
  FileSystem content = host().disks().unmount("/log");
  EXPECT_TRUE(run(storage().list("/log"))->empty());
  host().disks().mount("/log", std::move(content));
  EXPECT_TRUE(run(storage().exists("/log/id")).value());
}

TEST_F(StorageTest, a_snapshot_brings_back_an_earlier_moment) {
  ASSERT_EQ(put("/x", 1, 1), Status::ok);
  FileSystem earlier = host().disks().snapshot("/");
  ASSERT_EQ(put("/x", 1, 2), Status::ok);
  host().kill();
  static_cast<void>(host().disks().unmount("/"));
  host().disks().mount("/", std::move(earlier));
  host().start();
  EXPECT_EQ(run(storage().read_file("/x", 1)).value(), io::Bytes(1, std::byte{1}));
}

TEST_F(StorageTest, sizes_shrink_grow_and_read_as_zeroes) {
  auto file = open("/f");
  AlignedBuffer buffer(8192);
  std::memset(buffer.data(), 9, 8192);
  ASSERT_EQ(run(io::write(*file, 0, buffer.span())), Status::ok);
  ASSERT_EQ(run(storage().resize("/f", 4096)), Status::ok);
  ASSERT_EQ(run(storage().resize("/f", 8192)), Status::ok);
  ASSERT_EQ(run(io::read(*file, 4096, buffer.span().first(4096))), Status::ok);
  EXPECT_EQ(buffer.data()[0], std::byte{0});
  EXPECT_EQ(run(io::read(*file, 8192, buffer.span().first(4096))), Status::invalid);
}

TEST_F(StorageTest, locks_and_links) {
  ASSERT_EQ(run(storage().make_directory("/s")), Status::ok);
  auto lock = run(storage().lock_directory("/s")).value();
  EXPECT_EQ(status_of(run(storage().lock_directory("/s"))), Status::busy);
  lock.reset();
  EXPECT_TRUE(run(storage().lock_directory("/s")));
  ASSERT_EQ(put("/one", 1, 1), Status::ok);
  ASSERT_EQ(put("/two", 1, 2), Status::ok);
  EXPECT_EQ(run(storage().replace_link("/s/l", "/one")), Status::ok);
  EXPECT_EQ(run(storage().replace_link("/s/l", "/two")), Status::ok);
  EXPECT_EQ(run(storage().read_file("/s/l", 1)).value(), io::Bytes(1, std::byte{2}));
  EXPECT_EQ(run(storage().remove("/s/l")), Status::ok);
  EXPECT_TRUE(run(storage().exists("/two")).value());
}

}  // namespace
}  // namespace mars::sim
