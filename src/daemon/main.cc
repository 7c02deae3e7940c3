// marsd: the one process of MARS on a host. Everything that must happen before the first thread, then Daemon.
#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <csignal>

#include <cstdio>
#include <string>
#include <vector>

#include "base/out_of_memory.h"
#include "control/version.h"
#include "daemon/config.h"
#include "daemon/daemon.h"
#include "daemon/log.h"

namespace {

// A process that serves a block device must not wait for that device when it needs memory (doc/front/fuse.md).
std::vector<std::string> protect_memory() {
  std::vector<std::string> warnings;
#ifdef PR_SET_IO_FLUSHER
  if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) {
    warnings.emplace_back("no PR_SET_IO_FLUSHER: under memory pressure writes to our own devices may hang");
  }
#endif
  if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    warnings.emplace_back("memory cannot be locked (mlockall): under memory pressure marsd may be slow");
  }
  return warnings;
}

// Each file of a log stays open: a long log has many.
void raise_file_limit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
}

}  // namespace

int main(int argc, char** argv) {
  using namespace mars::daemon;
  mars::end_when_out_of_memory();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  auto invocation = read_config(arguments, surroundings());
  if (!invocation) {
    std::fprintf(stderr, "marsd: %s\n", invocation.error().text.c_str());
    return 2;
  }
  if (invocation->action == Invocation::Action::show_help) return std::fputs(help_text().c_str(), stdout) < 0;
  if (invocation->action == Invocation::Action::show_version)
    return std::puts(("marsd " + std::string(mars::control::version)).c_str()) < 0;
  // One reactor and some helper threads: an arena for each would only keep memory away from the others.
  mallopt(M_ARENA_MAX, 2);
  // Buffers of a batch or a sync come and go. Left to itself malloc keeps them in the heap after the first few, and
  // holes between them are never given back.
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  mallopt(M_TRIM_THRESHOLD, 256 << 10);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // ignored, as some parents leave it, nobody would hear of a keeper's end
  raise_file_limit();
  set_log_level(invocation->config.log_level);
  Daemon daemon(invocation->config, protect_memory());
  return daemon.run();
}
