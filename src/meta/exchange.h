// Exchange: how two hosts tell each other what the other has not seen (R4). Both sides do the same on one channel: say
// the own vector, then send what the peer lacks, now and after every change. What came from third hosts is passed on in
// the same way. Messages: doc/format/exchange.md.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "meta/registers.h"
#include "net/channel.h"

namespace mars::meta {

inline constexpr size_t snapshot_bytes_max = 256u << 20;

// The protocol without the channel: takes messages, says what is to be sent. Lives as long as the channel.
class Conversation {
 public:
  explicit Conversation(Registers& registers, const Uuid& peer = {}) : registers_(registers), name_(peer) {}
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;
  ~Conversation() { set_needs_snapshot(false); }

  // What is to be sent now; nothing: wait for registers.changed() or a message of the peer.
  std::optional<Bytes> next_message();
  // Changes, which may be taken in again when there was no room for them.
  static bool is_delta(const Bytes& message);
  // What an error says is the end of the conversation. invalid, unsupported: the peer speaks otherwise.
  Task<Error> on_message(Bytes message);

 private:
  enum class Kind : uint8_t { vector = 1, delta = 2, snapshot_request = 3, snapshot_part = 4, snapshot_end = 5 };
  struct Message {
    Kind kind;
    format::Delta delta;
  };
  static Result<Message> decode(const Bytes& message);
  static Bytes encode(Kind kind, const format::Delta& delta);

  void set_needs_snapshot(bool needs);
  Bytes own_vector(Kind kind) const;
  void queue_news();
  void queue_snapshot();
  Task<Error> on_snapshot(format::Delta part, bool is_last);

  Registers& registers_;
  const Uuid name_;  // of the peer
  std::deque<Bytes> outgoing_;
  std::optional<uint64_t> told_;       // after how many merges of a snapshot the peer was told our vector
  std::optional<VersionVector> peer_;  // what the peer has, or has been sent
  bool needs_snapshot_ = false;        // it remembers more of us than we have
  bool has_asked_ = false;
  bool wants_snapshot_ = false;  // the peer: one at a time
  format::Delta snapshot_;
  size_t snapshot_bytes_ = 0;
};

// Runs one conversation until the channel ends; then the channel is destroyed. `registers` must be open all the time.
// For the side that opens the channel and, as a handler of net::Services, for the side that accepts it.
Task<void> exchange(Registers& registers, std::unique_ptr<net::Channel> channel);

}  // namespace mars::meta
