#include "meta/exchange.h"

#include <iterator>
#include <utility>

#include "base/check.h"

namespace mars::meta {

namespace {

constexpr std::string_view message_magic = "MXG1";
constexpr uint16_t message_version = 1;
constexpr size_t message_header_bytes = 8;
constexpr io::Duration room_pause = std::chrono::seconds(2);

}  // namespace

Bytes Conversation::encode(Kind kind, const format::Delta& delta) {
  Bytes message;
  Writer writer(message);
  writer.text(message_magic);
  writer.u16(message_version);
  writer.u8(static_cast<uint8_t>(kind));
  writer.zeroes(1);
  Result<Bytes> body = format::encode_delta(delta);
  // Parts are a quarter of what a delta may have, registers are checked when they are taken in.
  CHECK(body.has_value());
  writer.bytes(*body);
  return message;
}

Result<Conversation::Message> Conversation::decode(const Bytes& bytes) {
  Reader reader(bytes);
  std::string_view magic = reader.text(message_magic.size());
  uint16_t version = reader.u16();
  uint8_t kind = reader.u8();
  reader.reserved(1);
  if (!reader.ok() || magic != message_magic) return failure(Status::invalid, "no message of the metadata exchange");
  if (version != message_version) {
    return failure(Status::unsupported, "the peer speaks another version of the metadata exchange");
  }
  if (kind < static_cast<uint8_t>(Kind::vector) || kind > static_cast<uint8_t>(Kind::snapshot_end)) {
    return failure(Status::invalid, "unknown message of the metadata exchange");
  }
  Result<format::Delta> delta = format::decode_delta(ByteView(bytes).subspan(message_header_bytes));
  if (!delta) return failure(delta.error());
  return Message{static_cast<Kind>(kind), std::move(*delta)};
}

void Conversation::set_needs_snapshot(bool needs) {
  if (needs == std::exchange(needs_snapshot_, needs)) return;
  needs ? registers_.add_witness(name_) : registers_.remove_witness();
}

Bytes Conversation::own_vector(Kind kind) const {
  format::Delta delta;
  delta.claimed = registers_.seen().claimed();
  return encode(kind, delta);
}

void Conversation::queue_news() {
  for (const format::Delta& part : registers_.newer_than(*peer_)) outgoing_.push_back(encode(Kind::delta, part));
  // The channel keeps order and loses nothing while it lives: what is queued counts as seen.
  peer_->raise(registers_.seen());
}

void Conversation::queue_snapshot() {
  std::vector<format::Delta> parts = registers_.newer_than({});
  for (const format::Delta& part : parts) {
    bool is_last = &part == &parts.back();
    outgoing_.push_back(encode(is_last ? Kind::snapshot_end : Kind::snapshot_part, part));
  }
}

std::optional<Bytes> Conversation::next_message() {
  // A host whose store was rolled back says what it has, so that it is found out, but publishes nothing (R3).
  if (told_ != registers_.merges()) {
    told_ = registers_.merges();
    outgoing_.push_back(own_vector(Kind::vector));
  }
  if ((needs_snapshot_ || (peer_ && registers_.may_ask_anybody())) && !has_asked_) {
    has_asked_ = true;
    outgoing_.push_back(own_vector(Kind::snapshot_request));
  }
  if (outgoing_.empty() && std::exchange(wants_snapshot_, false)) queue_snapshot();
  if (outgoing_.empty() && peer_ && !registers_.is_rolled_back() && !peer_->covers(registers_.seen())) queue_news();
  if (outgoing_.empty()) return std::nullopt;
  Bytes message = std::move(outgoing_.front());
  outgoing_.pop_front();
  return message;
}

bool Conversation::is_delta(const Bytes& message) {
  constexpr size_t kind_at = message_magic.size() + sizeof message_version;
  return message.size() > kind_at && message[kind_at] == static_cast<std::byte>(Kind::delta);
}

Task<Error> Conversation::on_message(Bytes bytes) {
  Result<Message> message = decode(bytes);
  if (!message) co_return message.error();
  VersionVector claimed = VersionVector::from(message->delta.claimed);
  if (!claimed.is_credible()) co_return Error(Status::invalid, "the peer names a life that no host can have come to");
  switch (message->kind) {
    case Kind::vector:
      peer_ = claimed;
      if (registers_.compare(claimed)) set_needs_snapshot(true);
      co_return Status::ok;
    case Kind::delta: {
      if (!peer_) co_return Error(Status::invalid, "the peer sent changes before its vector");
      if (registers_.compare(claimed)) set_needs_snapshot(true);
      peer_->raise(claimed);
      if (peer_->entries().size() > writers_max) co_return Error(Status::invalid, "the peer names too many writers");
      Status status = co_await registers_.apply(std::move(message->delta));
      co_return status;
    }
    case Kind::snapshot_request:
      wants_snapshot_ = true;
      co_return Status::ok;
    case Kind::snapshot_part:
    case Kind::snapshot_end:
      break;
  }
  bool is_last = message->kind == Kind::snapshot_end;
  co_return co_await on_snapshot(std::move(message->delta), is_last);
}

Task<Error> Conversation::on_snapshot(format::Delta part, bool is_last) {
  if (!has_asked_) co_return Error(Status::invalid, "the peer sent a snapshot that nobody asked for");
  for (const Register& value : part.registers) snapshot_bytes_ += format::encoded_bytes(value);
  if (snapshot_bytes_ > snapshot_bytes_max) co_return Error(Status::no_space, "the peer's snapshot is too large");
  std::move(part.registers.begin(), part.registers.end(), std::back_inserter(snapshot_.registers));
  if (!is_last) co_return Status::ok;
  snapshot_.claimed = std::move(part.claimed);
  format::Delta snapshot = std::move(snapshot_);
  snapshot_ = {};
  snapshot_bytes_ = 0;
  Status status = co_await registers_.merge(std::move(snapshot));
  set_needs_snapshot(false);
  has_asked_ = false;
  co_return status;
}

namespace {

class Exchange {
 public:
  Exchange(Registers& registers, net::Channel& channel)
      : registers_(registers),
        channel_(channel),
        conversation_(registers, channel.peer()),
        scope_(registers.changed().ready()) {}

  Task<void> run() {
    scope_.spawn(send_loop());
    for (;;) {
      Result<Bytes> message = co_await channel_.receive();
      if (!message) break;
      Error error = co_await conversation_.on_message(*message);
      // A disk that is full now may have room later; the peer would not say it again.
      while (error.status == Status::no_space && Conversation::is_delta(*message) && channel_.is_open()) {
        co_await registers_.pause(room_pause);
        error = co_await conversation_.on_message(*message);
      }
      if (error.status != Status::ok) {
        channel_.close(error);
        break;
      }
      registers_.changed().notify();
    }
    is_over_ = true;
    channel_.close();
    registers_.changed().notify();
    co_await scope_.join();
  }

 private:
  Task<void> send_loop() {
    while (!is_over_) {
      while (std::optional<Bytes> message = conversation_.next_message()) {
        Status status = co_await channel_.send(std::move(*message));
        if (status != Status::ok) co_return;
      }
      if (is_over_) break;
      co_await registers_.changed().wait();
    }
  }

  Registers& registers_;
  net::Channel& channel_;
  Conversation conversation_;
  bool is_over_ = false;
  Scope scope_;
};

}  // namespace

Task<void> exchange(Registers& registers, std::unique_ptr<net::Channel> channel) {
  Exchange exchange(registers, *channel);
  co_await exchange.run();
}

}  // namespace mars::meta
