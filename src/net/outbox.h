// Outbox: what one session still has to write, and in which order. Frames of the session itself (keep-alive, credit,
// refusals) first; then lanes whose next frame is small; then the bulky ones in turn, a fragment each. No I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "base/list.h"
#include "format/frame.h"
#include "io/file.h"
#include "net/channel.h"

namespace mars::net {

class Outbox {
 public:
  // The queue of one channel; at rest in no list.
  class Lane : public ListHook {
   public:
    explicit Lane(uint32_t id) : id_(id) {}
    bool empty() const { return frames_.empty(); }
    uint32_t id() const { return id_; }

   private:
    friend class Outbox;
    struct Pending {
      format::FrameType type;
      Bytes payload;
      size_t sent = 0;  // of a message: bytes that have gone in fragments
    };
    const uint32_t id_;
    std::deque<Pending> frames_;
  };

  // One write: valid until the next take().
  struct Burst {
    std::vector<io::Buffer> buffers;
    size_t bytes = 0;
    bool empty() const { return buffers.empty(); }
  };

  explicit Outbox(uint16_t version) : version_(version) {}

  void add_control(format::FrameType type, uint32_t channel, Bytes payload);
  // A frame that goes whole (open, close).
  void add(Lane& lane, format::FrameType type, Bytes payload);
  // A message: one or more data frames, the first with the message's length in front.
  void add_message(Lane& lane, Bytes message);
  // Forgets what stands in the lane, but for a message that has begun.
  void cut(Lane& lane);
  // Nothing more of this lane goes out.
  void drop(Lane& lane);
  bool empty() const;
  size_t control_bytes() const { return control_bytes_; }
  // What the messages in the lanes hold, those that have begun whole, with their administration.
  uint64_t message_bytes() const { return small_message_bytes_ + bulky_message_bytes_; }
  uint64_t small_message_bytes() const { return small_message_bytes_; }  // of at most small_bytes each
  uint64_t bulky_message_bytes() const { return bulky_message_bytes_; }
  // At most about burst_bytes. What the former burst held is freed. `drained` gets the lanes that became empty.
  const Burst& take(std::vector<uint32_t>& drained);

  static constexpr size_t burst_bytes = 256u << 10;
  static constexpr size_t small_bytes = 4096;
  static constexpr size_t small_run_max = 32;  // then a bulky lane has its turn

 private:
  void queue(Lane& lane);
  Lane* pick();
  void put(io::Buffer buffer);
  void put_next(Lane& lane);
  void forget(const Lane::Pending& pending);
  uint64_t& messages_of(size_t bytes) { return bytes <= small_bytes ? small_message_bytes_ : bulky_message_bytes_; }

  const uint16_t version_;
  std::deque<Bytes> control_;  // whole frames
  size_t control_bytes_ = 0;
  uint64_t small_message_bytes_ = 0;
  uint64_t bulky_message_bytes_ = 0;
  List<Lane> small_;
  List<Lane> bulky_;
  size_t small_run_ = 0;
  Burst burst_;
  std::deque<std::array<std::byte, format::frame_header_bytes + 4>> heads_;  // of the burst
  std::vector<Bytes> kept_;                                                  // payloads of the burst
};

}  // namespace mars::net
