// Trip: the part of a request that the brick framework owns: one way down through bricks and up again. A personality P
// derives its Request from Trip<P>. Knows who holds the request, which aspects lie on it, and by which edges a supplied
// buffer came. Everything here is one reactor's; a Trip neither moves nor copies and is owned by its origin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

#include "base/check.h"
#include "base/ready.h"
#include "base/status.h"

namespace mars::brick {

template <class P>
class Edge;
template <class P>
class Output;

// The aspect of a brick that has nothing to remember.
struct Nothing {};

template <class P>
class Trip : public Job {  // Job::next is free for whoever holds the request; see Line
 public:
  // How much all aspects of one path may take together; the wiring check refuses longer paths.
  static constexpr size_t way_bytes = 336;

  // The outcome; valid in the handler that gets the request back.
  Status status = Status::ok;

  Trip(const Trip&) = delete;
  Trip& operator=(const Trip&) = delete;

 protected:
  Trip() = default;
  // A request that somebody else still holds, or whose buffer is still out, must not be destroyed.
  ~Trip() {
    CHECK(holder_ == nullptr);
    CHECK(lent_ == 0);
    detach();
  }

  // The personality's put() calls this after the supplier took the buffer back: uncounts the buffer at each edge by
  // which it came. Runs nobody's code.
  void returned();

 private:
  friend Edge<P>;
  friend Output<P>;
  template <class, class>
  friend class Input;

  struct Frame {
    Edge<P>* via;  // null: what a brick keeps while it holds the request
    size_t bytes;  // of aspect and frame together
  };
  // One handler on the stack of the reactor while it runs for a request that comes up.
  struct Climb {
    Trip* trip;  // null as soon as the handler passed the request on, completed it, or destroyed it
    bool completed;
  };

  template <class A>
  static constexpr size_t need = (std::is_empty_v<A> ? 0 : (sizeof(A) + 7) / 8 * 8) + sizeof(Frame);

  template <class A>
  void push(Edge<P>* via, A aspect) {
    static_assert(std::is_trivially_copyable_v<A> && alignof(A) <= 8);
    CHECK(top_ + need<A> + lent_ * sizeof(Edge<P>*) <= way_bytes);  // the wiring check summed the path
    if constexpr (!std::is_empty_v<A>) new (way_ + top_) A(aspect);
    Frame frame{via, need<A>};
    top_ = static_cast<uint16_t>(top_ + need<A>);
    std::memcpy(way_ + top_ - sizeof frame, &frame, sizeof frame);
  }
  Frame peek() const {
    CHECK(top_ >= sizeof(Frame));
    Frame frame;
    std::memcpy(&frame, way_ + top_ - sizeof frame, sizeof frame);
    return frame;
  }
  Frame pop() {
    Frame frame = peek();
    top_ = static_cast<uint16_t>(top_ - frame.bytes);
    return frame;
  }
  void* top() { return way_ + top_; }

  Edge<P>* lent_by(size_t index) const {
    Edge<P>* edge;
    std::memcpy(&edge, way_ + way_bytes - (index + 1) * sizeof edge, sizeof edge);
    return edge;
  }
  // Remembers that the buffer came through `edge`; false when that is known already.
  bool lend(Edge<P>* edge) {
    for (size_t i = 0; i < lent_; ++i) {
      if (lent_by(i) == edge) return false;
    }
    CHECK(top_ + (lent_ + 1) * sizeof edge <= way_bytes);
    ++lent_;
    std::memcpy(way_ + way_bytes - lent_ * sizeof edge, &edge, sizeof edge);
    return true;
  }
  void detach() {
    if (climb_ != nullptr) climb_->trip = nullptr;
    climb_ = nullptr;
  }

  // Holder of a request that was completed and now waits for its turn to climb.
  static inline const char climbing_ = 0;

  uint16_t top_ = 0;              // aspects grow from the start of way_ ...
  uint16_t lent_ = 0;             // ... and the edges of a supplied buffer from its end
  const void* holder_ = nullptr;  // null: its origin; an Output; an Edge at whose gate it waits; or &climbing_
  Climb* climb_ = nullptr;
  alignas(8) std::byte way_[way_bytes];
};

// FIFO of requests that a brick holds. Intrusive: a request stands in one line at a time.
template <class P>
class Line {
 public:
  using Request = typename P::Request;
  Line() = default;
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  void push(Request& request) {
    Job& job = request;
    job.next = nullptr;
    *tail_ = &job;
    tail_ = &job.next;
    ++size_;
  }
  // Takes the oldest, null when empty.
  Request* pop() {
    Job* job = head_;
    if (job == nullptr) return nullptr;
    if ((head_ = job->next) == nullptr) tail_ = &head_;
    --size_;
    return static_cast<Request*>(job);
  }
  Request* front() const { return static_cast<Request*>(head_); }
  bool empty() const { return head_ == nullptr; }
  size_t size() const { return size_; }

 private:
  Job* head_ = nullptr;
  Job** tail_ = &head_;
  size_t size_ = 0;
};

}  // namespace mars::brick
