// disk: a leaf on io's File, whatever is behind it: a block device or a regular file. Page: doc/brick/disk.md.
#pragma once

#include <deque>
#include <vector>

#include "base/aligned.h"
#include "bricks/recent_extents.h"
#include "io/file.h"
#include "xio/request.h"

namespace mars::bricks {

class Disk final : public xio::Output {
 public:
  // `file` must outlive the brick. `bytes`: how much of it is the device, 0 = all.
  Disk(Ready& ready, io::File& file, uint64_t bytes = 0);
  ~Disk() override;

  xio::Info info() const override;
  // A buffer that the file cannot take as it lies is copied; a range that the file cannot zero is written.
  void enter(xio::Request& request) override;

  uint32_t in_flight() const { return in_flight_; }
  // What was changed last (D17).
  RecentExtents& recent() { return recent_; }

 private:
  struct Op : io::FileOp {
    Disk* disk = nullptr;
    xio::Request* request = nullptr;
    io::Buffer buffer;
    AlignedBuffer memory;  // for a digest, zeroes, or a buffer that is not aligned
    uint64_t zeroed = 0;   // of a range that is written with zeroes
    bool is_emulating = false;
    bool is_bounced = false;
  };

  io::FileOp::Kind kind_of(xio::Op op) const;
  Op& take(xio::Request& request);
  void place_buffer(Op& op);
  static void on_done(Job& job);
  void done(Op& op);
  bool goes_on(Op& op);
  void write_zeroes(Op& op);

  io::File& file_;
  const uint64_t bytes_;
  RecentExtents recent_;
  std::deque<Op> ops_;
  std::vector<Op*> free_;
  uint32_t in_flight_ = 0;
};

}  // namespace mars::bricks
