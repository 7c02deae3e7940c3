#include "bricks/server.h"

#include <algorithm>
#include <utility>

namespace mars::bricks {
namespace {

Error switched_off() { return {Status::stopped, "remote I/O: the server was switched off"}; }

}  // namespace

size_t Server::Child::data_bytes() const {
  if (op != xio::Op::read || status != Status::ok) return 0;
  return digest_only ? remote_digest_bytes : bytes;
}

Server::Server(Ready& ready, xio::Output& below, std::unique_ptr<net::Channel> channel, ServerOptions options)
    : Switch(ready),
      options_(options),
      channel_(std::move(channel)),
      children_(options.in_flight_max),
      memory_(ready, options.memory_bytes),
      work_(ready),
      changed_(ready),
      answerer_(ready),
      scope_(ready),
      below_(xio::On<&Server::left>{}, this, nullptr, below) {
  CHECK(options.in_flight_max > 0 && options.in_flight_max <= remote_in_flight_max);
  CHECK(options.memory_bytes >= 2 * remote_message_bytes_max);
}

Server::~Server() { CHECK(in_flight() == 0); }

Task<Error> Server::serve() {
  press(true);
  while (!has_ended_ || !led_off()) co_await changed_.wait();
  co_return ended_;
}

void Server::on_button() {
  if (button() && !is_begun_) {
    is_begun_ = true;
    scope_.spawn(converse());
  }
  if (!button() && channel_ != nullptr && (is_forced() || in_flight() == 0)) {
    channel_->close(switched_off());
    if (!std::exchange(is_begun_, true)) {
      has_ended_ = true;
      ended_ = switched_off();
    }
  }
  if (is_forced()) below_.turn_away(Status::gone);
  const bool is_running = scope_.count() > 0;
  light(is_running ? (is_serving_ && button() ? Led::on : Led::dark) : Led::off);
  changed_.notify();
}

// The answers' activity outlives the channel until everything has come back from below: children are never given up.
Task<void> Server::converse() {
  Error why = co_await greet();
  if (why.status == Status::ok) {
    is_serving_ = true;
    look_again();
    answerer_.spawn(send_answers());
    why = co_await receive_requests();
  }
  if (!button()) why = switched_off();
  is_serving_ = false;
  has_ended_ = true;
  channel_->close(why);
  ended_ = std::move(why);
  work_.notify();
  co_await answerer_.join();
  channel_.reset();
  look_again();
}

Task<Error> Server::greet() {
  Result<net::Bytes> message = co_await channel_->receive();
  if (!message) co_return message.error();
  Result<RemoteHello> hello = decode_remote_hello(*message);
  if (!hello) co_return hello.error();
  Result<uint16_t> version = agreed_version(*hello);
  if (!version) co_return version.error();
  if (channel_->message_bytes_max() < remote_message_bytes_max) {
    co_return Error(Status::invalid, "remote I/O: the client's window is smaller than one message");
  }
  RemoteWelcome welcome{*version, below_.info(), options_.in_flight_max};
  xio::Info& info = welcome.info;
  info.bytes_max = std::min(info.bytes_max, remote_data_bytes_max) / info.block_bytes * info.block_bytes;
  if (info.bytes_max == 0) co_return Error(Status::unsupported, "remote I/O: the blocks of this device are too large");
  net::Bytes answer = encode(welcome);
  const Status status = co_await channel_->send(std::move(answer));
  co_return Error(status);
}

Task<Error> Server::receive_requests() {
  while (true) {
    Result<net::Bytes> message = co_await channel_->receive();
    if (!message) co_return message.error();
    if (!button()) continue;
    net::Bytes bytes = std::move(*message);
    Error error = co_await take(std::move(bytes));
    if (error.status != Status::ok) co_return error;
  }
}

Task<Error> Server::take(net::Bytes message) {
  Result<RemoteRequest> remote = decode_remote_request(message);
  if (!remote) co_return remote.error();
  if (children_.free() == 0) {
    co_return Error(Status::invalid, "remote I/O: the client sent more than the agreed " +
                                         std::to_string(children_.size()) + " requests at a time");
  }
  const bool brings_data = remote->op == xio::Op::read && !remote->digest_only;
  const uint64_t answer_bytes = remote_answer_head_bytes + (brings_data ? remote->bytes : remote_digest_bytes);
  const uint64_t cost = std::max<uint64_t>(message.size(), answer_bytes);
  co_await memory_.acquire(cost);
  start(*remote, std::move(message), cost);
  co_return Error(Status::ok);
}

// The data stay where they were received, and are read to where they will be sent from.
void Server::start(const RemoteRequest& remote, net::Bytes message, uint64_t cost) {
  Child& child = *children_.try_take();
  child.id = remote.id;
  child.cost = cost;
  child.message = std::move(message);
  std::byte* data = remote.op == xio::Op::write ? child.message.data() + remote_request_head_bytes : nullptr;
  if (remote.op == xio::Op::read) {
    child.message.assign(remote_answer_head_bytes + (remote.digest_only ? 0 : remote.bytes), std::byte{0});
    if (!remote.digest_only) data = child.message.data() + remote_answer_head_bytes;
  }
  child.prepare(remote.op, remote.offset, remote.bytes, data);
  child.priority = remote.priority;
  child.digest_only = remote.digest_only;
  const xio::Info info = below_.info();
  const bool hardens = options_.acknowledges_durable && child.changes() && info.fua != xio::Support::none;
  child.fua = remote.fua || hardens;
  child.status = check_bounds(child, info);
  if (child.status == Status::ok) return below_.enter(child);
  left(child);
}

void Server::left(xio::Request& request) {
  done_.push(request);
  work_.notify();
}

Task<void> Server::send_answers() {
  while (true) {
    if (xio::Request* request = done_.pop()) {
      Child& child = static_cast<Child&>(*request);
      net::Bytes message = answer_of(child);
      const Status status = co_await channel_->send(std::move(message));
      if (status == Status::ok) ++served_;
      release(child);
    } else if (has_ended_ && in_flight() == 0) {
      break;
    } else {
      co_await work_.wait();
    }
  }
}

net::Bytes Server::answer_of(Child& child) {
  const size_t data_bytes = child.data_bytes();
  if (data_bytes > 0 && !child.digest_only) {
    const ByteSpan head = ByteSpan(child.message).first(remote_answer_head_bytes);
    encode_answer_head(head, child.id, child.status, static_cast<uint32_t>(data_bytes));
    return std::move(child.message);
  }
  RemoteAnswer answer{child.id, child.status, {}};
  std::byte digest[remote_digest_bytes];
  if (data_bytes > 0) {
    Writer writer(digest);
    write_hash(writer, child.digest);
    answer.data = digest;
  }
  return encode(answer);
}

void Server::release(Child& child) {
  child.message = {};
  memory_.release(child.cost);
  children_.give_back(child);
  if (!button()) look_again();
}

}  // namespace mars::bricks
