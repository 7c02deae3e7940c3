#include "front/nbd/connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mars::nbd {
namespace {

constexpr size_t buffer_bytes = 256u << 10;
constexpr size_t bulky_bytes = 32u << 10;
constexpr size_t read_ahead_when_bulky = 4096;
constexpr uint32_t whole_bytes_max = 4u << 20;
constexpr unsigned turns_to_answer = 4;  // of the run queue: a write to memory has its reply by then

}  // namespace

Connection::Connection(NbdServer& server, std::unique_ptr<io::Stream> stream, const std::optional<io::TlsConfig>& tls,
                       List<Connection>& newcomers)
    : server_(server),
      stream_(std::move(stream)),
      tls_(tls),
      scope_(server.machine_.ready()),
      buffer_(buffer_bytes),
      transfers_(server.options_.requests_max),
      transfer_places_(server.machine_.ready(), server.options_.requests_max),
      piece_places_(server.machine_.ready(), server.options_.requests_max),
      share_(server.options_.payload_bytes_max),
      stream_turn_(server.machine_.ready(), 1),
      work_(server.machine_.ready()),
      idle_(server.machine_.ready()) {
  newcomers.push_back(*this);
}

Connection::~Connection() = default;

Task<void> Connection::run() {
  const bool is_negotiated = co_await negotiate();
  if (is_negotiated) {
    scope_.spawn(write_replies());
    co_await read_requests();
    has_read_all_ = true;
    while (free_transfers_.size() < transfers_.size()) co_await idle_.wait();
    is_ending_ = true;
    work_.notify();
    co_await scope_.join();
    export_->leave(*this);
  }
  stream_->close();
}

// ---- the bytes of the client

Task<bool> Connection::fill(size_t bytes) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (buffer_.size() - begin_ < bytes) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, buffered());
    end_ -= std::exchange(begin_, 0);
  }
  CHECK(buffer_.size() >= bytes);
  while (buffered() < bytes) {
    std::span<std::byte> room = std::span(buffer_).subspan(end_);
    if (was_bulky_) room = room.first(std::min(room.size(), std::max(bytes - buffered(), read_ahead_when_bulky)));
    Result<size_t> count = co_await stream_->read_some(room);
    if (!count) co_return false;
    end_ += *count;
  }
  co_return true;
}

// Its buffer is memory that others could use: who sends nothing does not keep it.
Task<bool> Connection::take_payload(std::span<std::byte> into) {
  const size_t here = std::min(buffered(), into.size());
  std::memcpy(into.data(), buffer_.data() + begin_, here);
  begin_ += here;
  if (here == into.size()) co_return true;
  const auto end = [](void* self) { static_cast<Connection*>(self)->cut("announced a write and sent nothing of it"); };
  io::Timer limit(server_.machine_, end, this);
  for (into = into.subspan(here); !into.empty();) {
    limit.arm_in(server_.options_.silence_limit);
    Result<size_t> count = co_await stream_->read_some(into);
    if (!count) co_return false;
    into = into.subspan(*count);
  }
  co_return true;
}

Task<bool> Connection::skip_payload(uint64_t bytes) {
  while (bytes > 0) {
    if (buffered() == 0 && !co_await fill(1)) co_return false;
    const size_t here = static_cast<size_t>(std::min<uint64_t>(buffered(), bytes));
    begin_ += here;
    bytes -= here;
  }
  co_return true;
}

// ---- handshake

Task<bool> Connection::negotiate() {
  io::Timer limit(server_.machine_, [](void* self) { static_cast<Connection*>(self)->close(); }, this);
  limit.arm_in(server_.options_.handshake_limit);
  const auto hello = greeting();
  if (co_await io::write_all(*stream_, hello) != Status::ok) co_return false;
  Negotiator negotiator(server_, tls_ ? TlsPolicy::required : TlsPolicy::none);
  if (!co_await fill(client_flags_bytes)) co_return false;
  uint32_t flags = 0;
  for (std::byte byte : peek(client_flags_bytes)) flags = flags << 8 | static_cast<uint32_t>(byte);
  begin_ += client_flags_bytes;
  if (!negotiator.on_client_flags(flags)) co_return false;
  while (true) {
    if (!co_await fill(option_header_bytes)) co_return false;
    const auto header = decode_option_header(peek(option_header_bytes));
    if (!header || header->length > option_bytes_max) co_return false;
    begin_ += option_header_bytes;
    if (!co_await fill(header->length)) co_return false;
    Bytes answer;
    const Negotiator::Next next = negotiator.on_option(*header, peek(header->length), answer);
    begin_ += header->length;
    // The export may be switched off, but not between this answer and the joining.
    if (next == Negotiator::Next::transmission) begin_transmission(negotiator);
    const Status status = answer.empty() ? Status::ok : co_await io::write_all(*stream_, answer);
    if (next == Negotiator::Next::transmission) {
      if (status != Status::ok) fail();
      co_return true;
    }
    if (status != Status::ok || next == Negotiator::Next::close) co_return false;
    if (next == Negotiator::Next::secure && !co_await secure(negotiator)) co_return false;
  }
}

// What came in clear behind STARTTLS is somebody else's injection, or nothing.
Task<bool> Connection::secure(Negotiator& negotiator) {
  if (buffered() > 0) co_return false;
  Result<io::PeerIdentity> identity = co_await stream_->secure(*tls_, io::Side::server);
  if (!identity || !identity->is_authenticated || identity->role != "client") co_return false;
  negotiator.secured();
  co_return true;
}

void Connection::begin_transmission(const Negotiator& negotiator) {
  export_ = server_.find_export(negotiator.name());
  CHECK(export_ != nullptr);
  const xio::Info info = export_->below_.info();
  shape_ = export_->shape();
  has_structured_replies_ = negotiator.has_structured_replies();
  is_volatile_ = !stream_->is_local() && info.fua != xio::Support::none;
  const auto portion = static_cast<uint32_t>(std::min<uint64_t>(server_.budget_.portion(), whole_bytes_max));
  piece_bytes_max_ = std::min({info.bytes_max, 1u << 20, portion}) / info.block_bytes * info.block_bytes;
  whole_bytes_max_ = portion;
  CHECK(piece_bytes_max_ > 0);
  pieces_ = std::make_unique<xio::RequestPool<Piece>>(server_.options_.requests_max);
  for (Transfer& transfer : transfers_) free_transfers_.push_back(&transfer);
  export_->join(*this);
}

// ---- requests

Task<void> Connection::read_requests() {
  Yield yield(server_.machine_.ready());
  while (!is_broken_) {
    // Replies go first: the client may wait for them, and we only for it.
    for (unsigned turns = 0; turns < turns_to_answer && buffered() == 0 && unanswered() > 0; ++turns) co_await yield;
    is_drained_ = buffered() == 0 && !replies_.empty() && unanswered() == 0;
    if (is_drained_) co_await yield;
    if (buffered() < request_header_bytes && !co_await fill(request_header_bytes)) break;
    is_drained_ = false;
    const auto request = decode_request(peek(request_header_bytes));
    if (!request) break;
    begin_ += request_header_bytes;
    if (request->is(Command::disconnect)) co_return;
    if (request->is(Command::write) && request->length > request_bytes_max) break;  // whose payload could be skipped
    if (!transfer_places_.try_acquire(1)) co_await transfer_places_.acquire();
    if (!co_await start(*request)) break;
  }
  fail();
}

// Requests that have no reply yet; of reads that are answered in pieces some count as answered too early.
uint64_t Connection::unanswered() const {
  const uint64_t begun = transfers_.size() - free_transfers_.size();
  const uint64_t answered = replies_queued_ - replies_written_;
  return begun > answered ? begun - answered : 0;
}

// False: the connection is over.
Task<bool> Connection::start(const nbd::Request& request) {
  Transfer& transfer = *free_transfers_.back();
  free_transfers_.pop_back();
  transfer.request = request;
  transfer.error = judge(request, shape_, has_structured_replies_, piece_bytes_max_);
  transfer.unfinished = 1;
  transfer.references = 1;
  transfer.first = transfer.last = nullptr;
  transfer.has_begun = false;
  was_bulky_ = request.is(Command::write) && request.length >= bulky_bytes;
  bool goes_on = true;
  if (request.is(Command::write)) {
    goes_on = co_await start_write(transfer);
    no_more_pieces(transfer);
  } else if (transfer.error != Errno::none) {
    no_more_pieces(transfer);
  } else if (request.is(Command::read)) {
    co_await start_read(transfer);
  } else {
    co_await start_plain(transfer);
    no_more_pieces(transfer);
  }
  drop_reference(transfer);
  co_return goes_on;
}

bool Connection::needs_fua(const nbd::Request& request) const {
  return is_volatile_ || (request.flags & command_fua) != 0;
}

Piece& Connection::new_piece(Transfer& transfer) {
  Piece& piece = *pieces_->try_take();
  piece.connection = this;
  piece.transfer = &transfer;
  piece.next_of_transfer = nullptr;
  piece.is_done = false;
  piece.budget = 0;
  piece.head_bytes = piece.body_bytes = 0;
  ++transfer.unfinished;
  ++transfer.references;
  return piece;
}

// Waits until the piece's get is back.
auto Connection::supplied(Piece& piece) {
  struct Awaiter {
    Connection& connection;
    Piece& piece;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> caller) {
      connection.reader_ = caller;
      connection.export_->enter(piece);
    }
    void await_resume() const noexcept {}
  };
  return Awaiter{*this, piece};
}

Task<bool> Connection::start_write(Transfer& transfer) {
  uint64_t offset = transfer.request.offset;
  uint32_t rest = transfer.request.length;
  while (rest > 0 && transfer.error == Errno::none) {
    uint32_t bytes = std::min(rest, piece_bytes_max_);
    if (!co_await start_write_piece(transfer, offset, bytes)) co_return false;
    offset += bytes;
    rest -= bytes;
  }
  if (rest > 0) co_return co_await skip_payload(rest);
  co_return true;
}

// get, receive into what was supplied or into our own, io. Sets `bytes` to what it has taken of the payload.
Task<bool> Connection::start_write_piece(Transfer& transfer, uint64_t offset, uint32_t& bytes) {
  if (!piece_places_.try_acquire(1)) co_await piece_places_.acquire();
  Piece& piece = new_piece(transfer);
  piece.prepare(xio::Op::write, offset, bytes, nullptr);
  piece.fua = needs_fua(transfer.request);
  piece.step = xio::Step::get;
  co_await supplied(piece);
  if (piece.status != Status::ok) {
    bytes = 0;
    finish(piece);
    co_return true;
  }
  if (piece.supplier == nullptr) {
    if (!try_take(transfer, piece.bytes) && !co_await take_memory(transfer, piece.bytes)) {
      piece.status = Status::gone;
      finish(piece);
      co_return false;
    }
    piece.budget = piece.bytes;
    piece.data = piece.own_buffer(piece.bytes);
  }
  bytes = piece.bytes;
  piece.step = xio::Step::io;
  if (!co_await take_payload({piece.data, piece.bytes})) {
    piece.status = Status::gone;
    finish(piece);
    co_return false;
  }
  export_->enter(piece);
  co_return true;
}

// Something that will come back. What is held until a stream is over does not, when the stream itself has nothing.
bool Connection::has_memory(const Transfer& transfer) const {
  const bool is_stream_without_pieces = transfer.has_begun && transfer.references == 1;
  return share_.bytes > 0 && !is_stream_without_pieces;
}

bool Connection::try_take(const Transfer& transfer, uint64_t bytes) {
  return server_.budget_.try_take(share_, bytes, has_memory(transfer));
}

// False: the connection was closed meanwhile.
Task<bool> Connection::take_memory(const Transfer& transfer, uint64_t bytes) {
  while (!is_closed_ && !try_take(transfer, bytes)) {
    if (has_memory(transfer)) {
      co_await server_.budget_.freed().wait();
    } else {
      co_await io::wait_until(server_.machine_, server_.budget_.freed(), server_.make_room());
    }
  }
  co_return !is_closed_;
}

bool Connection::has_client_left() const { return has_read_all_ || stream_->has_peer_left(); }

bool Connection::is_deaf() const { return has_client_left() && writing_since_.has_value(); }

std::optional<io::Instant> Connection::holds_up_since() const {
  return is_closed_ || share_.bytes == 0 ? std::nullopt : writing_since_;
}

void Connection::cut(std::string_view why) {
  server_.tell("an NBD client of " + export_->name() + " " + std::string(why) + ": it is disconnected");
  close();
}

// A read of which no further piece is made; nobody waits for it any more.
void Connection::give_up(Transfer& transfer) {
  transfer.error = Errno::io;
  if (transfer.read_reply != ReadReply::stream) return no_more_pieces(transfer);
  if (--transfer.unfinished == 0) end_stream(transfer);
}

void Connection::close() {
  is_closed_ = true;
  stream_->close();
  server_.budget_.freed().notify();
}

Task<void> Connection::start_read(Transfer& transfer) {
  const nbd::Request& request = transfer.request;
  transfer.read_reply = has_structured_replies_              ? ReadReply::chunks
                        : request.length <= whole_bytes_max_ ? ReadReply::whole
                                                             : ReadReply::stream;
  if (transfer.read_reply == ReadReply::stream) co_await stream_turn_.acquire();
  const bool is_whole = transfer.read_reply == ReadReply::whole;
  if (is_whole && !try_take(transfer, request.length) && !co_await take_memory(transfer, request.length)) {
    co_return give_up(transfer);
  }
  for (uint32_t done = 0; done < request.length;) {
    const uint32_t bytes = std::min(request.length - done, piece_bytes_max_);
    if (!piece_places_.try_acquire(1)) co_await piece_places_.acquire();
    if (!is_whole && !try_take(transfer, bytes) && !co_await take_memory(transfer, bytes)) {
      piece_places_.release(1);
      co_return give_up(transfer);
    }
    Piece& piece = new_piece(transfer);
    piece.budget = bytes;
    piece.prepare(xio::Op::read, request.offset + done, bytes, piece.own_buffer(bytes));
    if (transfer.read_reply != ReadReply::chunks) {
      (transfer.last != nullptr ? transfer.last->next_of_transfer : transfer.first) = &piece;
      transfer.last = &piece;
    }
    done += bytes;
    if (done == request.length) --transfer.unfinished;  // the reader's share: the last piece is to know that it is
    export_->enter(piece);
  }
}

// flush, trim, write zeroes: one piece without data.
Task<void> Connection::start_plain(Transfer& transfer) {
  if (!piece_places_.try_acquire(1)) co_await piece_places_.acquire();
  Piece& piece = new_piece(transfer);
  const nbd::Request& request = transfer.request;
  const xio::Op op = request.is(Command::flush)  ? xio::Op::flush
                     : request.is(Command::trim) ? xio::Op::discard
                                                 : xio::Op::write_zeroes;
  piece.prepare(op, request.offset, request.length, nullptr);
  piece.fua = op != xio::Op::flush && needs_fua(request);
  export_->enter(piece);
}

}  // namespace mars::nbd
