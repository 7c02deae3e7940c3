#include "net/outbox.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace mars::net {
namespace {

constexpr size_t buffers_max = 128;
constexpr size_t length_prefix_bytes = 4;

}  // namespace

void Outbox::add_control(format::FrameType type, uint32_t channel, Bytes payload) {
  const auto head = format::encode_frame_header(
      {.version = version_, .type = type, .channel = channel, .length = static_cast<uint32_t>(payload.size())});
  Bytes frame;
  frame.reserve(head.size() + payload.size());
  frame.insert(frame.end(), head.begin(), head.end());
  frame.insert(frame.end(), payload.begin(), payload.end());
  control_bytes_ += frame.size();
  control_.push_back(std::move(frame));
}

void Outbox::add(Lane& lane, format::FrameType type, Bytes payload) {
  const bool was_empty = lane.frames_.empty();
  lane.frames_.push_back({type, std::move(payload)});
  if (was_empty) queue(lane);
}

void Outbox::add_message(Lane& lane, Bytes message) {
  messages_of(message.size()) += message_cost(message.size());
  add(lane, format::FrameType::data, std::move(message));
}

void Outbox::cut(Lane& lane) {
  const size_t begun = !lane.frames_.empty() && lane.frames_.front().sent > 0 ? 1 : 0;
  while (lane.frames_.size() > begun) {
    forget(lane.frames_.back());
    lane.frames_.pop_back();
  }
  if (lane.empty()) lane.unlink();
}

void Outbox::drop(Lane& lane) { lane.unlink(); }

bool Outbox::empty() const { return control_.empty() && small_.empty() && bulky_.empty(); }

const Outbox::Burst& Outbox::take(std::vector<uint32_t>& drained) {
  burst_.buffers.clear();
  burst_.bytes = 0;
  heads_.clear();
  kept_.clear();
  while (!control_.empty() && burst_.buffers.size() < buffers_max) {
    kept_.push_back(std::move(control_.front()));
    control_.pop_front();
    control_bytes_ -= kept_.back().size();
    put({kept_.back().data(), kept_.back().size()});
  }
  while (burst_.bytes < burst_bytes && burst_.buffers.size() + 2 <= buffers_max) {
    Lane* lane = pick();
    if (lane == nullptr) break;
    put_next(*lane);
    if (lane->empty()) {
      drained.push_back(lane->id());
    } else {
      queue(*lane);
    }
  }
  return burst_;
}

void Outbox::queue(Lane& lane) {
  const Lane::Pending& next = lane.frames_.front();
  // Numbers of channels go out in their order.
  const bool is_small = next.type == format::FrameType::open || next.payload.size() - next.sent <= small_bytes;
  (is_small ? small_ : bulky_).push_back(lane);
}

Outbox::Lane* Outbox::pick() {
  const bool small_first = !small_.empty() && (small_run_ < small_run_max || bulky_.empty());
  small_run_ = small_first ? small_run_ + 1 : 0;
  return small_first ? small_.pop_front() : bulky_.pop_front();
}

void Outbox::put(io::Buffer buffer) {
  burst_.buffers.push_back(buffer);
  burst_.bytes += buffer.bytes;
}

void Outbox::forget(const Lane::Pending& pending) {
  const size_t bytes = pending.payload.size();
  if (pending.type == format::FrameType::data) messages_of(bytes) -= message_cost(bytes);
}

// The next frame of the lane; what is finished moves from the lane to the burst.
void Outbox::put_next(Lane& lane) {
  Lane::Pending& next = lane.frames_.front();
  const bool is_message = next.type == format::FrameType::data;
  const size_t prefix = is_message && next.sent == 0 ? length_prefix_bytes : 0;
  const size_t rest = next.payload.size() - next.sent;
  const size_t bytes = is_message ? std::min<size_t>(rest, fragment_bytes_max - prefix) : rest;

  const auto head = format::encode_frame_header(
      {.version = version_, .type = next.type, .channel = lane.id(), .length = static_cast<uint32_t>(prefix + bytes)});
  auto& place = heads_.emplace_back();
  std::memcpy(place.data(), head.data(), head.size());
  store_u32(place.data() + head.size(), static_cast<uint32_t>(next.payload.size()));
  put({place.data(), head.size() + prefix});
  if (bytes > 0) put({next.payload.data() + next.sent, bytes});
  next.sent += bytes;
  if (bytes < rest) return;
  forget(next);
  kept_.push_back(std::move(next.payload));  // the bytes stay where they are
  lane.frames_.pop_front();
}

}  // namespace mars::net
