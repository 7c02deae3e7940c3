#include "front/fuse/keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mars::fuse {

namespace {

constexpr int look_ms = 1000;

}  // namespace

Keeper::~Keeper() {
  if (file_ >= 0) ::close(file_);
  if (mount_ >= 0) ::close(mount_);
}

void Keeper::answer(const char* line) {
  fprintf(answers_, "%s\n", line);
  fflush(answers_);
}

void Keeper::answer(const Outcome& outcome) {
  fprintf(answers_, "FAILED %d %s: %s\n", outcome.error, outcome.failed, strerror(outcome.error));
  fflush(answers_);
}

Outcome Keeper::take() {
  mount_ = open(options_.mount_directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (mount_ < 0) return {"open of the mount directory", errno};
  if (options_.adopt_number >= 0) {
    struct stat file;
    if (fstatat(mount_, options_.file_name, &file, AT_SYMLINK_NOFOLLOW) != 0) return {"stat of the FUSE file", errno};
    return loop_.adopt(options_.adopt_number, file.st_dev, file.st_ino);
  }
  file_ = openat(mount_, options_.file_name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (file_ < 0) return {"open of the FUSE file", errno};
  return loop_.configure(file_, options_.loop);
}

int Keeper::run() {
  if (Outcome taken = take(); !taken) {
    answer(taken);
    return 1;
  }
  fprintf(answers_, "READY %s\n", loop_.path());
  fflush(answers_);
  setvbuf(commands_, nullptr, _IONBF, 0);  // what is not read yet shall be seen by poll
  char line[64];
  while (listen(line, sizeof line)) {
    line[strcspn(line, "\n")] = 0;
    if (obey(line)) return 0;
  }
  give_up();
  return 1;
}

// False when marsd is gone.
bool Keeper::listen(char* line, int bytes) {
  for (;;) {
    pollfd ready = {fileno(commands_), POLLIN, 0};
    const int found = poll(&ready, 1, look_ms);
    if (found > 0) return fgets(line, bytes, commands_) != nullptr;
    if (found == 0 && is_parent_gone()) return false;
  }
}

// A process whose first thread is dead is being taken down, whatever its other threads still wait for: their parent is
// not changed before the last of them has gone. "pid (name) Z ..."; the name may have blanks and brackets.
bool Keeper::is_parent_gone() const {
  if (options_.parent == 0) return false;
  if (getppid() != options_.parent) return true;
  char path[32];
  char text[512] = {};
  snprintf(path, sizeof path, "/proc/%d/stat", options_.parent);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t got = read(fd, text, sizeof text - 1);
  ::close(fd);
  const char* name_end = got > 0 ? strrchr(text, ')') : nullptr;
  return name_end != nullptr && (strncmp(name_end, ") Z", 3) == 0 || strncmp(name_end, ") X", 3) == 0);
}

// True when the device is closed and the work done.
bool Keeper::obey(const char* command) {
  if (strcmp(command, "close") == 0) return close();
  if (strcmp(command, "resize") == 0) {
    resize();
  } else {
    answer(Outcome{"unknown command", EINVAL});
  }
  return false;
}

// The descriptor on the file goes before the answer, so that marsd hears "closed" when only the kernel's RELEASE is
// still on its way.
bool Keeper::close() {
  CloseAnswer result = loop_.close();
  if (result == CloseAnswer::busy) {
    answer("BUSY");
    return false;
  }
  if (result == CloseAnswer::failed) {
    answer(Outcome{"LOOP_CLR_FD", errno});
    return false;
  }
  if (file_ >= 0) ::close(file_);
  file_ = -1;
  remove_link();
  answer(result == CloseAnswer::closed ? "CLOSED" : "CLOSED LOSSY");
  return true;
}

// The kernel takes the size from its own copy of the attributes: refresh it first.
void Keeper::resize() {
  struct stat file;
  if (fstatat(mount_, options_.file_name, &file, AT_SYMLINK_NOFOLLOW) != 0) {
    answer(Outcome{"stat of the FUSE file", errno});
    return;
  }
  Outcome resized = loop_.resize();
  if (resized) {
    answer("RESIZED");
  } else {
    answer(resized);
  }
}

void Keeper::remove_link() {
  if (options_.link == nullptr) return;
  char target[64] = {};
  ssize_t bytes = readlink(options_.link, target, sizeof target - 1);
  if (bytes > 0 && strcmp(target, loop_.path()) == 0) unlink(options_.link);
}

// By descriptor, not by path: a new marsd may have mounted another file system at the same place by now. MNT_FORCE
// aborts the connection, so the closes below cannot wait for a server.
void Keeper::give_up() {
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", mount_);
  umount2(path, MNT_FORCE | MNT_DETACH);
  remove_link();
  loop_.let_go();
}

}  // namespace mars::fuse
