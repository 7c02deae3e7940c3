// The way back: from completed pieces to written replies.
#include <utility>

#include "front/nbd/connection.h"

namespace mars::nbd {
namespace {

constexpr size_t write_bytes_max = 1u << 20;
constexpr size_t write_buffers_max = 256;
constexpr size_t replies_at_once = 8;  // so many are worth a call of their own: the client works on them meanwhile

void give_body(Piece& piece) {
  piece.body = piece.data;
  piece.body_bytes = piece.bytes;
}

}  // namespace

// ---- completions

void Connection::on_left(Piece& piece) {
  if (piece.step == xio::Step::get) return std::exchange(reader_, nullptr).resume();
  finish(piece);
}

void Connection::finish(Piece& piece) {
  Transfer& transfer = *piece.transfer;
  if (transfer.error == Errno::none) transfer.error = errno_of(piece.status);
  piece.is_done = true;
  const bool is_last = --transfer.unfinished == 0;
  if (!transfer.request.is(Command::read)) {
    if (is_last) answer(transfer);
    return release_piece(piece);
  }
  switch (transfer.read_reply) {
    case ReadReply::chunks:
      return finish_chunk(piece);
    case ReadReply::whole:
      if (is_last) finish_whole(transfer);
      return;
    case ReadReply::stream:
      return advance_stream(transfer);
  }
}

void Connection::no_more_pieces(Transfer& transfer) {
  if (--transfer.unfinished == 0) answer(transfer);
}

void Connection::finish_chunk(Piece& piece) {
  const Transfer& transfer = *piece.transfer;
  const bool is_last = transfer.unfinished == 0;
  if (piece.status == Status::ok) {
    piece.head_bytes = put_data_chunk(piece.head, transfer.request.cookie, is_last, piece.offset, piece.bytes);
    give_body(piece);
  } else {
    const Errno error = errno_of(piece.status);
    piece.head_bytes = put_error_chunk(piece.head, transfer.request.cookie, is_last, piece.offset, error);
  }
  queue(piece);
}

void Connection::finish_whole(Transfer& transfer) {
  const bool is_good = transfer.error == Errno::none;
  if (!is_good) answer(transfer);
  Piece* piece = std::exchange(transfer.first, nullptr);
  if (is_good) piece->head_bytes = put_simple_reply(piece->head, Errno::none, transfer.request.cookie);
  while (piece != nullptr) {
    Piece* next = piece->next_of_transfer;
    if (is_good) {
      give_body(*piece);
      queue(*piece);
    } else {
      release_piece(*piece);
    }
    piece = next;
  }
}

// What is done goes out in order. An error before the first byte is told; after it all that is left is to disconnect.
void Connection::advance_stream(Transfer& transfer) {
  ++transfer.references;
  while (transfer.first != nullptr && transfer.first->is_done) {
    Piece& piece = *std::exchange(transfer.first, transfer.first->next_of_transfer);
    if (transfer.first == nullptr) transfer.last = nullptr;  // the reader may still append
    if (transfer.error != Errno::none) {
      if (transfer.has_begun) fail();
      release_piece(piece);
      continue;
    }
    if (!std::exchange(transfer.has_begun, true)) {
      streaming_ = &transfer;
      piece.head_bytes = put_simple_reply(piece.head, Errno::none, transfer.request.cookie);
    }
    give_body(piece);
    queue(piece);
  }
  if (transfer.unfinished == 0) end_stream(transfer);
  drop_reference(transfer);
}

void Connection::end_stream(Transfer& transfer) {
  if (!transfer.has_begun) answer(transfer);
  streaming_ = nullptr;
  while (Reply* reply = held_.pop_front()) queue(*reply);
  stream_turn_.release(1);
}

void Connection::answer(Transfer& transfer) {
  const bool is_chunk = has_structured_replies_ && transfer.request.is(Command::read);
  const nbd::Request& request = transfer.request;
  transfer.head_bytes = is_chunk ? put_error_chunk(transfer.head, request.cookie, true, request.offset, transfer.error)
                                 : put_simple_reply(transfer.head, transfer.error, request.cookie);
  ++transfer.references;
  queue(transfer);
}

// ---- replies

void Connection::queue(Reply& reply) {
  if (is_broken_) return release(reply);
  const Transfer* owner =
      reply.of == Reply::Of::piece ? static_cast<Piece&>(reply).transfer : &static_cast<Transfer&>(reply);
  const bool must_wait = streaming_ != nullptr && owner != streaming_;
  (must_wait ? held_ : replies_).push_back(reply);
  if (must_wait) return;
  ++replies_queued_;
  work_.notify();
}

// Replies that gather while one write is pending go out with the next one. Requests that came together are answered
// together: as long as each turn of the run queue adds a reply, the write waits for the next turn, unless all are here.
Task<void> Connection::write_replies() {
  std::vector<io::Buffer> buffers;
  buffers.reserve(write_buffers_max);
  Yield yield(server_.machine_.ready());
  while (true) {
    if (replies_.empty()) {
      if (is_ending_) break;
      co_await work_.wait();
      continue;
    }
    for (uint64_t seen = 0;
         !is_drained_ && seen != replies_queued_ && replies_queued_ - replies_written_ < replies_at_once;) {
      seen = replies_queued_;
      co_await yield;
    }
    gather(buffers);
    writing_since_ = server_.machine_.now();
    if (!export_->button()) export_->look_again();  // is_deaf() may be true now
    const Status status = co_await stream_->write(buffers);
    writing_since_.reset();
    while (Reply* reply = written_.pop_front()) release(*reply);
    if (status != Status::ok) fail();
  }
}

void Connection::gather(std::vector<io::Buffer>& buffers) {
  buffers.clear();
  size_t bytes = 0;
  while (!replies_.empty() && bytes < write_bytes_max && buffers.size() + 2 <= write_buffers_max) {
    Reply& reply = *replies_.pop_front();
    if (reply.head_bytes > 0) buffers.push_back({reply.head.data(), reply.head_bytes});
    if (reply.body_bytes > 0) buffers.push_back({reply.body, reply.body_bytes});
    bytes += reply.head_bytes + reply.body_bytes;
    ++replies_written_;
    written_.push_back(reply);
  }
}

void Connection::release(Reply& reply) {
  if (reply.of == Reply::Of::piece) {
    release_piece(static_cast<Piece&>(reply));
  } else {
    drop_reference(static_cast<Transfer&>(reply));
  }
}

void Connection::release_piece(Piece& piece) {
  Transfer& transfer = *piece.transfer;
  piece.release_buffer();
  if (piece.budget > 0) server_.budget_.give_back(share_, piece.budget);
  pieces_->give_back(piece);
  piece_places_.release(1);
  drop_reference(transfer);
}

void Connection::drop_reference(Transfer& transfer) {
  if (--transfer.references > 0) return;
  free_transfers_.push_back(&transfer);
  transfer_places_.release(1);
  if (free_transfers_.size() == transfers_.size()) idle_.notify();
}

// The client is lost: its requests run to their end, nobody hears of them.
void Connection::fail() {
  is_broken_ = true;
  close();
  while (Reply* reply = replies_.pop_front()) release(*reply);
  while (Reply* reply = held_.pop_front()) release(*reply);
  work_.notify();
}

}  // namespace mars::nbd
