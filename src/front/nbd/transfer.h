// What one connection has under way: a Transfer is one request of the client, a Piece one XIO request made for it, a
// Reply what is written back for one of both. All live in pools of the connection, sized when it begins.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/list.h"
#include "front/nbd/nbd_protocol.h"
#include "xio/pool.h"

namespace mars::nbd {

class Connection;
struct Transfer;

// A header, and bytes behind it.
struct Reply : ListHook {
  enum class Of : uint8_t { transfer, piece };
  explicit Reply(Of what) : of(what) {}
  const Of of;
  size_t head_bytes = 0;
  size_t body_bytes = 0;
  std::byte* body = nullptr;
  std::array<std::byte, reply_head_bytes_max> head;
};

struct Piece : xio::Request, Reply {
  Piece() : Reply(Of::piece) {}
  // A buffer of our own, aligned to 4 KiB. Small ones are kept for the next use.
  std::byte* own_buffer(uint32_t length);
  void release_buffer();

  Connection* connection = nullptr;
  Transfer* transfer = nullptr;
  Piece* next_of_transfer = nullptr;  // in order of offset
  bool is_done = false;
  uint64_t budget = 0;  // own bytes that are accounted for

 private:
  struct Free {
    void operator()(std::byte* bytes) const;
  };
  std::unique_ptr<std::byte, Free> own_;
  size_t own_bytes_ = 0;
};

// How the bytes of a read go back.
enum class ReadReply : uint8_t {
  chunks,  // structured: each piece as it comes
  whole,   // one simple reply when all pieces are there
  stream,  // one simple reply, begun with the first piece: too long to be kept whole
};

struct Transfer : Reply {
  Transfer() : Reply(Of::transfer) {}
  nbd::Request request;
  ReadReply read_reply = ReadReply::whole;
  Errno error = Errno::none;  // the first
  uint32_t unfinished = 0;    // pieces that are not done, and one while the reader still makes pieces
  uint32_t references = 0;    // pieces not given back, the reader, the reply in the queue
  Piece* first = nullptr;     // simple read: pieces not yet queued as replies, by offset
  Piece* last = nullptr;
  bool has_begun = false;  // its head is in the queue
};

}  // namespace mars::nbd
