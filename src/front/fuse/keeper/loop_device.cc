#include "front/fuse/keeper/loop_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

namespace mars::fuse {

namespace {

// Others take free numbers at the same time: each lost race asks again.
constexpr int attempts_max = 64;

constexpr unsigned write_and_wait = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

Outcome failure(const char* step) { return {step, errno}; }

// devtmpfs makes the node by itself; a container's /dev may lack it, and no udev is assumed.
Outcome make_node(const char* path, int number) {
  dev_t device = makedev(LOOP_MAJOR, static_cast<unsigned>(number));
  struct stat found;
  if (stat(path, &found) == 0) {
    if (S_ISBLK(found.st_mode) && found.st_rdev == device) return {};
    return {"the node of the loop device is something else", EEXIST};
  }
  if (mknod(path, S_IFBLK | 0600, device) != 0 && errno != EEXIST) return failure("mknod of the loop device");
  return {};
}

// As the kernel encodes dev_t for user space in loop_info64.
uint64_t encoded(dev_t device) {
  uint64_t low = minor(device);
  return (low & 0xff) | (static_cast<uint64_t>(major(device)) << 8) | ((low & ~uint64_t{0xff}) << 12);
}

}  // namespace

Outcome LoopDevice::open_number(int number) {
  number_ = number;
  snprintf(path_, sizeof path_, "/dev/loop%d", number);
  if (Outcome made = make_node(path_, number); !made) return made;
  fd_ = open(path_, O_RDWR | O_CLOEXEC);
  return fd_ >= 0 ? Outcome{} : failure("open of the loop device");
}

Outcome LoopDevice::bind(int file, const LoopOptions& options) {
  loop_config config = {};
  config.fd = static_cast<uint32_t>(file);
  config.block_size = options.block_bytes;
  config.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR;
  strncpy(reinterpret_cast<char*>(config.info.lo_file_name), options.label, LO_NAME_SIZE - 1);
  return ioctl(fd_, LOOP_CONFIGURE, &config) == 0 ? Outcome{} : failure("LOOP_CONFIGURE");
}

Outcome LoopDevice::configure(int file, const LoopOptions& options) {
  int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
  if (control < 0) return failure("open of /dev/loop-control (is the module loop there?)");
  Outcome outcome{"no free loop device", EBUSY};
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0) {
      outcome = failure("LOOP_CTL_GET_FREE");
      break;
    }
    outcome = open_number(number);
    if (outcome) outcome = bind(file, options);
    if (outcome) break;
    let_go();
    if (outcome.error != EBUSY && outcome.error != ENXIO && outcome.error != ENOENT) break;
  }
  ::close(control);
  if (!outcome) return outcome;
  if (!options.can_discard) withdraw_discard();
  return check_direct();
}

// The kernel drops the flag silently where it cannot do it. Buffered, every byte would be cached twice and written
// back at a time that nobody controls.
Outcome LoopDevice::check_direct() {
  loop_info64 info = {};
  if (ioctl(fd_, LOOP_GET_STATUS64, &info) != 0) return failure("LOOP_GET_STATUS64");
  if ((info.lo_flags & LO_FLAGS_DIRECT_IO) == 0) return {"this kernel gives no direct I/O on a FUSE file", EOPNOTSUPP};
  return {};
}

// The loop driver offers discard for every file that has fallocate, and learns from the first refusal (Linux 6.9 and
// later; before that each one is refused). So it shall learn now. Its limit in /sys is no way: written as zero it
// cannot be raised again, for whoever gets the number next.
void LoopDevice::withdraw_discard() {
  uint64_t first_page[2] = {0, 4096};
  ioctl(fd_, BLKDISCARD, first_page);
}

Outcome LoopDevice::adopt(int number, uint64_t file_device, uint64_t file_inode) {
  if (Outcome opened = open_number(number); !opened) return opened;
  loop_info64 info = {};
  if (ioctl(fd_, LOOP_GET_STATUS64, &info) != 0) return failure("LOOP_GET_STATUS64");
  if (info.lo_device == encoded(file_device) && info.lo_inode == file_inode) return {};
  let_go();
  return {"the loop device was detached, and its number belongs to another file now", ENXIO};
}

// Before the question everything dirty is written: once the kernel has said "alone" it refuses every request, and
// as long as this descriptor is open the close of a buffered writer writes nothing back. Who opens, writes without
// fsync and closes between the two calls loses that; the second writing finds it out (not by fsync: its flush is
// refused as well).
CloseAnswer LoopDevice::close() {
  // Told once: a later close that succeeds has to say it, too.
  is_lossy_ = fsync(fd_) != 0 || is_lossy_;
  if (ioctl(fd_, LOOP_CLR_FD) != 0 && errno != ENXIO) return CloseAnswer::failed;
  loop_info64 info = {};
  if (ioctl(fd_, LOOP_GET_STATUS64, &info) == 0) return CloseAnswer::busy;  // autoclear was on already: nothing to undo
  if (errno != ENXIO) return CloseAnswer::failed;
  is_lossy_ = sync_file_range(fd_, 0, 0, write_and_wait) != 0 || is_lossy_;
  let_go();
  return is_lossy_ ? CloseAnswer::closed_lossy : CloseAnswer::closed;
}

Outcome LoopDevice::resize() { return ioctl(fd_, LOOP_SET_CAPACITY) == 0 ? Outcome{} : failure("LOOP_SET_CAPACITY"); }

void LoopDevice::let_go() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

}  // namespace mars::fuse
