#include "net/handshake.h"

#include <utility>

#include "base/check.h"
#include "io/timer.h"

namespace mars::net {
namespace {

using format::FrameType;

constexpr uint32_t hello_bytes_max = 4096;

// Closes the stream at the limit, so that whatever is pending on it ends.
class Deadline {
 public:
  Deadline(io::Machine& machine, io::Stream& stream, io::Duration limit)
      : stream_(stream), timer_(machine, [](void* self) { static_cast<Deadline*>(self)->expire(); }, this) {
    timer_.arm_in(limit);
  }
  bool has_expired() const { return has_expired_; }

 private:
  void expire() {
    has_expired_ = true;
    stream_.close();
  }
  io::Stream& stream_;
  io::Timer timer_;
  bool has_expired_ = false;
};

Task<Status> write_frame(io::Stream& stream, uint16_t version, FrameType type, Bytes payload) {
  auto head =
      format::encode_frame_header({.version = version, .type = type, .length = static_cast<uint32_t>(payload.size())});
  const io::Buffer buffers[] = {{head.data(), head.size()}, {payload.data(), payload.size()}};
  co_return co_await stream.write({buffers, payload.empty() ? size_t{1} : size_t{2}});
}

// The text is for the other side, the answer for this one. What the other side still sends is read: closed with bytes
// unread, a connection is reset, and the text might be lost.
Task<Error> turn_away(Contact& contact, Error why) {
  Bytes farewell = format::encode(format::Farewell{why.status, why.text});
  const Status status = co_await write_frame(*contact.stream, 1, FrameType::refusal, std::move(farewell));
  if (status == Status::ok) co_await contact.reader->drain();
  co_return why;
}

Error lost(Status status) {
  return {status == Status::end ? Status::gone : status, "the peer closed the connection during the handshake"};
}

// One frame of this type, or what the peer says instead.
Task<Error> expect(Contact& contact, FrameType type, uint32_t payload_max, Bytes& payload) {
  Result<Frame> frame = co_await contact.reader->next(payload_max);
  if (!frame) {
    const Status status = frame.error().status;
    if (status == Status::invalid || status == Status::unsupported) {
      co_return co_await turn_away(contact, frame.error());
    }
    co_return lost(status);
  }
  if (frame->header.type == FrameType::refusal) {
    Result<format::Farewell> farewell = format::decode_farewell(frame->payload);
    if (!farewell) co_return farewell.error();
    if (farewell->status == Status::ok) co_return Error(Status::invalid, "the peer refuses without a reason");
    co_return Error(farewell->status, "the peer says: " + farewell->text);
  }
  if (frame->header.type != type || frame->header.channel != 0) {
    Error error(Status::invalid, "an unexpected frame of type " + std::string(name(frame->header.type)));
    co_return co_await turn_away(contact, std::move(error));
  }
  payload.assign(frame->payload.begin(), frame->payload.end());
  co_return Status::ok;
}

Error judge(const Contact& contact, const Introduction& mine) {
  const format::Hello& hello = contact.hello;
  if (hello.cluster != mine.hello.cluster) {
    return {Status::refused, "host " + hello.host_name + " is of cluster " + short_text(hello.cluster) +
                                 ", this host is of cluster " + short_text(mine.hello.cluster)};
  }
  if (hello.host == mine.hello.host) return {Status::refused, "that is this host itself"};
  if (hello.role == format::PeerRole::client) return {Status::permission, "no service for clients at this port"};
  if (mine.side == io::Side::client && hello.role != format::PeerRole::host) {
    return {Status::permission, "the host that was called is no member"};
  }
  if (hello.role == format::PeerRole::joiner) return Status::ok;
  if (!contact.identity.is_authenticated) return {Status::permission, "a host without a certificate"};
  if (contact.identity.uri != host_uri(hello.cluster, hello.host)) {
    return {Status::permission,
            "the certificate is that of " + contact.identity.uri + ", the hello that of host " + to_string(hello.host)};
  }
  return Status::ok;
}

// Reads the peer's hello and decides; what is refused is told.
Task<Error> meet(Contact& contact, const Introduction& mine, Doorkeeper& doorkeeper) {
  Bytes payload;
  Error error = co_await expect(contact, FrameType::hello, hello_bytes_max, payload);
  if (error.status != Status::ok) co_return error;
  Result<format::Hello> hello = format::decode_hello(payload);
  if (!hello) co_return co_await turn_away(contact, hello.error());
  contact.hello = std::move(*hello);
  Result<uint16_t> version = format::agreed_version(contact.hello);
  if (!version) co_return co_await turn_away(contact, version.error());
  contact.version = *version;
  contact.reader->agree(*version);
  error = judge(contact, mine);
  if (error.status == Status::ok) error = doorkeeper.admit(contact.identity, contact.hello);
  if (error.status != Status::ok) co_return co_await turn_away(contact, std::move(error));
  co_return Status::ok;
}

Task<Error> say_hello(Contact& contact, const Introduction& mine) {
  const Status status = co_await write_frame(*contact.stream, 1, FrameType::hello, format::encode(mine.hello));
  co_return status == Status::ok ? Error(Status::ok) : lost(status);
}

Task<Error> exchange_extra(Contact& contact, const Introduction& mine, Doorkeeper& doorkeeper) {
  if (mine.hello.role != format::PeerRole::host || contact.hello.role != format::PeerRole::host) co_return Status::ok;
  Bytes extra = doorkeeper.extra();
  CHECK(extra.size() <= hello_extra_bytes_max);
  const Status status = co_await write_frame(*contact.stream, contact.version, FrameType::data, std::move(extra));
  if (status != Status::ok) co_return lost(status);
  co_return co_await expect(contact, FrameType::data, hello_extra_bytes_max, contact.extra);
}

Task<Error> shake(Contact& contact, const Introduction& mine, Doorkeeper& doorkeeper) {
  Result<io::PeerIdentity> identity = co_await contact.stream->secure(mine.tls, mine.side);
  if (!identity) co_return Error(identity.error().status, "no secure connection: " + identity.error().text);
  contact.identity = std::move(*identity);
  Error error = Status::ok;
  if (mine.side == io::Side::client) {
    error = doorkeeper.proceed(contact.identity);
    if (error.status != Status::ok) co_return co_await turn_away(contact, std::move(error));
    error = co_await say_hello(contact, mine);
    if (error.status == Status::ok) error = co_await meet(contact, mine, doorkeeper);
  } else {
    error = co_await meet(contact, mine, doorkeeper);
    if (error.status == Status::ok) error = co_await say_hello(contact, mine);
  }
  if (error.status == Status::ok) error = co_await exchange_extra(contact, mine, doorkeeper);
  co_return error;
}

}  // namespace

std::string host_uri(const Uuid& cluster, const Uuid& host) {
  return "mars:" + to_string(cluster) + "/host/" + to_string(host);
}

Task<Result<Contact>> shake_hands(io::Machine& machine, std::unique_ptr<io::Stream> stream, const Introduction& mine,
                                  Doorkeeper& doorkeeper, io::Duration limit) {
  Contact contact;
  contact.reader = std::make_unique<FrameReader>(*stream);
  contact.stream = std::move(stream);
  contact.side = mine.side;
  Deadline deadline(machine, *contact.stream, limit);
  Error error = co_await shake(contact, mine, doorkeeper);
  if (error.status == Status::gone && deadline.has_expired()) {
    error = {Status::timed_out, "the handshake took too long"};
  }
  if (error.status == Status::ok) co_return std::move(contact);
  contact.stream->close();
  co_return failure(std::move(error));
}

}  // namespace mars::net
