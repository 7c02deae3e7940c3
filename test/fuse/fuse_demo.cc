// fuse_demo ROOT KEEPER [options]: serves one memory brick as a FUSE + loop device, by hand or for a test. Its run
// directory is ROOT/run, the link ROOT/dev/disk0. Reads commands line by line: open, open-and-hide, close, abort,
// users, grow, fail, read PATH, hold, depth, swept, ready; answers each with one line; says GONE when the device went
// away by itself. Ends at end of file.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "bricks/delay.h"
#include "bricks/memory.h"
#include "front/fuse/device.h"
#include "front/fuse/users.h"
#include "io/linux/linux_machine.h"
#include "io/linux/watch.h"
#include "test/fuse/valve.h"

namespace mars::test {
namespace {

struct DemoOptions {
  std::string root;
  std::string keeper;
  uint64_t bytes = uint64_t{48} << 20;
  bricks::MemoryOptions memory{uint64_t{64} << 20, 512, 1 << 20, 0};
  long delay_us = 0;
  bool discards = true;
  bool is_contained = false;  // its own run directory at the path of others
};

bool parse(int argc, char** argv, DemoOptions& options) {
  if (argc < 3) return false;
  options.root = argv[1];
  options.keeper = argv[2];
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--no-discard") {
      options.discards = false;
      continue;
    }
    if (word == "--contained") {
      options.is_contained = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const long number = std::atol(argv[++i]);
    if (word == "--block")
      options.memory.block_bytes = static_cast<uint32_t>(number);
    else if (word == "--bytes-max")
      options.memory.bytes_max = static_cast<uint32_t>(number);
    else if (word == "--supply")
      options.memory.buffers = static_cast<size_t>(number);
    else if (word == "--delay-us")
      options.delay_us = number;
    else
      return false;
  }
  return true;
}

// As a container does it that shares /dev with others.
bool contain(const std::string& run_directory) {
  return unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", run_directory.c_str(), "tmpfs", 0, nullptr) == 0;
}

class Demo {
 public:
  Demo(io::Machine& machine, const DemoOptions& options, fuse::Places places)
      : machine_(machine),
        places_(places),
        memory_(machine.ready(), options.memory),
        delay_(machine, memory_,
               {std::chrono::microseconds(options.delay_us), std::chrono::microseconds(options.delay_us), 1}),
        valve_(machine.ready(), delay_, options.bytes, options.discards),
        device_(machine, valve_, {"disk0", std::move(places), options.keeper, 128, 12}),
        lines_(machine.ready()),
        input_(machine, 0, [](void* self) { static_cast<Demo*>(self)->on_input(); }, this) {
    if (options.delay_us > 0) delay_.press(true);
  }

  Task<void> run() {
    fuse::Swept swept;
    auto work = [this, &swept] { swept = fuse::sweep(places_); };
    co_await machine_.off_load(std::move(work));
    swept_ = "SWEPT " + std::to_string(swept.done.size()) + " " + std::to_string(swept.left.size());
    for (const std::string& sentence : swept.left) fprintf(stderr, "%s\n", sentence.c_str());
    input_.arm();
    Scope scope(machine_.ready());
    scope.spawn(watch_device());
    while (std::optional<std::string> line = co_await lines_.pop()) {
      std::string answer = co_await obey(std::move(*line));
      say(answer);
    }
    valve_.let_go();
    Result<void> closed = co_await device_.close();
    is_ending_ = true;
    co_await device_.stop();
    device_.changed().notify();
    co_await scope.join();
    delay_.press(false);
  }

 private:
  static void say(const std::string& line) {
    std::string text = line + "\n";
    [[maybe_unused]] ssize_t written = write(1, text.data(), text.size());
  }

  void on_input() {
    char piece[256];
    ssize_t got = read(0, piece, sizeof piece);
    if (got <= 0) return lines_.close();
    typed_.append(piece, static_cast<size_t>(got));
    for (size_t end; (end = typed_.find('\n')) != std::string::npos; typed_.erase(0, end + 1)) {
      lines_.push(typed_.substr(0, end));
    }
    input_.arm();
  }

  Task<void> watch_device() {
    while (!is_ending_) {
      if (expects_open_ && !is_busy_ && device_.is_closed()) {
        expects_open_ = false;
        say("GONE");
      }
      co_await device_.changed().wait();
    }
  }

  Task<std::string> obey(std::string line) {
    is_busy_ = true;
    std::string answer = "UNKNOWN";
    if (line == "open") answer = co_await open();
    if (line == "open-and-hide") answer = co_await open_and_hide();
    if (line == "close") answer = co_await close();
    if (line == "abort") answer = co_await abort();
    if (line == "grow") answer = co_await grow();
    if (line == "users") {
      std::vector<std::string> users = co_await device_.users();
      answer = "USERS " + fuse::sentence(users);
    }
    if (line == "depth") answer = "DEPTH " + std::to_string(valve_.deepest());
    if (line == "held") answer = "HELD " + std::to_string(valve_.held());
    if (line == "swept") answer = swept_;
    if (line == "ready") answer = "READY";
    if (line == "fail") valve_.fail(), answer = "FAILING";
    if (line == "release") valve_.let_go(), answer = "RELEASED";
    if (line.starts_with("read ")) read_beside(line.substr(5)), answer = "READING";
    if (line == "hold") valve_.hold(), answer = "HOLDING";
    is_busy_ = false;
    device_.changed().notify();
    co_return answer;
  }

  // On a thread that may hang for ever, as one of marsd's may on its disk.
  static void read_beside(std::string path) {
    std::thread([path = std::move(path)] {
      alignas(4096) static char block[4096];
      const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
      [[maybe_unused]] ssize_t got = read(fd, block, sizeof block);
      ::close(fd);
    }).detach();
  }

  Task<std::string> open() {
    Result<void> opened = co_await device_.open();
    if (!opened) co_return "FAILED " + std::string(name(opened.error().status)) + " " + opened.error().text;
    expects_open_ = true;
    co_return "OPEN " + device_.loop_path();
  }

  Task<std::string> open_and_hide() {
    std::string answer;
    Scope scope(machine_.ready());
    auto opening = [](Demo& self, std::string& said) -> Task<void> { said = co_await self.open(); };
    scope.spawn(opening(*this, answer));
    while (device_.is_closed()) co_await device_.changed().wait();
    co_await device_.hide();
    co_await scope.join();
    co_return answer;
  }

  Task<std::string> close() {
    Result<void> closed = co_await device_.close();
    if (!closed) co_return "REFUSED " + std::string(name(closed.error().status)) + " " + closed.error().text;
    expects_open_ = false;
    co_return device_.has_lost_pages() ? "CLOSED LOSSY" : "CLOSED";
  }

  Task<std::string> abort() {
    Scope scope(machine_.ready());
    scope.spawn(device_.abort());
    while (device_.is_open()) co_await device_.changed().wait();
    valve_.let_go();
    co_await scope.join();
    expects_open_ = false;
    co_return "ABORTED";
  }

  Task<std::string> grow() {
    valve_.grow(memory_.info().bytes);
    Result<void> grown = co_await device_.resize();
    co_return grown ? "GROWN" : "FAILED " + grown.error().text;
  }

  io::Machine& machine_;
  fuse::Places places_;
  bricks::Memory memory_;
  bricks::Delay delay_;
  Valve valve_;
  fuse::FuseDevice device_;
  Queue<std::string> lines_;
  io::Watch input_;
  std::string typed_;
  std::string swept_;
  bool is_busy_ = false;
  bool is_ending_ = false;
  bool expects_open_ = false;
};

}  // namespace
}  // namespace mars::test

int main(int argc, char** argv) {
  using namespace mars;  // NOLINT
  test::DemoOptions options;
  if (!test::parse(argc, argv, options)) {
    fprintf(stderr,
            "usage: fuse_demo ROOT KEEPER [--block N] [--bytes-max N] [--supply N] [--delay-us N] [--no-discard]\n"
            "       [--contained]\n");
    return 2;
  }
  signal(SIGINT, SIG_IGN);  // the tests kill, they do not interrupt
  for (const std::string& directory : {options.root, options.root + "/run", options.root + "/dev"}) {
    mkdir(directory.c_str(), 0700);
  }
  if (options.is_contained && !test::contain(options.root + "/run")) return 1;
  fuse::Places places = fuse::resolved({options.root + "/run", options.root + "/dev"});
  io::LinuxOptions linux_options;
  linux_options.run_dir = places.run_directory;
  io::LinuxMachine machine(linux_options);
  {
    test::Demo demo(machine, options, places);
    Scope scope(machine.ready());
    auto whole = [](test::Demo& shown, io::LinuxMachine& on) -> Task<void> {
      co_await shown.run();
      on.stop();
    };
    scope.spawn(whole(demo, machine));
    machine.run();
  }
  return 0;
}
