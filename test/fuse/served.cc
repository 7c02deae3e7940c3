#include "test/fuse/served.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

extern char** environ;  // NOLINT: POSIX's name

namespace mars::test {

namespace {

std::string try_fuse() {
  if (geteuid() != 0) return "not root";
  if (access("/dev/fuse", R_OK | W_OK) != 0) return "no /dev/fuse";
  if (access("/dev/loop-control", R_OK | W_OK) != 0) return "no /dev/loop-control";
  char root[] = "/tmp/mars-fuse-probe-XXXXXX";
  if (mkdtemp(root) == nullptr) return "no directory for tests";
  std::string why;
  {
    Served served(root);
    std::string answer = served.ask("open");
    if (!answer.starts_with("OPEN")) why = answer.empty() ? "the server does not start" : answer;
    if (why.empty() && served.ask("close") != "CLOSED") why = "a device does not close";
  }
  shell("rm -rf " + std::string(root));
  return why;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t from = 0, end; (end = text.find('\n', from)) != std::string::npos; from = end + 1) {
    lines.push_back(text.substr(from, end - from));
  }
  return lines;
}

}  // namespace

const std::string& why_no_fuse() {
  static const std::string why = try_fuse();
  return why;
}

int shell(const std::string& command, std::string* output) {
  FILE* pipe = popen(("exec 2>&1; " + command).c_str(), "re");
  std::string text;
  char piece[4096];
  for (size_t got; (got = fread(piece, 1, sizeof piece, pipe)) > 0;) text.append(piece, got);
  int result = pclose(pipe);
  if (output != nullptr) *output = text;
  return WIFEXITED(result) ? WEXITSTATUS(result) : 128 + WTERMSIG(result);
}

bool eventually(const std::function<bool()>& condition) {
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

Served::Served(std::string root, std::vector<std::string> options) : root_(std::move(root)) {
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) std::abort();
  std::vector<std::string> words = {MARS_FUSE_DEMO, root_, MARS_KEEPER};
  words.insert(words.end(), options.begin(), options.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  if (posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) != 0) pid_ = -1;
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  to_ = in[1];
  from_ = out[0];
}

Served::~Served() {
  if (pid_ > 0) {
    ::close(std::exchange(to_, -1));  // it closes, or aborts, and ends
    if (!eventually([this] { return waitpid(pid_, nullptr, WNOHANG) != 0; })) kill();
  }
  if (to_ >= 0) ::close(to_);
  ::close(from_);
}

std::string Served::next_line(int limit_ms) {
  for (;;) {
    if (size_t end = received_.find('\n'); end != std::string::npos) {
      std::string line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return line;
    }
    pollfd ready{from_, POLLIN, 0};
    char piece[1024];
    if (poll(&ready, 1, limit_ms) <= 0) return {};
    ssize_t got = read(from_, piece, sizeof piece);
    if (got <= 0) return {};
    received_.append(piece, static_cast<size_t>(got));
  }
}

void Served::post(const std::string& line) {
  std::string text = line + "\n";
  [[maybe_unused]] ssize_t written = write(to_, text.data(), text.size());
}

std::string Served::ask(const std::string& line) {
  post(line);
  return next_line();
}

void Served::open() {
  std::string answer = ask("open");
  ASSERT_TRUE(answer.starts_with("OPEN /dev/loop")) << answer;
  loop_ = answer.substr(5);
}

void Served::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(std::exchange(pid_, -1), nullptr, 0);
}

void Served::interrupt_after(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));  // the moment of the kill is the test
  kill();
}

void FuseTest::SetUp() {
  signal(SIGPIPE, SIG_IGN);
  if (const std::string& why = why_no_fuse(); !why.empty()) {
    const char* required = getenv("MARS_REQUIRE");
    if (required != nullptr && std::strstr(required, "fuse") != nullptr)
      FAIL() << "MARS_REQUIRE has fuse, but: " << why;
    GTEST_SKIP() << "no FUSE or loop device here: " << why;
  }
  char root[] = "/tmp/mars-fuse-XXXXXX";
  ASSERT_NE(mkdtemp(root), nullptr);
  root_ = root;
  mounted_ = root_ + "/mnt";
  shell("mkdir " + mounted_);
}

void FuseTest::TearDown() {
  if (root_.empty()) return;
  shell("umount " + mounted_);
  if (!leftovers().empty()) sweep();
  EXPECT_TRUE(eventually([this] { return leftovers().empty(); })) << leftovers();
  shell("rm -rf " + root_);
}

std::string FuseTest::leftovers() const {
  std::string found;
  std::string output;
  shell("grep -F ' " + root_ + "/' /proc/self/mountinfo; grep -slF " + root_ + "/ /sys/block/loop*/loop/backing_file",
        &output);
  found += output;
  shell("ls " + root_ + "/dev", &output);
  if (output.find("No such") == std::string::npos) found += output;
  for (pid_t pid : keepers()) found += "keeper " + std::to_string(pid) + "\n";
  return found;
}

std::vector<pid_t> FuseTest::keepers() const {
  std::string output;
  shell("pgrep -f -- '^" + std::string(MARS_KEEPER) + " --mount " + root_ + "/'", &output);
  std::vector<pid_t> pids;
  for (const std::string& line : lines_of(output)) pids.push_back(static_cast<pid_t>(std::atoi(line.c_str())));
  return pids;
}

std::string FuseTest::sweep() {
  Served served(root_);
  return served.ask("swept");
}

void FuseTest::make_filesystem(const std::string& loop) {
  std::string output;
  ASSERT_EQ(shell("mkfs.ext4 -q -F " + loop, &output), 0) << output;
}

bool FuseTest::mount(const std::string& loop) { return shell("mount " + loop + " " + mounted_) == 0; }
bool FuseTest::unmount() { return shell("umount " + mounted_) == 0; }

}  // namespace mars::test
