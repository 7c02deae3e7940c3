// mars-keeper: holds one loop device for marsd. Started by marsd only; see keeper.h for what it says and hears.
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "front/fuse/keeper/keeper.h"

namespace {

using mars::fuse::KeeperOptions;

const char usage[] =
    "usage: mars-keeper --mount DIR [--file NAME] [--block-size N] [--label TEXT] [--link PATH]\n"
    "                   [--no-discard] [--adopt N] [--parent PID]\n"
    "Holds a loop device over DIR/NAME. marsd starts it and speaks to it on standard input and output.\n";

bool parse_number(const char* text, long limit, long& value) {
  char* end = nullptr;
  value = strtol(text, &end, 10);
  return end != text && *end == 0 && value >= 0 && value <= limit;
}

bool take_option(int option, const char* value, KeeperOptions& options) {
  long number = 0;
  switch (option) {
    case 'm':
      options.mount_directory = value;
      return true;
    case 'f':
      options.file_name = value;
      return true;
    case 'k':
      options.link = value;
      return true;
    case 'l':
      options.loop.label = value;
      return true;
    case 'n':
      options.loop.can_discard = false;
      return true;
    case 'b':
      if (!parse_number(value, 4096, number)) return false;
      options.loop.block_bytes = static_cast<uint32_t>(number);
      return true;
    case 'a':
      if (!parse_number(value, 1 << 20, number)) return false;
      options.adopt_number = static_cast<int>(number);
      return true;
    case 'p':
      if (!parse_number(value, INT_MAX, number)) return false;
      options.parent = static_cast<int>(number);
      return true;
    default:
      return false;
  }
}

bool parse(int argc, char** argv, KeeperOptions& options) {
  static const option names[] = {
      {"mount", required_argument, nullptr, 'm'},
      {"file", required_argument, nullptr, 'f'},
      {"block-size", required_argument, nullptr, 'b'},
      {"label", required_argument, nullptr, 'l'},
      {"link", required_argument, nullptr, 'k'},
      {"no-discard", no_argument, nullptr, 'n'},
      {"adopt", required_argument, nullptr, 'a'},
      {"parent", required_argument, nullptr, 'p'},
      {nullptr, 0, nullptr, 0},
  };
  for (int found; (found = getopt_long(argc, argv, "", names, nullptr)) != -1;) {
    if (!take_option(found, optarg, options)) return false;
  }
  return optind == argc && options.mount_directory != nullptr;
}

// Nothing of marsd's may live on in here: a copy of /dev/fuse would keep a dead connection open. Ctrl-C and the
// stop of a service reach the whole group; the keeper ends when marsd does, not before. Memory: write-back of the
// very device that is kept may need the memory that this process would wait for.
void settle_in() {
  close_range(3, ~0U, 0);
  setsid();
  const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT};
  for (int number : ignored) signal(number, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
  [[maybe_unused]] int moved = chdir("/");
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score < 0) return;
  [[maybe_unused]] ssize_t written = write(score, "-1000", 5);
  close(score);
}

}  // namespace

int main(int argc, char** argv) {
  KeeperOptions options;
  if (!parse(argc, argv, options)) {
    fputs(usage, stderr);
    return 2;
  }
  settle_in();
  mars::fuse::Keeper keeper(options, stdin, stdout);
  return keeper.run();
}
