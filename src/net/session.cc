#include "net/session.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace mars::net {
namespace {

using format::FrameType;

// A peer that makes us answer and does not read the answers is cut off here.
constexpr size_t control_bytes_max = 1u << 20;
constexpr uint32_t data_payload_max = fragment_bytes_max;
constexpr uint32_t open_head_bytes = 8;

Error broken(std::string what) { return {Status::invalid, "the peer broke the protocol: " + std::move(what)}; }

Bytes encode_open(ServiceId service, uint32_t window, ByteView opening) {
  Bytes payload;
  payload.reserve(open_head_bytes + opening.size());
  Writer writer(payload);
  writer.u16(service);
  writer.u16(0);
  writer.u32(window);
  writer.bytes(opening);
  return payload;
}

Bytes encode_u32(uint32_t value) {
  Bytes payload(4);
  store_u32(payload.data(), value);
  return payload;
}

Bytes encode_reason(const Error& reason) { return format::encode(format::Farewell{reason.status, reason.text}); }

Uuid peer_of(const Contact& contact) {
  return contact.hello.role == format::PeerRole::host && contact.identity.is_authenticated ? contact.hello.host
                                                                                           : Uuid{};
}

// The two sides number their channels apart: what the dialler opens is odd.
bool is_odd(uint32_t id) { return id % 2 == 1; }

}  // namespace

Session::Session(io::Machine& machine, const SessionTimes& times, Services& services, Scope& handlers, Contact contact)
    : machine_(machine),
      times_(times),
      services_(services),
      handlers_(handlers),
      contact_(std::move(contact)),
      peer_(peer_of(contact_)),
      scope_(machine.ready()),
      outbox_(contact_.version),
      work_(machine.ready()),
      closed_(machine.ready()),
      tick_(
          machine, [](void* self) { static_cast<Session*>(self)->tick(); }, this),
      next_id_(is_dialled_here() ? 1 : 2),
      began_(machine.now()),
      last_heard_(began_),
      last_ping_(last_heard_),
      bytes_received_(contact_.reader->bytes_read()) {}

Session::~Session() { close({Status::gone, "the session was thrown away"}); }

Task<Error> Session::run() {
  scope_.spawn(read_loop());
  scope_.spawn(write_loop());
  if (is_open()) tick_.arm_at(last_ping_ + times_.keep_alive);
  co_await closed_.wait();
  co_return reason_;
}

Task<void> Session::finish() {
  co_await scope_.join();
  tick_.cancel();
}

void Session::close(Error reason) {
  if (closed_.is_set()) return;
  reason_ = std::move(reason);
  closed_.set();
  for (auto& [id, lane] : lanes_) {
    outbox_.drop(*lane);
    if (lane->channel == nullptr) continue;
    Error why(Status::gone, "the session ended: " + reason_.text);
    std::exchange(lane->channel, nullptr)->on_end(std::move(why));
  }
  outbox_.add_control(FrameType::refusal, 0, encode_reason(reason_));
  work_.notify();
  tick_.arm_in(times_.farewell);
}

void Session::tick() {
  if (!is_open()) return contact_.stream->close();
  const io::Instant now = machine_.now();
  if (bytes_received_ != contact_.reader->bytes_read()) {
    bytes_received_ = contact_.reader->bytes_read();
    last_heard_ = now;
  }
  if (now - last_heard_ >= times_.silent_after) {
    lingers_ = false;
    return close({Status::timed_out, "the peer does not answer: nothing was heard for " +
                                         std::to_string(times_.silent_after / std::chrono::milliseconds(1)) + " ms"});
  }
  if (now - last_ping_ >= times_.keep_alive) {
    last_ping_ = now;
    Bytes payload(8);
    store_u64(payload.data(), static_cast<uint64_t>(now.count()));
    outbox_.add_control(FrameType::ping, 0, std::move(payload));
    work_.notify();
  }
  tick_.arm_at(std::min(last_ping_ + times_.keep_alive, last_heard_ + times_.silent_after));
}

Task<void> Session::write_loop() {
  std::vector<uint32_t> drained;
  while (true) {
    if (outbox_.empty()) {
      if (!is_open()) break;
      co_await work_.wait();
      continue;
    }
    drained.clear();
    const Outbox::Burst& burst = outbox_.take(drained);
    offer_room();
    const Status status = co_await contact_.stream->write(burst.buffers);
    if (status != Status::ok) {
      lingers_ = false;
      close({status, "the connection broke while sending"});
      break;
    }
    for (uint32_t id : drained) retire_if_done(id);
  }
  if (!lingers_) contact_.stream->close();
}

Task<void> Session::read_loop() {
  while (is_open()) {
    Result<Frame> frame =
        co_await contact_.reader->next(std::max(data_payload_max, open_head_bytes + opening_bytes_max));
    if (!is_open()) break;
    if (!frame) {
      on_unreadable(frame.error());
      break;
    }
    last_heard_ = machine_.now();
    bytes_received_ = contact_.reader->bytes_read();
    Error error = dispatch(*frame);
    if (error.status == Status::ok && outbox_.control_bytes() > control_bytes_max) {
      error = {Status::gone, "the peer does not read what it asked for"};
    }
    if (error.status != Status::ok) close(std::move(error));
  }
  // Closed with bytes unread, a connection is reset, and the peer might never see our reason.
  if (lingers_) co_await contact_.reader->drain();
  contact_.stream->close();
}

void Session::on_unreadable(const Error& error) {
  if (error.status == Status::invalid || error.status == Status::unsupported) return close(broken(error.text));
  lingers_ = false;
  close({Status::gone, error.status == Status::end ? "the peer closed the connection" : "the connection broke"});
}

// Anything but ok ends the session.
Error Session::dispatch(const Frame& frame) {
  switch (frame.header.type) {
    case FrameType::ping:
      if (frame.payload.size() > 16) return broken("a long keep-alive");
      outbox_.add_control(FrameType::pong, 0, Bytes(frame.payload.begin(), frame.payload.end()));
      work_.notify();
      return Status::ok;
    case FrameType::pong:
      return on_pong(frame);
    case FrameType::refusal: {
      Result<format::Farewell> farewell = format::decode_farewell(frame.payload);
      if (!farewell) return broken("a refusal that cannot be read");
      lingers_ = false;
      return {Status::gone, "closed by the peer: " + farewell->text};
    }
    case FrameType::open:
      return on_open(frame);
    case FrameType::data:
    case FrameType::credit:
    case FrameType::close:
      return on_channel_frame(frame);
    case FrameType::hello:
      break;
  }
  return broken("an unexpected frame of type " + std::string(format::name(frame.header.type)));
}

Error Session::on_pong(const Frame& frame) {
  if (frame.payload.size() != 8) return broken("a keep-alive's answer of a wrong size");
  if (load_u64(frame.payload.data()) == static_cast<uint64_t>(last_ping_.count())) {
    round_trip_ = machine_.now() - last_ping_;
  }
  return Status::ok;
}

Error Session::on_open(const Frame& frame) {
  const uint32_t id = frame.header.channel;
  if (id == 0 || is_odd(id) == is_dialled_here() || id <= peer_last_id_) return broken("a channel number out of order");
  if (opened_there_ >= channels_max) return broken("too many channels");
  Reader reader(frame.payload);
  const ServiceId service_id = reader.u16();
  reader.reserved(2);
  const uint32_t window = reader.u32();
  ByteView opening = reader.bytes(reader.rest());
  if (!reader.ok() || window < window_min || window > window_max || opening.size() > opening_bytes_max) {
    return broken("a malformed opening of a channel");
  }
  peer_last_id_ = id;
  ++opened_there_;
  Lane& lane = *lanes_.emplace(id, std::make_unique<Lane>(id)).first->second;
  Services::Service* service = services_.find(service_id);
  if (peer_.is_nil() && service_id != join_service) {
    return refuse_channel(lane, {Status::permission, "a host that is no member may only join"});
  }
  if (service == nullptr) {
    return refuse_channel(lane, {Status::unsupported, "service " + std::to_string(service_id) + " is unknown here"});
  }
  std::unique_ptr<Channel> channel(new Channel(this, machine_.ready(), id, service_id, peer_, service->window));
  lane.channel = channel.get();
  CHECK(channel->on_granted(window));
  grant(*channel, service->window);
  handlers_.spawn(service->handler(std::move(channel), Bytes(opening.begin(), opening.end())));
  return Status::ok;
}

Error Session::refuse_channel(Lane& lane, const Error& why) {
  outbox_.add(lane, FrameType::close, encode_reason(why));
  work_.notify();
  return Status::ok;
}

Error Session::on_channel_frame(const Frame& frame) {
  auto found = lanes_.find(frame.header.channel);
  if (found == lanes_.end() || found->second->peer_closed) return broken("a frame for a channel that is not open");
  Lane& lane = *found->second;
  if (frame.header.type == FrameType::close) {
    Result<format::Farewell> farewell = format::decode_farewell(frame.payload);
    if (!farewell) return broken("a close that cannot be read");
    on_close(lane, *farewell);
    return Status::ok;
  }
  if (frame.header.type == FrameType::data) {
    const bool is_right = lane.channel == nullptr || lane.channel->on_fragment(frame.payload);
    if (!is_right) return broken("data beyond its credit");
    return unread_bytes_ <= unread_bytes_max ? Error(Status::ok) : broken("more data than anybody reads");
  }
  if (frame.payload.size() != 4) return broken("credit of a wrong size");
  const bool is_right = lane.channel == nullptr || lane.channel->on_granted(load_u32(frame.payload.data()));
  return is_right ? Error(Status::ok) : broken("credit beyond its window");
}

// The peer neither sends nor reads on it any more: our own close is all that is left to say.
void Session::on_close(Lane& lane, const format::Farewell& farewell) {
  lane.peer_closed = true;
  if (lane.channel != nullptr) {
    Error reason = farewell.status == Status::ok ? Error(Status::end, "the peer closed the channel")
                                                 : Error(farewell.status, farewell.text);
    std::exchange(lane.channel, nullptr)->on_end(std::move(reason));
    outbox_.cut(lane);
    offer_room();
    outbox_.add(lane, FrameType::close, encode_reason(Status::ok));
    work_.notify();
  }
  retire_if_done(lane.id());
}

void Session::retire_if_done(uint32_t id) {
  auto found = lanes_.find(id);
  if (found == lanes_.end()) return;
  const Lane& lane = *found->second;
  if (lane.channel != nullptr || !lane.peer_closed || !lane.empty()) return;
  --(is_odd(id) == is_dialled_here() ? opened_here_ : opened_there_);
  lanes_.erase(found);
}

std::unique_ptr<Channel> Session::open(ServiceId service, Bytes opening, uint32_t window) {
  CHECK(opening.size() <= opening_bytes_max && window >= window_min && window <= window_max);
  const bool is_possible = is_open() && opened_here_ < channels_max && next_id_ < UINT32_MAX - 2;
  if (!is_possible) {
    std::unique_ptr<Channel> channel(new Channel(nullptr, machine_.ready(), 0, service, peer_, window));
    channel->on_end(is_open() ? Error(Status::no_space, "too many channels in this session")
                              : Error(Status::gone, "the session ended: " + reason_.text));
    return channel;
  }
  const uint32_t id = std::exchange(next_id_, next_id_ + 2);
  ++opened_here_;
  Lane& lane = *lanes_.emplace(id, std::make_unique<Lane>(id)).first->second;
  std::unique_ptr<Channel> channel(new Channel(this, machine_.ready(), id, service, peer_, window));
  lane.channel = channel.get();
  outbox_.add(lane, FrameType::open, encode_open(service, window, opening));
  work_.notify();
  return channel;
}

bool Session::has_room(const Channel& channel, size_t bytes) {
  const bool is_small = bytes <= Outbox::small_bytes;
  if ((is_small ? outbox_.small_message_bytes() : outbox_.bulky_message_bytes()) >= outbox_bytes_max) return false;
  List<Channel>& queue = is_small ? await_room_small_ : await_room_;
  return queue.empty() || &queue.front() == &channel;
}

void Session::queue_for_room(Channel& channel, size_t bytes) {
  if (channel.is_linked()) return;
  (bytes <= Outbox::small_bytes ? await_room_small_ : await_room_).push_back(channel);
}

// The first of each queue looks whether it is enough, and calls the next one when it is gone from there.
void Session::offer_room() {
  if (!await_room_.empty() && outbox_.bulky_message_bytes() < outbox_bytes_max) await_room_.front().granted_.notify();
  if (!await_room_small_.empty()) await_room_small_.front().granted_.notify();
}

void Session::send_message(Channel& channel, Bytes message) {
  outbox_.add_message(*lanes_.at(channel.id_), std::move(message));
  offer_room();
  work_.notify();
}

void Session::note_held(const Channel& channel, uint64_t before, uint64_t now) {
  if (is_odd(channel.id_) != is_dialled_here()) unread_bytes_ += now - before;
}

void Session::grant(Channel& channel, uint32_t bytes) {
  outbox_.add_control(FrameType::credit, channel.id_, encode_u32(bytes));
  work_.notify();
}

void Session::close_channel(Channel& channel, const Error& reason) {
  Lane& lane = *lanes_.at(channel.id_);
  lane.channel = nullptr;
  outbox_.add(lane, FrameType::close, encode_reason(reason));
  offer_room();
  work_.notify();
}

}  // namespace mars::net
