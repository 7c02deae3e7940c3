// The vocabulary of the FUSE tests: a served device (fuse_demo over a memory brick, in a process of its own, so
// that it can be killed), shell commands, and what is left on the machine afterwards.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mars::test {

// Empty when FUSE and loop devices can be had here; else why not. Found by trying, once.
const std::string& why_no_fuse();

// Runs a shell command; its exit code, and what it printed in `output`.
int shell(const std::string& command, std::string* output = nullptr);

// Polls until it is true; false after ten seconds.
bool eventually(const std::function<bool()>& condition);

// One fuse_demo process. It has its own state in `root`, as a marsd has its own directories.
class Served {
 public:
  // `options` go to fuse_demo as they are.
  explicit Served(std::string root, std::vector<std::string> options = {});
  ~Served();
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  // Says a line and returns the answer; empty when the process ended or said nothing for a minute.
  std::string ask(const std::string& line);
  void post(const std::string& line);  // without waiting for the answer
  std::string next_line(int limit_ms = 60'000);
  // "open", with the answer taken apart; fails the test when it does not open.
  void open();
  void kill();  // SIGKILL, and waits until the process is gone
  void interrupt_after(int milliseconds);

  std::string loop() const { return loop_; }
  std::string link() const { return root_ + "/dev/disk0"; }
  std::string mount() const { return root_ + "/run/fuse/disk0"; }
  pid_t pid() const { return pid_; }

 private:
  std::string root_;
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  std::string received_;
  std::string loop_;
};

class FuseTest : public testing::Test {
 protected:
  void SetUp() override;
  // Nothing of this test may be left: no mount, loop device, keeper or link.
  void TearDown() override;

  // What still lies below root_: mounts, loop devices, keepers; one line each.
  std::string leftovers() const;
  // Starts a demo only to let it sweep; what it said.
  std::string sweep();
  std::vector<pid_t> keepers() const;
  void make_filesystem(const std::string& loop);
  bool mount(const std::string& loop);
  bool unmount();

  std::string root_;
  std::string mounted_;
};

}  // namespace mars::test
