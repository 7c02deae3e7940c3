// Connection: one NBD client, from its first byte to its last. One activity reads requests and makes XIO requests of
// them, one writes replies; completions in between are callbacks. What a client can have in flight is bounded: by then
// its further requests are not read.
#pragma once

#include <coroutine>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/list.h"
#include "base/sync.h"
#include "base/task.h"
#include "front/nbd/budget.h"
#include "front/nbd/nbd_server.h"
#include "front/nbd/transfer.h"
#include "io/timer.h"

namespace mars::nbd {

class Connection : public ListHook {
 public:
  Connection(NbdServer& server, std::unique_ptr<io::Stream> stream, const std::optional<io::TlsConfig>& tls,
             List<Connection>& newcomers);
  ~Connection();

  // Serves the client; returns when it is gone and nothing of its is in flight.
  Task<void> run();
  // Ends it soon, whatever the client does.
  void close();

  // Since when the client has taken nothing of an answer, if it has memory that others could use.
  std::optional<io::Instant> holds_up_since() const;
  // Requests of a client that has gone may still be under way.
  bool has_client_left() const;
  bool is_deaf() const;  // has left, and does not read what it is answered
  // close(), and the operator is told why.
  void cut(std::string_view why);

 private:
  friend NbdExport;

  // handshake
  Task<bool> negotiate();
  Task<bool> secure(Negotiator& negotiator);
  void begin_transmission(const Negotiator& negotiator);

  // The bytes of the client. fill(): until so many are in the buffer; false: no more come.
  Task<bool> fill(size_t bytes);
  Task<bool> take_payload(std::span<std::byte> into);
  Task<bool> skip_payload(uint64_t bytes);
  size_t buffered() const { return end_ - begin_; }
  ByteView peek(size_t bytes) const { return {buffer_.data() + begin_, bytes}; }

  // requests
  Task<void> read_requests();
  Task<bool> start(const nbd::Request& request);
  Task<bool> start_write(Transfer& transfer);
  Task<bool> start_write_piece(Transfer& transfer, uint64_t offset, uint32_t& bytes);
  Task<void> start_read(Transfer& transfer);
  bool has_memory(const Transfer& transfer) const;
  bool try_take(const Transfer& transfer, uint64_t bytes);
  Task<bool> take_memory(const Transfer& transfer, uint64_t bytes);
  void give_up(Transfer& transfer);
  Task<void> start_plain(Transfer& transfer);
  Piece& new_piece(Transfer& transfer);
  uint64_t unanswered() const;
  bool needs_fua(const nbd::Request& request) const;
  auto supplied(Piece& piece);

  // completions
  void on_left(Piece& piece);
  void finish(Piece& piece);
  void no_more_pieces(Transfer& transfer);
  void finish_chunk(Piece& piece);
  void finish_whole(Transfer& transfer);
  void advance_stream(Transfer& transfer);
  void end_stream(Transfer& transfer);
  void answer(Transfer& transfer);  // with its error, without data

  // replies
  void queue(Reply& reply);
  Task<void> write_replies();
  void gather(std::vector<io::Buffer>& buffers);
  void release(Reply& reply);
  void release_piece(Piece& piece);
  void drop_reference(Transfer& transfer);
  void fail();

  NbdServer& server_;
  const std::unique_ptr<io::Stream> stream_;
  const std::optional<io::TlsConfig>& tls_;
  Scope scope_;
  NbdExport* export_ = nullptr;
  Shape shape_;
  bool has_structured_replies_ = false;
  bool is_volatile_ = false;  // the client may survive this host: nothing is acknowledged before it is durable (D6)
  uint32_t piece_bytes_max_ = 0;
  uint32_t whole_bytes_max_ = 0;  // a longer read is answered in a stream

  std::vector<std::byte> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  bool was_bulky_ = false;  // the last request brought much: read little ahead, the rest goes where it belongs

  std::vector<Transfer> transfers_;
  std::vector<Transfer*> free_transfers_;
  std::unique_ptr<xio::RequestPool<Piece>> pieces_;
  Semaphore transfer_places_;
  Semaphore piece_places_;
  Budget::Share share_;             // of own buffers
  Semaphore stream_turn_;           // one transfer at a time streams
  Transfer* streaming_ = nullptr;   // its head is written and not yet all of its data
  std::coroutine_handle<> reader_;  // waits for a supplied buffer

  List<Reply> replies_;  // to be written
  uint64_t replies_queued_ = 0;
  uint64_t replies_written_ = 0;
  List<Reply> held_;     // until the stream is over
  List<Reply> written_;  // in the write that is pending
  std::optional<io::Instant> writing_since_;
  Notifier work_;
  Notifier idle_;
  bool is_drained_ = false;  // nothing is left of what came but replies
  bool has_read_all_ = false;
  bool is_ending_ = false;  // no more requests come
  bool is_closed_ = false;  // by close()
  bool is_broken_ = false;  // nothing can be written any more
};

}  // namespace mars::nbd
