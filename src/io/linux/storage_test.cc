#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

#include "io/linux/test_host.h"

namespace mars::io {
namespace {

class StorageTest : public testing::Test {
 protected:
  Storage& storage() { return host_.storage(); }
  std::string path(const std::string& name) const { return host_.path(name); }
  static Bytes bytes(std::string_view text) {
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    return Bytes(data, data + text.size());
  }
  static std::string text(const Bytes& content) {
    return std::string(reinterpret_cast<const char*>(content.data()), content.size());
  }
  mode_t mode(const std::string& name) const {
    struct stat info = {};
    return ::stat(path(name).c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }

  TestHost host_;
};

TEST_F(StorageTest, directories_are_made_with_parents_and_listed_sorted) {
  host_.run([&]() -> Task<void> {
    EXPECT_EQ(co_await storage().make_directory(path("a/b/c")), Status::ok);
    EXPECT_EQ(co_await storage().make_directory(path("a/b/c")), Status::ok);
    EXPECT_EQ(mode("a/b"), 0700u);
    std::ofstream(path("a/z")) << "12345";
    std::ofstream(path("a/Q")) << "";
    const auto entries = must(co_await storage().list(path("a")));
    EXPECT_EQ(entries.size(), 3u);
    EXPECT_EQ(entries[0].name, "Q");
    EXPECT_EQ(entries[1].name, "b");
    EXPECT_TRUE(entries[1].is_directory);
    EXPECT_EQ(entries[2].name, "z");
    EXPECT_EQ(entries[2].bytes, 5u);
  });
}

TEST_F(StorageTest, file_where_a_directory_should_be_is_an_error) {
  host_.run([&]() -> Task<void> {
    std::ofstream(path("a")) << "x";
    EXPECT_EQ(co_await storage().make_directory(path("a")), Status::exists);
    EXPECT_EQ(co_await storage().make_directory(path("a/b")), Status::not_found);
    EXPECT_EQ(status_of(co_await storage().list(path("a"))), Status::not_found);
  });
}

TEST_F(StorageTest, missing_directory_cannot_be_listed) {
  host_.run([&]() -> Task<void> {
    const auto entries = co_await storage().list(path("none"));
    EXPECT_EQ(status_of(entries), Status::not_found);
    EXPECT_NE(entries.error().text.find("none"), std::string::npos);
  });
}

TEST_F(StorageTest, exists_tells_files_directories_and_nothing_apart) {
  host_.run([&]() -> Task<void> {
    EXPECT_FALSE(must(co_await storage().exists(path("a"))));
    std::ofstream(path("a")) << "x";
    EXPECT_TRUE(must(co_await storage().exists(path("a"))));
    EXPECT_TRUE(must(co_await storage().exists(path("."))));
    EXPECT_FALSE(must(co_await storage().exists(path("a/b"))));
  });
}

TEST_F(StorageTest, rename_replaces_across_directories) {
  host_.run([&]() -> Task<void> {
    EXPECT_EQ(co_await storage().make_directory(path("x")), Status::ok);
    EXPECT_EQ(co_await storage().write_file(path("a"), bytes("new"), false), Status::ok);
    EXPECT_EQ(co_await storage().write_file(path("x/b"), bytes("old"), false), Status::ok);
    EXPECT_EQ(co_await storage().rename(path("a"), path("x/b")), Status::ok);
    EXPECT_FALSE(must(co_await storage().exists(path("a"))));
    EXPECT_EQ(text(must(co_await storage().read_file(path("x/b"), 100))), "new");
    EXPECT_EQ(co_await storage().rename(path("a"), path("c")), Status::not_found);
  });
}

TEST_F(StorageTest, removed_files_and_trees_are_gone) {
  host_.run([&]() -> Task<void> {
    EXPECT_EQ(co_await storage().make_directory(path("t/u")), Status::ok);
    std::ofstream(path("t/u/f")) << "x";
    EXPECT_EQ(co_await storage().remove(path("t/u/f")), Status::ok);
    EXPECT_EQ(co_await storage().remove(path("t/u/f")), Status::not_found);
    std::ofstream(path("outside")) << "x";
    EXPECT_EQ(::symlink(path("outside").c_str(), path("t/link").c_str()), 0);
    EXPECT_EQ(co_await storage().remove_tree(path("t")), Status::ok);
    EXPECT_FALSE(must(co_await storage().exists(path("t"))));
    EXPECT_TRUE(must(co_await storage().exists(path("outside"))));
    EXPECT_EQ(co_await storage().remove_tree(path("t")), Status::not_found);
  });
}

TEST_F(StorageTest, written_file_is_whole_and_has_its_mode) {
  host_.run([&]() -> Task<void> {
    EXPECT_EQ(co_await storage().write_file(path("key"), bytes("secret"), true), Status::ok);
    EXPECT_EQ(mode("key"), 0600u);
    EXPECT_EQ(co_await storage().write_file(path("key"), bytes("public"), false), Status::ok);
    EXPECT_EQ(mode("key"), 0644u);
    EXPECT_EQ(text(must(co_await storage().read_file(path("key"), 6))), "public");
    EXPECT_EQ(must(co_await storage().list(path("."))).size(), 1u);  // no temporary file is left
  });
}

TEST_F(StorageTest, failed_write_leaves_the_old_file) {
  host_.run([&]() -> Task<void> {
    EXPECT_EQ(co_await storage().write_file(path("none/a"), bytes("x"), false), Status::not_found);
    EXPECT_EQ(co_await storage().make_directory(path("d/inside")), Status::ok);
    EXPECT_NE(co_await storage().write_file(path("d"), bytes("x"), false), Status::ok);
    EXPECT_TRUE(must(co_await storage().exists(path("d/inside"))));
  });
}

TEST_F(StorageTest, too_large_file_is_not_read) {
  host_.run([&]() -> Task<void> {
    EXPECT_EQ(co_await storage().write_file(path("a"), Bytes(200'000), false), Status::ok);
    EXPECT_EQ(must(co_await storage().read_file(path("a"), 200'000)).size(), 200'000u);
    EXPECT_EQ(status_of(co_await storage().read_file(path("a"), 199'999)), Status::invalid);
    EXPECT_EQ(status_of(co_await storage().read_file(path("none"), 1)), Status::not_found);
  });
}

TEST_F(StorageTest, resize_grows_sparsely_and_cuts) {
  host_.run([&]() -> Task<void> {
    std::ofstream(path("a")) << "x";
    EXPECT_EQ(co_await storage().resize(path("a"), 1 << 30), Status::ok);
    struct stat info = {};
    EXPECT_EQ(::stat(path("a").c_str(), &info), 0);
    EXPECT_EQ(info.st_size, 1 << 30);
    EXPECT_LT(info.st_blocks, 64);
    EXPECT_EQ(co_await storage().resize(path("a"), 0), Status::ok);
    EXPECT_EQ(co_await storage().resize(path("none"), 0), Status::not_found);
    EXPECT_EQ(co_await storage().resize("/dev/null", 0), Status::invalid);
  });
}

TEST_F(StorageTest, free_space_is_part_of_the_total) {
  host_.run([&]() -> Task<void> {
    const Space space = must(co_await storage().free_space(path(".")));
    EXPECT_GT(space.free_bytes, 0u);
    EXPECT_LE(space.free_bytes, space.total_bytes);
    EXPECT_EQ(status_of(co_await storage().free_space(path("none"))), Status::not_found);
  });
}

TEST_F(StorageTest, locked_directory_is_busy_until_the_lock_dies) {
  host_.run([&]() -> Task<void> {
    auto lock = must(co_await storage().lock_directory(path(".")));
    const auto second = co_await storage().lock_directory(path("."));
    EXPECT_EQ(status_of(second), Status::busy);
    EXPECT_NE(second.error().text.find(std::to_string(::getpid())), std::string::npos) << second.error().text;
    lock.reset();
    EXPECT_EQ(status_of(co_await storage().lock_directory(path("."))), Status::ok);
    EXPECT_EQ(status_of(co_await storage().lock_directory(path("none"))), Status::not_found);
  });
}

TEST_F(StorageTest, link_is_replaced_but_never_a_file) {
  host_.run([&]() -> Task<void> {
    EXPECT_EQ(co_await storage().replace_link(path("link"), "/dev/one"), Status::ok);
    EXPECT_EQ(co_await storage().replace_link(path("link"), "/dev/two"), Status::ok);
    EXPECT_EQ(std::filesystem::read_symlink(path("link")), "/dev/two");
    std::ofstream(path("file")) << "x";
    EXPECT_EQ(co_await storage().replace_link(path("file"), "/dev/two"), Status::exists);
  });
}

}  // namespace
}  // namespace mars::io
