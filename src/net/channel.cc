#include "net/channel.h"

#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "net/session.h"

namespace mars::net {

Channel::Channel(Session* session, Ready& ready, uint32_t id, ServiceId service, const Uuid& peer, uint32_t window)
    : session_(session),
      id_(id),
      service_(service),
      peer_(peer),
      window_(window),
      arrived_(ready),
      turn_(ready, 1),
      granted_(ready) {}

Channel::~Channel() {
  CHECK(!receiving_);
  close();
}

Task<Result<Bytes>> Channel::receive() {
  CHECK(!receiving_);
  while (messages_.empty()) {
    if (session_ == nullptr) co_return failure(reason_);
    receiving_ = true;
    co_await arrived_.wait();
    receiving_ = false;
  }
  co_return take_message();
}

std::optional<Bytes> Channel::try_receive() {
  if (messages_.empty()) return std::nullopt;
  return take_message();
}

// Credit goes back in quarters of the window, and all of it when nothing is left to read: so a message as large as the
// window always gets through.
Bytes Channel::take_message() {
  Bytes message = std::move(messages_.front());
  messages_.pop_front();
  const uint64_t cost = message_cost(message.size());
  hold(held_cost_ - cost);
  owed_ += cost;
  if (session_ != nullptr && (messages_.empty() || owed_ >= window_ / 4)) {
    session_->grant(*this, static_cast<uint32_t>(std::exchange(owed_, 0)));
  }
  return message;
}

Task<Status> Channel::send(Bytes message) {
  co_await turn_.acquire();
  // Credit first: who waits for that holds up nobody else in the session.
  Status status = Status::ok;
  while (session_ != nullptr && status == Status::ok && !has_credit(message.size())) {
    if (peer_window_ > 0 && message_cost(message.size()) > peer_window_) {
      status = Status::invalid;
    } else {
      co_await granted_.wait();
    }
  }
  while (session_ != nullptr && status == Status::ok && !session_->has_room(*this, message.size())) {
    session_->queue_for_room(*this, message.size());
    co_await granted_.wait();
  }
  if (session_ == nullptr) {
    status = Status::gone;
  } else if (status == Status::ok) {
    hand_over(std::move(message));
  }
  turn_.release(1);
  co_return status;
}

bool Channel::try_send(Bytes& message) {
  if (session_ == nullptr || !has_credit(message.size()) || !session_->has_room(*this, message.size())) return false;
  if (!turn_.try_acquire(1)) return false;
  hand_over(std::move(message));
  turn_.release(1);
  return true;
}

void Channel::hand_over(Bytes message) {
  unlink();
  credit_ -= message_cost(message.size());
  session_->send_message(*this, std::move(message));
}

size_t Channel::message_bytes_max() const {
  return peer_window_ > message_cost(0) ? static_cast<size_t>(peer_window_ - message_cost(0)) : 0;
}

void Channel::close(Error reason) {
  const Error why = std::move(reason);  // it may be part of what this channel forgets
  unlink();
  hold(0);
  if (session_ != nullptr) std::exchange(session_, nullptr)->close_channel(*this, why);
  messages_.clear();
  partial_ = {};
  reason_ = Status::gone;
  arrived_.notify();
  granted_.notify();
}

void Channel::hold(uint64_t cost) {
  if (session_ != nullptr) session_->note_held(*this, held_cost_, cost);
  held_cost_ = cost;
}

bool Channel::on_granted(uint32_t bytes) {
  if (peer_window_ == 0) {
    if (bytes < window_min || bytes > window_max) return false;
    peer_window_ = bytes;
  }
  if (credit_ + bytes > peer_window_) return false;
  credit_ += bytes;
  granted_.notify();
  return true;
}

bool Channel::on_fragment(ByteView payload) {
  if (partial_missing_ == 0) {
    Reader reader(payload);
    const uint32_t total = reader.u32();
    if (!reader.ok() || held_cost_ + owed_ + message_cost(total) > window_) return false;
    hold(held_cost_ + message_cost(total));
    partial_.reserve(total);
    partial_missing_ = total;
    payload = payload.subspan(reader.position());
    if (payload.empty() && total > 0) return false;
  } else if (payload.empty()) {
    return false;
  }
  if (payload.size() > partial_missing_) return false;
  partial_.insert(partial_.end(), payload.begin(), payload.end());
  partial_missing_ -= payload.size();
  if (partial_missing_ > 0) return true;
  messages_.push_back(std::exchange(partial_, {}));
  arrived_.notify();
  return true;
}

void Channel::on_end(Error reason) {
  unlink();
  if (session_ != nullptr) session_->note_held(*this, held_cost_, 0);
  session_ = nullptr;
  reason_ = std::move(reason);
  if (partial_missing_ > 0) held_cost_ -= message_cost(partial_.size() + partial_missing_);
  partial_missing_ = 0;
  partial_ = {};
  arrived_.notify();
  granted_.notify();
}

}  // namespace mars::net
