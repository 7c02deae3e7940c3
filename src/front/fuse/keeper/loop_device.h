// LoopDevice: one /dev/loopN bound to a file, as the keeper holds it. Every call may block and may need the server
// of the file to answer: never call it from that server. Uses libc only; allocates nothing.
#pragma once

#include <cstdint>

namespace mars::fuse {

// What a step came to: `failed` is null when it went well, else it names the step, and `error` is its errno.
struct [[nodiscard]] Outcome {
  const char* failed = nullptr;
  int error = 0;
  explicit operator bool() const { return failed == nullptr; }
};

struct LoopOptions {
  uint32_t block_bytes = 512;
  const char* label = "";   // at most 63 bytes; stays readable in the kernel for as long as the device is bound
  bool can_discard = true;  // false: the server of the file refuses every discard
};

// What close() found out.
enum class CloseAnswer : uint8_t {
  closed,        // it was alone; nobody can open the device any more; it is detached when close() returns
  closed_lossy,  // the same, but dirty pages of somebody who never called fsync could not be written
  busy,          // somebody has it open: nothing was changed
  failed,        // the kernel would not say: nothing was changed
};

class LoopDevice {
 public:
  LoopDevice() = default;
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  ~LoopDevice() { let_go(); }

  // Takes a free number and binds it to the file in one step: direct I/O, block size, autoclear. Autoclear stays on
  // for good: while this descriptor is open it does nothing, and when the keeper dies the device goes with its last
  // user.
  Outcome configure(int file, const LoopOptions& options);
  // Opens a device that is bound already, if it is bound to this very file.
  Outcome adopt(int number, uint64_t file_device, uint64_t file_inode);

  // Writes back what is dirty, then asks the kernel whether this is the only descriptor (doc/front/fuse.md,
  // "Closing").
  CloseAnswer close();
  // The file has another size: tells the kernel.
  Outcome resize();
  // Gives up the descriptor; if it is the last one, the kernel detaches the device.
  void let_go();

  int number() const { return number_; }
  const char* path() const { return path_; }

 private:
  Outcome open_number(int number);
  Outcome bind(int file, const LoopOptions& options);
  Outcome check_direct();
  void withdraw_discard();

  int fd_ = -1;
  int number_ = -1;
  char path_[32] = {};
  bool is_lossy_ = false;
};

}  // namespace mars::fuse
