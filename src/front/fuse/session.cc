#include "front/fuse/session.h"

#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <linux/falloc.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "io/linux/watch.h"

namespace mars::fuse {

namespace {

constexpr fuse_ino_t file_inode = 2;
constexpr double for_ever_s = 1e9;        // nobody but this session changes its names and attributes
constexpr unsigned background_max = 256;  // the kernel's default of 12 would cap the depth of the loop device
constexpr int requests_per_turn = 32;     // then the reactor's other work gets its turn
constexpr uint64_t range_bytes_max = uint64_t{1} << 30;  // of one discard or write_zeroes
constexpr size_t write_header_bytes = sizeof(fuse_in_header) + sizeof(fuse_write_in);
constexpr size_t message_bytes_max = write_header_bytes + Buffers::large_bytes;

int error_number(Status status) {
  switch (status) {
    case Status::ok:
      return 0;
    case Status::unsupported:
      return EOPNOTSUPP;  // never ENOSYS: the kernel would remember it for the whole mount
    case Status::no_space:
      return ENOSPC;
    case Status::invalid:
      return EINVAL;
    default:
      return EIO;
  }
}

const char* mount_hint(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:
      return "the kernel has no FUSE: load the module fuse";
    case EPERM:
    case EACCES:
      return "mounting needs root";
    default:
      return strerror(error);
  }
}

}  // namespace

struct Session::Slot : xio::Request {
  fuse_req_t reply_to = nullptr;
  uint64_t start = 0;
  uint64_t total = 0;
  uint64_t done = 0;
  std::byte* small = nullptr;
  std::byte* large = nullptr;

  std::byte* own() const { return (large != nullptr ? large : small) + done; }
};

// libfuse parses, keeps what it must keep per request, and replies. Reading is done here, so that the descriptor
// never blocks and the payload of a write comes to lie on a page.
struct Session::Kernel {
  explicit Kernel(Session& owner) : owner(owner) {}
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  ~Kernel();

  Result<void> create();
  int mount_blocking();
  void watch();

  static Session& self(fuse_req_t request) { return *static_cast<Session*>(fuse_req_userdata(request)); }
  struct stat attributes(fuse_ino_t inode) const;

  static void init(void* owner, fuse_conn_info* connection);
  static void lookup(fuse_req_t request, fuse_ino_t parent, const char* name);
  static void getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*);
  static void open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file);
  static void release(fuse_req_t request, fuse_ino_t inode, fuse_file_info*);
  static void read(fuse_req_t request, fuse_ino_t, size_t bytes, off_t offset, fuse_file_info*);
  static void write(fuse_req_t request, fuse_ino_t, const char* data, size_t bytes, off_t offset, fuse_file_info*);
  static void flush(fuse_req_t request, fuse_ino_t, fuse_file_info*);
  static void fsync(fuse_req_t request, fuse_ino_t, int, fuse_file_info*);
  static void fallocate(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t bytes, fuse_file_info*);

  Session& owner;
  fuse_session* session = nullptr;
  std::unique_ptr<io::Watch> readable;
};

// ---- libfuse

Session::Kernel::~Kernel() {
  readable.reset();
  if (session == nullptr) return;
  fuse_session_unmount(session);  // it is unmounted already: closes the descriptor and forgets the path
  fuse_session_destroy(session);
}

Result<void> Session::Kernel::create() {
  fuse_lowlevel_ops operations = {};
  operations.init = &init;
  operations.lookup = &lookup;
  operations.getattr = &getattr;
  operations.open = &open;
  operations.release = &release;
  operations.read = &read;
  operations.write = &write;
  operations.flush = &flush;
  operations.fsync = &fsync;
  operations.fallocate = &fallocate;
  std::string options = "-ofsname=mars,subtype=" + owner.options_.name;
  char program[] = "marsd";
  char* arguments[] = {program, options.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(2, arguments);
  session = fuse_session_new(&args, &operations, sizeof operations, &owner);
  fuse_opt_free_args(&args);
  if (session == nullptr) return failure(Status::invalid, "libfuse refused the options " + options);
  return {};
}

// On a helper thread. libfuse would try a setuid program where mount(2) is forbidden; that is not for a daemon.
int Session::Kernel::mount_blocking() {
  if (geteuid() != 0) return EPERM;
  int probe = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (probe < 0) return errno;
  close(probe);
  errno = EIO;
  if (fuse_session_mount(session, owner.options_.directory.c_str()) != 0) return errno;
  int fd = fuse_session_fd(session);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return 0;
}

void Session::Kernel::watch() {
  auto call = [](void* self) { static_cast<Session*>(self)->on_readable(); };
  readable = std::make_unique<io::Watch>(owner.machine_, fuse_session_fd(session), call, &owner);
  readable->arm();
}

void Session::Kernel::init(void*, fuse_conn_info* connection) {
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                                             FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_AUTO_INVAL_DATA);
  connection->max_background = background_max;
  connection->congestion_threshold = background_max;
  connection->max_write = Buffers::large_bytes;
  connection->max_readahead = 0;
}

struct stat Session::Kernel::attributes(fuse_ino_t inode) const {
  struct stat found = {};
  found.st_ino = inode;
  if (inode == FUSE_ROOT_ID) {
    found.st_mode = S_IFDIR | 0700;
    found.st_nlink = 2;
    return found;
  }
  xio::Info info = owner.below_.info();
  found.st_mode = S_IFREG | 0600;
  found.st_nlink = 1;
  found.st_size = static_cast<off_t>(info.bytes);
  found.st_blksize = Buffers::page_bytes;
  found.st_blocks = static_cast<blkcnt_t>(info.bytes / 512);
  return found;
}

void Session::Kernel::lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  if (parent != FUSE_ROOT_ID || std::strcmp(name, file_name) != 0) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param entry = {};
  entry.ino = file_inode;
  entry.attr = self(request).kernel_->attributes(file_inode);
  entry.attr_timeout = entry.entry_timeout = for_ever_s;
  fuse_reply_entry(request, &entry);
}

void Session::Kernel::getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  struct stat found = self(request).kernel_->attributes(inode);
  fuse_reply_attr(request, &found, for_ever_s);
}

void Session::Kernel::open(fuse_req_t request, fuse_ino_t inode, fuse_file_info* file) {
  Session& session = self(request);
  if (inode != file_inode || session.opened_) {
    fuse_reply_err(request, inode == file_inode ? EBUSY : EISDIR);
    return;
  }
  file->direct_io = 1;
  file->keep_cache = 0;
  session.opened_ = true;
  if (fuse_reply_open(request, file) == -ENOENT) session.opened_ = false;  // it was interrupted: no release will come
  session.changed_.notify();
}

void Session::Kernel::release(fuse_req_t request, fuse_ino_t, fuse_file_info*) {
  Session& session = self(request);
  fuse_reply_err(request, 0);
  session.released_ = true;
  session.changed_.notify();
}

void Session::Kernel::read(fuse_req_t request, fuse_ino_t, size_t bytes, off_t offset, fuse_file_info*) {
  Session& session = self(request);
  if (bytes == 0 || bytes > Buffers::large_bytes) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  Slot& slot = session.take(request, xio::Op::read, static_cast<uint64_t>(offset), bytes);
  if (bytes > Buffers::small_bytes) slot.large = session.buffers_.take_large();
  session.start(slot);
}

// A small write is copied off at once, so that one large piece is enough to receive them all. A large one keeps the
// piece it came in, and the session receives into another.
void Session::Kernel::write(fuse_req_t request, fuse_ino_t, const char* data, size_t bytes, off_t offset,
                            fuse_file_info*) {
  Session& session = self(request);
  if (bytes == 0 || bytes > Buffers::large_bytes) {
    fuse_reply_err(request, EINVAL);
    return;
  }
  CHECK(reinterpret_cast<const std::byte*>(data) == session.receiving_);
  Slot& slot = session.take(request, xio::Op::write, static_cast<uint64_t>(offset), bytes);
  if (bytes > Buffers::small_bytes) {
    slot.large = std::exchange(session.receiving_, session.buffers_.take_large());
  } else {
    std::memcpy(slot.small, data, bytes);
  }
  session.start(slot);
}

// FUSE_FLUSH is somebody's close(2); the flush of a disk arrives as FSYNC.
void Session::Kernel::flush(fuse_req_t request, fuse_ino_t, fuse_file_info*) { fuse_reply_err(request, 0); }

void Session::Kernel::fsync(fuse_req_t request, fuse_ino_t inode, int, fuse_file_info*) {
  if (inode != file_inode) {
    fuse_reply_err(request, 0);
    return;
  }
  Session& session = self(request);
  session.start(session.take(request, xio::Op::flush, 0, 0));
}

// A discard is passed on only where the disk below does it natively (D16). What the kernel sends all the same is
// refused; the keeper provokes one such refusal on purpose, which must never become a discard.
void Session::Kernel::fallocate(fuse_req_t request, fuse_ino_t, int mode, off_t offset, off_t bytes, fuse_file_info*) {
  const bool discards = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
  if ((!discards && mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)) || offset < 0 || bytes <= 0) {
    fuse_reply_err(request, EOPNOTSUPP);
    return;
  }
  Session& session = self(request);
  if (discards && !session.takes_discard_) {
    fuse_reply_err(request, EOPNOTSUPP);
    return;
  }
  xio::Op op = discards ? xio::Op::discard : xio::Op::write_zeroes;
  session.start(session.take(request, op, static_cast<uint64_t>(offset), static_cast<uint64_t>(bytes)));
}

// ---- life

Session::Session(io::Machine& machine, xio::Output& below, Notifier& changed, SessionOptions options)
    : machine_(machine),
      options_(std::move(options)),
      changed_(changed),
      below_(xio::On<&Session::left>{}, this, nullptr, below, "fuse") {}

Session::~Session() { CHECK(ended_ && in_flight_ == 0); }

// What another try would find again, or not.
Status status_of_mount(int error) {
  if (error == EPERM || error == EACCES) return Status::permission;
  const bool is_short = error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN || error == EBUSY;
  return is_short ? Status::busy : Status::unsupported;
}

Task<Result<void>> Session::mount() {
  CHECK(kernel_ == nullptr && options_.requests_max > 0 && options_.large_max >= 3);
  if (buffers_.allocate(options_.requests_max, options_.large_max) != Status::ok) {
    co_return failure(Status::no_space, "no memory for the requests of " + options_.name);
  }
  kernel_ = std::make_unique<Kernel>(*this);
  if (Result<void> created = kernel_->create(); !created) co_return failure(created.error());
  int error = 0;
  auto work = [this, &error] { error = kernel_->mount_blocking(); };
  co_await machine_.off_load(std::move(work));
  if (error != 0) {
    kernel_.reset();
    co_return failure(status_of_mount(error), "cannot mount FUSE on " + options_.directory + ": " + mount_hint(error));
  }
  begin_serving();
  co_return Result<void>{};
}

void Session::begin_serving() {
  for (size_t i = 0; i < options_.requests_max; ++i) {
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->small = buffers_.small(i);
  }
  for (size_t i = slots_.size(); i > 0; --i) free_slots_.push_back(slots_[i - 1].get());
  receiving_ = buffers_.take_large();
  takes_discard_ = below_.info().discard == xio::Support::native;
  ended_ = false;
  kernel_->watch();
}

// MNT_FORCE aborts the connection: after the release nobody waits for anything, and in an abort nobody shall.
void unmount_blocking(const std::string& directory) {
  umount2(directory.c_str(), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW);
}

Task<void> Session::unmount() {
  if (kernel_ == nullptr) co_return;
  std::string directory = options_.directory;
  auto work = [directory] { unmount_blocking(directory); };
  // Also when the connection has ended: the mount may still be there.
  co_await machine_.off_load(std::move(work));
  while (!ended_ || in_flight_ > 0) co_await changed_.wait();
  kernel_.reset();
}

void Session::end() {
  ended_ = true;
  changed_.notify();
}

void Session::size_changed() {
  if (!ended_) fuse_lowlevel_notify_inval_inode(kernel_->session, file_inode, -1, 0);
}

// ---- receiving

bool Session::has_room() const { return !free_slots_.empty() && buffers_.free_large() > 0; }

void Session::on_readable() {
  for (int i = 0; i < requests_per_turn; ++i) {
    if (!has_room()) {
      is_starved_ = true;  // finish() arms the watch again
      return;
    }
    if (!receive()) break;
  }
  if (!ended_) kernel_->readable->arm();
}

// False when nothing is there, or ever will be.
bool Session::receive() {
  std::byte* message = receiving_ - write_header_bytes;
  ssize_t got = read(fuse_session_fd(kernel_->session), message, message_bytes_max);
  if (got < 0) {
    if (errno == EINTR || errno == ENOENT) return true;  // ENOENT: the caller gave up before its request was read
    if (errno != EAGAIN) end();                          // ENODEV: unmounted or aborted
    return false;
  }
  fuse_buf buffer = {};
  buffer.mem = message;
  buffer.size = static_cast<size_t>(got);
  fuse_session_process_buf(kernel_->session, &buffer);
  return true;
}

// ---- requests

Session::Slot& Session::take(void* reply_to, xio::Op op, uint64_t offset, uint64_t bytes) {
  CHECK(!free_slots_.empty());
  Slot& slot = *free_slots_.back();
  free_slots_.pop_back();
  ++in_flight_;
  ++request_count_;
  slot.reply_to = static_cast<fuse_req_t>(reply_to);
  slot.op = op;
  slot.start = offset;
  slot.total = bytes;
  slot.done = 0;
  return slot;
}

void Session::start(Slot& slot) { next_piece(slot); }

// A request of the kernel goes below in one piece where it can; get may shorten it, and a brick has its longest
// request.
void Session::next_piece(Slot& slot) {
  xio::Info info = below_.info();
  uint64_t most = slot.transfers() ? info.bytes_max : range_bytes_max;
  slot.offset = slot.start + slot.done;
  slot.bytes = static_cast<uint32_t>(std::min(slot.total - slot.done, most));
  slot.step = slot.transfers() ? xio::Step::get : xio::Step::io;
  slot.data = nullptr;
  Status status = xio::check_bounds(slot, info);
  if (status != Status::ok) return finish(slot, status);
  below_.enter(slot);
}

void Session::left(xio::Request& request) {
  Slot& slot = static_cast<Slot&>(request);
  if (slot.status != Status::ok) return finish(slot, slot.status);
  if (slot.step == xio::Step::get) return got(slot);
  moved(slot);
}

void Session::got(Slot& slot) {
  if (slot.filled) return moved(slot);
  if (slot.supplier == nullptr) {
    slot.data = slot.own();
  } else if (slot.op == xio::Op::write) {
    std::memcpy(slot.data, slot.own(), slot.bytes);
    if (slot.done + slot.bytes == slot.total) give_back_large(slot);
  }
  slot.step = xio::Step::io;
  below_.enter(slot);
}

void Session::moved(Slot& slot) {
  const bool is_whole = slot.bytes == slot.total;  // then a read is answered from where it lies
  if (slot.op == xio::Op::read && slot.supplier != nullptr && !is_whole) {
    std::memcpy(slot.own(), slot.data, slot.bytes);
  }
  if (!is_whole) slot.put();
  slot.done += slot.bytes;
  if (slot.done < slot.total) return next_piece(slot);
  finish(slot, Status::ok);
}

void Session::finish(Slot& slot, Status status) {
  fuse_req_t reply_to = std::exchange(slot.reply_to, nullptr);
  if (status != Status::ok || !slot.transfers()) {
    fuse_reply_err(reply_to, error_number(status));
  } else if (slot.op == xio::Op::write) {
    fuse_reply_write(reply_to, slot.total);
  } else {
    slot.done = 0;
    const std::byte* from = slot.bytes == slot.total ? slot.data : slot.own();
    fuse_reply_buf(reply_to, reinterpret_cast<const char*>(from), slot.total);
  }
  slot.put();
  give_back_large(slot);
  free_slots_.push_back(&slot);
  if (--in_flight_ == 0 && ended_) changed_.notify();
  if (is_starved_ && !ended_ && has_room()) {
    is_starved_ = false;
    kernel_->readable->arm();
  }
}

void Session::give_back_large(Slot& slot) {
  if (slot.large != nullptr) buffers_.give_large(std::exchange(slot.large, nullptr));
}

}  // namespace mars::fuse
