#include "bricks/client.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mars::bricks {
namespace {

uint32_t slot_of(uint64_t id) { return static_cast<uint32_t>(id); }

Error broken(const char* what) { return {Status::invalid, std::string("remote I/O: the server answered ") + what}; }

Error closed_here(bool is_replaced) {
  return {Status::stopped, is_replaced ? "remote I/O: the client goes on with another channel"
                                       : "remote I/O: the client was switched off"};
}

size_t answer_bytes(const xio::Request& request) {
  if (request.op != xio::Op::read) return 0;
  return request.digest_only ? remote_digest_bytes : request.bytes;
}

}  // namespace

Client::Client(Ready& ready, ClientOptions options)
    : Output(ready),
      Switch(ready),
      options_(options),
      info_{.atomic_bytes = 0, .bytes_max = 0, .flush = xio::Support::none, .fua = xio::Support::none},
      slots_(options.in_flight_max),
      work_(ready),
      changed_(ready),
      sender_(ready),
      scope_(ready) {
  CHECK(options.in_flight_max > 0 && options.in_flight_max <= remote_in_flight_max);
  for (uint32_t slot = options.in_flight_max; slot-- > 0;) free_.push_back(slot);
}

Client::~Client() { CHECK(is_idle()); }

void Client::use(std::unique_ptr<net::Channel> channel) {
  next_ = std::move(channel);
  look_again();
}

void Client::enter(xio::Request& request) {
  if (limit_ == 0 || !button()) return complete(request, Status::gone);
  if (Status status = check_bounds(request, info_); status != Status::ok) return complete(request, status);
  if (request.step == xio::Step::get) return complete(request, Status::ok);
  waiting_.push(request);
  if (may_send()) work_.notify();
}

void Client::on_button() {
  if (channel_ != nullptr) {
    const bool is_replaced = button() && next_ != nullptr;
    if (is_replaced || (!button() && (is_forced() || is_idle()))) channel_->close(closed_here(button()));
  } else if (button() && next_ != nullptr) {
    channel_ = std::move(next_);
    scope_.spawn(converse());
  }
  const Led resting = channel_ == nullptr && !button() ? Led::off : Led::dark;
  light(limit_ > 0 && button() ? Led::on : resting);
  changed_.notify();
}

Task<void> Client::converse() {
  Error why = co_await greet();
  if (why.status == Status::ok) {
    look_again();
    sender_.spawn(send_requests());
    why = co_await receive_answers();
  }
  if (!button() || next_ != nullptr) why = closed_here(button());
  limit_ = 0;
  channel_->close(why);
  ended_ = std::move(why);
  look_again();
  fail_all();
  work_.notify();
  co_await sender_.join();
  channel_.reset();
  look_again();
}

Task<Error> Client::greet() {
  net::Bytes hello = encode(RemoteHello{});
  const Status status = co_await channel_->send(std::move(hello));
  Result<net::Bytes> message = co_await channel_->receive();
  if (!message) co_return message.error();
  if (status != Status::ok) co_return Error(status);
  co_return accept(*message);
}

// The version needs no look: the decoder takes none that this program does not speak.
Error Client::accept(ByteView message) {
  Result<RemoteWelcome> welcome = decode_remote_welcome(message);
  if (!welcome) return welcome.error();
  if (channel_->message_bytes_max() < remote_message_bytes_max) {
    return {Status::invalid, "remote I/O: the server's window is smaller than one message"};
  }
  if (const char* what = was_welcome_ ? xio::stricter(info_, welcome->info) : nullptr) {
    return {Status::refused, "remote I/O: the device on the other host keeps less than it promised before: " +
                                 std::string(what) + "; wire a new client in place of this one"};
  }
  info_ = welcome->info;
  was_welcome_ = true;
  limit_ = std::min(options_.in_flight_max, welcome->in_flight_max);
  return Status::ok;
}

Task<void> Client::send_requests() {
  while (limit_ > 0) {
    if (!may_send()) {
      co_await work_.wait();
      continue;
    }
    // A request whose answer came, or whose channel ended, while this waits for credit, is not touched again.
    net::Bytes message = next_message();
    static_cast<void>(co_await channel_->send(std::move(message)));
  }
}

std::vector<std::byte> Client::next_message() {
  xio::Request& request = *waiting_.pop();
  const uint32_t number = free_.back();
  free_.pop_back();
  slots_[number] = {&request, ++requests_ << 32 | number};
  RemoteRequest remote{slots_[number].id,   request.op,     request.priority, request.fua,
                       request.digest_only, request.offset, request.bytes,    {}};
  if (request.op == xio::Op::write) remote.data = {request.data, request.bytes};
  return encode(remote);
}

Task<Error> Client::receive_answers() {
  while (true) {
    Result<net::Bytes> message = co_await channel_->receive();
    if (!message) co_return message.error();
    Error error = on_answer(*message);
    if (error.status != Status::ok) co_return error;
  }
}

Error Client::on_answer(ByteView message) {
  Result<RemoteAnswer> answer = decode_remote_answer(message);
  if (!answer) return answer.error();
  const uint32_t number = slot_of(answer->id);
  if (number >= slots_.size() || slots_[number].request == nullptr || slots_[number].id != answer->id) {
    return broken("what nobody asked");
  }
  xio::Request& request = *slots_[number].request;
  const size_t expected = answer->status == Status::ok ? answer_bytes(request) : 0;
  if (answer->data.size() != expected) return broken("with a wrong number of bytes");
  if (expected > 0 && request.digest_only) {
    Reader reader(answer->data);
    request.digest = read_hash(reader);
  } else if (expected > 0) {
    std::memcpy(request.data, answer->data.data(), expected);
  }
  finish(slots_[number], answer->status);
  return Status::ok;
}

void Client::finish(Slot& slot, Status status) {
  xio::Request& request = *std::exchange(slot.request, nullptr);
  free_.push_back(static_cast<uint32_t>(&slot - slots_.data()));
  complete(request, status);
  if (may_send()) work_.notify();
  if (!button()) look_again();
}

void Client::fail_all() {
  for (Slot& slot : slots_) {
    if (slot.request != nullptr) finish(slot, Status::gone);
  }
  while (xio::Request* request = waiting_.pop()) complete(*request, Status::gone);
}

}  // namespace mars::bricks
