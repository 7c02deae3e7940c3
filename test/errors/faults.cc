// A library for LD_PRELOAD that makes the n-th call of a class fail in marsd, once or from then on. It counts from the
// start of the process, and only in a program of the name given. The plan is a file that the test maps, too.
//
// Where the plan has a depth, it learns as well from which places calls come (a place is the stack of that many
// callers, whatever addresses the program got), and can fail the first call from one place alone.
//
//   MARS_FAULTS_PLAN     path of the plan
//   MARS_FAULTS_PROGRAM  name of the program
//   MARS_FAULTS_BELOW    folders, separated by colons: calls that concern other files are neither counted nor failed
#include <dirent.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
}

namespace {

enum Class : uint32_t { allocation = 0, io = 1, socket_io = 2 };

constexpr size_t places_max = 1 << 14;
constexpr size_t depth_max = 32;

// As test/real/faults.py reads and writes it.
struct Plan {
  std::atomic<uint64_t> counted;  // calls of the class so far
  std::atomic<uint64_t> failed;   // those of them that failed
  uint64_t fail_at;               // the first of them is 1; 0: none
  uint32_t what;                  // Class
  uint32_t is_for_ever;
  uint32_t error;  // errno; ENOSPC: only calls that may need space are counted; 0: what fits the class
  uint32_t depth;  // of a place; 0: places are not looked at
  char call[32];   // its name; empty: any
  char path[64];   // a part of it; empty: any
  uint64_t place;  // only calls from here are counted; those behind the first failure from anywhere; 0: any
  std::atomic<uint64_t> places[places_max];  // a hash table of those that were seen; 0: free
};

struct Module {
  uintptr_t begin;
  uintptr_t end;
};
Module modules[64];
size_t module_count = 0;

std::atomic<Plan*> plan = nullptr;
const char* below = "";
thread_local bool is_inside = false;  // what is called from here is not counted

// Async-signal-safe, and without memory: the heap may be in the middle of a call.
void tell(uint64_t number, const char* call, const char* path) {
  char line[512];
  const int bytes = std::snprintf(line, sizeof line, "faults: call %llu, %s%s%s, fails\n",
                                  static_cast<unsigned long long>(number), call, *path == 0 ? "" : " of ", path);
  if (bytes > 0) (void)::syscall(SYS_write, STDERR_FILENO, line, bytes);
  void* frames[24];
  const int depth = ::backtrace(frames, 24);
  ::backtrace_symbols_fd(frames + 2, depth > 2 ? depth - 2 : 0, STDERR_FILENO);
}

int add_module(dl_phdr_info* info, size_t, void*) {
  uintptr_t end = info->dlpi_addr;
  for (int at = 0; at < info->dlpi_phnum; ++at) {
    const auto& header = info->dlpi_phdr[at];
    if (header.p_type == PT_LOAD) end = std::max<uintptr_t>(end, info->dlpi_addr + header.p_vaddr + header.p_memsz);
  }
  if (module_count < std::size(modules)) modules[module_count++] = {info->dlpi_addr, end};
  return 0;
}

uint64_t mixed(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ (hash >> 29);
}

// Of the callers' stack; never 0.
uint64_t place_of_call(uint32_t depth) {
  void* frames[depth_max + 2];
  const int found = ::backtrace(frames, static_cast<int>(std::min<size_t>(depth, depth_max)) + 2);
  uint64_t hash = 1;
  for (int at = 2; at < found; ++at) {
    const auto address = reinterpret_cast<uintptr_t>(frames[at]);
    for (size_t its = 0; its < module_count; ++its) {
      if (address < modules[its].begin || address >= modules[its].end) continue;
      hash = mixed(mixed(hash, its), address - modules[its].begin);
    }
  }
  return hash | 1;
}

void remember(Plan& now, uint64_t place) {
  for (size_t at = 0; at < places_max; ++at) {
    std::atomic<uint64_t>& slot = now.places[(place + at) % places_max];
    uint64_t seen = slot.load();
    if (seen == place || (seen == 0 && (slot.compare_exchange_strong(seen, place) || seen == place))) return;
  }
}

// Whether a call from here counts.
bool is_meant(Plan& now) {
  if (now.depth == 0) return true;
  is_inside = true;
  const uint64_t place = place_of_call(now.depth);
  is_inside = false;
  remember(now, place);
  return now.place == 0 || now.place == place || (now.is_for_ever != 0 && now.failed > 0);
}

// Whether it can find a full disk.
bool needs_space(const char* call) {
  constexpr const char* calls[] = {"write",           "pwrite",    "pwrite64", "pwritev2",  "fsync",      "fdatasync",
                                   "posix_fallocate", "fallocate", "open",     "open64",    "openat",     "mkdir",
                                   "rename",          "symlink",   "mmap",     "ftruncate", "ftruncate64"};
  for (const char* one : calls) {
    if (std::strcmp(one, call) == 0) return true;
  }
  return false;
}

bool fails(Class what, const char* call, const char* path = "") {
  Plan* const now = plan.load(std::memory_order_acquire);
  if (now == nullptr || is_inside || now->what != what) return false;
  if (now->error == ENOSPC && !needs_space(call)) return false;
  if (now->call[0] != 0 && std::strcmp(now->call, call) != 0) return false;
  if (now->path[0] != 0 && std::strstr(path, now->path) == nullptr) return false;
  if (!is_meant(*now)) return false;
  const uint64_t number = ++now->counted;
  if (now->fail_at == 0 || number < now->fail_at || (number > now->fail_at && now->is_for_ever == 0)) return false;
  is_inside = true;
  if (++now->failed == 1) tell(number, call, path);
  is_inside = false;
  return true;
}

bool is_ours(const char* path) {
  for (const char* at = below; *at != 0;) {
    const char* end = std::strchr(at, ':');
    const size_t length = end != nullptr ? static_cast<size_t>(end - at) : std::strlen(at);
    if (std::strncmp(path, at, length) == 0) return true;
    at += length + (end != nullptr ? 1 : 0);
  }
  return false;
}

bool path_fails(const char* call, const char* path) {
  return plan.load() != nullptr && path != nullptr && is_ours(path) && fails(io, call, path);
}

bool descriptor_fails(const char* call, int descriptor) {
  if (plan.load() == nullptr || is_inside) return false;
  char link[64];
  char path[512];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const long bytes = ::syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (bytes <= 0) return false;
  path[bytes] = 0;
  return path_fails(call, path);
}

bool place_fails(const char* call, int directory, const char* path) {
  return path != nullptr && path[0] == '/' ? path_fails(call, path) : descriptor_fails(call, directory);
}

template <class F>
F* next_of(F*, const char* name) {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

int error_of(int usual) {
  Plan* const now = plan.load();
  return now != nullptr && now->error != 0 ? static_cast<int>(now->error) : usual;
}

int refuse(int usual = EIO) {
  errno = error_of(usual);
  return -1;
}

void* no_memory() {
  errno = ENOMEM;
  return nullptr;
}

__attribute__((constructor)) void begin() {
  const char* path = std::getenv("MARS_FAULTS_PLAN");
  const char* program = std::getenv("MARS_FAULTS_PROGRAM");
  if (path == nullptr || program == nullptr || std::strcmp(program, program_invocation_short_name) != 0) return;
  if (const char* folders = std::getenv("MARS_FAULTS_BELOW")) below = folders;
  const int file = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC));
  if (file < 0) return;
  void* data = ::mmap(nullptr, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  (void)::syscall(SYS_close, file);
  if (data == MAP_FAILED) return;
  void* frames[2];
  ::backtrace(frames, 2);  // loads what it needs, now and not in the middle of a failure
  ::dl_iterate_phdr(add_module, nullptr);
  plan = static_cast<Plan*>(data);
}

}  // namespace

// What follows is one row per call: by which of its arguments it is ours, and what the next library of that name does.
#define NEXT(call) static auto* const next = next_of(&::call, #call)
#define ROW(result, call, parameters, arguments, has_failed) \
  result call parameters {                                   \
    NEXT(call);                                              \
    return has_failed ? refuse() : next arguments;           \
  }
#define OF_SOCKET(result, call, parameters, arguments, error)        \
  result call parameters {                                           \
    NEXT(call);                                                      \
    return fails(socket_io, #call) ? refuse(error) : next arguments; \
  }
#define OF_DESCRIPTOR(result, call, parameters, arguments) \
  ROW(result, call, parameters, arguments, descriptor_fails(#call, descriptor))
#define OF_PATH(result, call, parameters, arguments) ROW(result, call, parameters, arguments, path_fails(#call, path))
#define OF_PLACE(result, call, parameters, arguments) \
  ROW(result, call, parameters, arguments, place_fails(#call, directory, path))

extern "C" {

// "new" where C++ asks, which has one answer only: the process ends.
void* malloc(size_t bytes) noexcept {
  static const auto begin = reinterpret_cast<uintptr_t>(static_cast<void* (*)(size_t)>(&::operator new));
  const auto caller = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  const bool is_new = caller > begin && caller < begin + 160;
  return fails(allocation, is_new ? "new" : "malloc") ? no_memory() : __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) noexcept {
  return fails(allocation, "calloc") ? no_memory() : __libc_calloc(count, bytes);
}
void* realloc(void* old, size_t bytes) noexcept {
  return bytes > 0 && fails(allocation, "realloc") ? no_memory() : __libc_realloc(old, bytes);
}
void* memalign(size_t alignment, size_t bytes) noexcept {
  return fails(allocation, "memalign") ? no_memory() : __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  return fails(allocation, "aligned_alloc") ? no_memory() : __libc_memalign(alignment, bytes);
}
int posix_memalign(void** result, size_t alignment, size_t bytes) noexcept {
  if (fails(allocation, "posix_memalign")) return ENOMEM;
  void* found = __libc_memalign(alignment, bytes);
  if (found != nullptr) *result = found;
  return found != nullptr ? 0 : ENOMEM;
}

OF_DESCRIPTOR(ssize_t, read, (int descriptor, void* to, size_t bytes), (descriptor, to, bytes))
OF_DESCRIPTOR(ssize_t, write, (int descriptor, const void* from, size_t bytes), (descriptor, from, bytes))
OF_DESCRIPTOR(ssize_t, pread, (int descriptor, void* to, size_t bytes, off_t at), (descriptor, to, bytes, at))
OF_DESCRIPTOR(ssize_t, pread64, (int descriptor, void* to, size_t bytes, off64_t at), (descriptor, to, bytes, at))
OF_DESCRIPTOR(ssize_t, pwrite, (int descriptor, const void* from, size_t bytes, off_t at),
              (descriptor, from, bytes, at))
OF_DESCRIPTOR(ssize_t, pwrite64, (int descriptor, const void* from, size_t bytes, off64_t at),
              (descriptor, from, bytes, at))
OF_DESCRIPTOR(ssize_t, preadv2, (int descriptor, const iovec* to, int count, off_t at, int flags),
              (descriptor, to, count, at, flags))
OF_DESCRIPTOR(ssize_t, pwritev2, (int descriptor, const iovec* from, int count, off_t at, int flags),
              (descriptor, from, count, at, flags))
OF_DESCRIPTOR(int, fsync, (int descriptor), (descriptor))
OF_DESCRIPTOR(int, fdatasync, (int descriptor), (descriptor))
OF_DESCRIPTOR(int, fallocate, (int descriptor, int mode, off_t at, off_t bytes), (descriptor, mode, at, bytes))
OF_DESCRIPTOR(int, ftruncate, (int descriptor, off_t bytes) noexcept, (descriptor, bytes))
OF_DESCRIPTOR(int, ftruncate64, (int descriptor, off64_t bytes) noexcept, (descriptor, bytes))
OF_DESCRIPTOR(int, fstat, (int descriptor, struct stat* into) noexcept, (descriptor, into))
OF_DESCRIPTOR(int, fstat64, (int descriptor, struct stat64* into) noexcept, (descriptor, into))
OF_DESCRIPTOR(int, fchmod, (int descriptor, mode_t mode) noexcept, (descriptor, mode))
OF_DESCRIPTOR(int, flock, (int descriptor, int operation) noexcept, (descriptor, operation))

OF_PATH(int, stat, (const char* path, struct stat* into) noexcept, (path, into))
OF_PATH(int, stat64, (const char* path, struct stat64* into) noexcept, (path, into))
OF_PATH(int, lstat, (const char* path, struct stat* into) noexcept, (path, into))
OF_PATH(int, lstat64, (const char* path, struct stat64* into) noexcept, (path, into))
OF_PATH(int, statvfs, (const char* path, struct statvfs* into) noexcept, (path, into))
OF_PATH(int, mkdir, (const char* path, mode_t mode) noexcept, (path, mode))
OF_PATH(int, rmdir, (const char* path) noexcept, (path))
OF_PATH(int, unlink, (const char* path) noexcept, (path))
OF_PATH(int, remove, (const char* path) noexcept, (path))
OF_PATH(int, rename, (const char* path, const char* to) noexcept, (path, to))
OF_PATH(int, chmod, (const char* path, mode_t mode) noexcept, (path, mode))
OF_PATH(ssize_t, readlink, (const char* path, char* into, size_t bytes) noexcept, (path, into, bytes))
OF_PLACE(int, unlinkat, (int directory, const char* path, int flags) noexcept, (directory, path, flags))
OF_PLACE(int, statx, (int directory, const char* path, int flags, unsigned int mask, struct statx* into) noexcept,
         (directory, path, flags, mask, into))

int symlink(const char* target, const char* path) noexcept {
  NEXT(symlink);
  return path_fails("symlink", path) ? refuse() : next(target, path);
}

int posix_fallocate(int descriptor, off_t at, off_t bytes) {
  NEXT(posix_fallocate);
  return descriptor_fails("posix_fallocate", descriptor) ? error_of(EIO) : next(descriptor, at, bytes);
}

DIR* opendir(const char* path) {
  NEXT(opendir);
  if (!path_fails("opendir", path)) return next(path);
  errno = error_of(EIO);
  return nullptr;
}

void* mmap(void* where, size_t bytes, int protection, int flags, int descriptor, off_t at) noexcept {
  NEXT(mmap);
  if (descriptor < 0 || !descriptor_fails("mmap", descriptor)) {
    return next(where, bytes, protection, flags, descriptor, at);
  }
  errno = error_of(EIO);
  return MAP_FAILED;
}

// The mode is there only when a file may be made; whoever does not read it does not mind.
#define OPENS(call)                                                      \
  int call(const char* path, int flags, ...) {                           \
    NEXT(call);                                                          \
    va_list rest;                                                        \
    va_start(rest, flags);                                               \
    const mode_t mode = va_arg(rest, mode_t);                            \
    va_end(rest);                                                        \
    return path_fails(#call, path) ? refuse() : next(path, flags, mode); \
  }
OPENS(open)
OPENS(open64)

int openat(int directory, const char* path, int flags, ...) {
  NEXT(openat);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return place_fails("openat", directory, path) ? refuse() : next(directory, path, flags, mode);
}

int ioctl(int descriptor, unsigned long request, ...) noexcept {
  NEXT(ioctl);
  va_list rest;
  va_start(rest, request);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  return descriptor_fails("ioctl", descriptor) ? refuse() : next(descriptor, request, argument);
}

// A connection that breaks, and descriptors that are used up.
OF_SOCKET(ssize_t, recv, (int descriptor, void* to, size_t bytes, int flags), (descriptor, to, bytes, flags),
          ECONNRESET)
OF_SOCKET(ssize_t, recvmsg, (int descriptor, msghdr* message, int flags), (descriptor, message, flags), ECONNRESET)
// Not what a log is written with, which asks thereby whether it goes to a socket.
ssize_t send(int descriptor, const void* from, size_t bytes, int flags) {
  NEXT(send);
  if (descriptor != STDERR_FILENO && fails(socket_io, "send")) return refuse(EPIPE);
  return next(descriptor, from, bytes, flags);
}

OF_SOCKET(ssize_t, sendmsg, (int descriptor, const msghdr* message, int flags), (descriptor, message, flags), EPIPE)
OF_SOCKET(int, socket, (int domain, int type, int protocol) noexcept, (domain, type, protocol), EMFILE)
OF_SOCKET(int, accept, (int descriptor, sockaddr* from, socklen_t* bytes), (descriptor, from, bytes), EMFILE)
OF_SOCKET(int, accept4, (int descriptor, sockaddr* from, socklen_t* bytes, int flags), (descriptor, from, bytes, flags),
          EMFILE)
OF_SOCKET(int, connect, (int descriptor, const sockaddr* to, socklen_t bytes), (descriptor, to, bytes), ECONNREFUSED)
OF_SOCKET(int, bind, (int descriptor, const sockaddr* at, socklen_t bytes) noexcept, (descriptor, at, bytes),
          EADDRINUSE)
OF_SOCKET(int, listen, (int descriptor, int backlog) noexcept, (descriptor, backlog), EADDRINUSE)
OF_SOCKET(int, setsockopt, (int descriptor, int level, int name, const void* value, socklen_t bytes) noexcept,
          (descriptor, level, name, value, bytes), ENOBUFS)

// The watches of a user are used up; what is watched already stays so, as what Asio itself needs (eventfd, timer,
// pipe).
int epoll_ctl(int epoll, int what, int descriptor, epoll_event* event) noexcept {
  NEXT(epoll_ctl);
  int type = 0;
  socklen_t bytes = sizeof type;
  const bool is_socket = getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &bytes) == 0;
  if (what == EPOLL_CTL_ADD && is_socket && fails(socket_io, "epoll_ctl")) return refuse(ENOSPC);
  return next(epoll, what, descriptor, event);
}

}  // extern "C"
