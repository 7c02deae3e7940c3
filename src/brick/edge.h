// Edge: an input without the type of its aspect. Counts what is below it, and so is the gate at which an input is
// re-wired while requests flow.
//
// Counted are trips in flight through the edge and supplied buffers that came through it and are still out. The gate
// verbs close the edge; what arrives at a closed gate waits there in order, except requests that hold a supplied
// buffer: they pass by the old edge (else a get that waits below for memory would wait for a buffer whose owner waits
// at the gate). When both counts are zero the edge is drained; only then it is swapped. The gate knows no clock: the
// owner's timer calls abandon() at its deadline.
//
// Whatever a gate does, it does from the ready queue, so no verb and no put() runs anybody's code.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "brick/output.h"

namespace mars::brick {

template <class P>
class Edge {
 public:
  using Request = typename P::Request;
  using Info = typename P::Info;
  struct Counts {
    uint32_t in_flight = 0;  // trips that passed and did not come back
    uint32_t buffers = 0;    // supplied through this edge, not put yet
    size_t waiting = 0;      // at the closed gate
  };
  // ok: the edge leads to the new brick. busy: abandoned; it leads where it led; the text says what was in the way.
  using Done = std::move_only_function<void(Result<void>)>;

  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;
  // Everything came back and no verb is under way: what is above is led_off.
  ~Edge();

  // Close, drain, swap, open. Refused at once (Status::refused, busy when another re-wiring is under way) if `below`
  // promises less than the present one, leads back to this edge's brick, or makes a path longer than fits into a
  // request; then `done` is not called. Otherwise `done` is called once, from the ready queue. `below` must live on.
  Result<void> rewire(Output<P>& below, Done done = nullptr);
  // The deadline: unless it is drained by now, the gate opens on the old edge and `done` hears busy.
  void abandon();
  // Closes and opens the gate alone. A held gate still drains and swaps, but stays closed.
  void hold();
  void release();
  // What waits at the gate goes back up with this status (force_off).
  void turn_away(Status status);

  Counts counts() const { return {in_flight_, buffers_, waiting_.size()}; }
  bool drained() const { return in_flight_ == 0 && buffers_ == 0; }
  // Nothing below, nothing waiting, no verb under way: safe to destroy.
  bool idle() const { return drained() && waiting_.empty() && !queued_ && next_ == nullptr; }
  bool closed() const { return closed_; }
  bool rewiring() const { return next_ != nullptr; }

  std::string_view name() const { return name_; }
  Output<P>& below() const { return *below_; }
  Info info() const { return below_->info(); }
  // Bytes of aspects (and of remembered edges): needed from here down / taken from the origin down to here.
  size_t room() const { return need_ + below_->room(); }
  size_t taken() const { return need_ + (self_ == nullptr ? 0 : self_->taken()); }
  // True for an origin and for children: requests begin here.
  bool begins() const { return self_ == nullptr; }
  Edge* next_input() const { return sibling_; }

 protected:
  using Leave = void (*)(void* brick, Request& request, const void* aspect);
  Edge(Output<P>* self, Output<P>* owner, void* brick, Leave leave, size_t need, Output<P>& below,
       std::string_view name);

  void start(Request& request);

  Output<P>* const self_;  // whose requests pass here; null: they begin here

 private:
  friend Output<P>;
  friend Trip<P>;

  void pass(Request& request);
  void came_back(Request& request);
  void put_back();
  void soon();
  void turn();
  bool settled(Result<void>& outcome);
  void connect(Output<P>& below);
  void disconnect();

  struct Turn : Job {
    Edge* edge;
  };

  Output<P>* const owner_;  // the brick that this input belongs to; null: not a brick (a front end, a test)
  void* const brick_;
  const Leave leave_;
  const size_t need_;
  const std::string_view name_;
  Output<P>* below_ = nullptr;
  Output<P>* next_ = nullptr;
  Edge* sibling_ = nullptr;  // next input of owner_
  Edge* user_ = nullptr;     // next user of below_
  Ready& ready_;
  Line<P> waiting_;
  uint32_t in_flight_ = 0;
  uint32_t buffers_ = 0;
  bool held_ = false;
  bool closed_ = false;
  bool abandoned_ = false;
  bool queued_ = false;
  Turn turn_;
  Done done_;
};

// ---- what Trip and Output do with edges

template <class P>
void Trip<P>::returned() {
  size_t count = std::exchange(lent_, uint16_t{0});
  for (size_t i = 0; i < count; ++i) lent_by(i)->put_back();
}

template <class P>
void Output<P>::complete(Request& request, Status status) {
  CHECK(request.holder_ == this);
  request.holder_ = &Trip<P>::climbing_;
  request.status = status;
  if (request.climb_ != nullptr) {
    request.climb_->completed = true;
    return;
  }
  request.run = [](Job& job) { climb(static_cast<Request&>(job)); };
  ready_.push(request);
}

// One handler after the other, as long as each completes at once; the stack does not grow with the path. Nothing is
// touched after a handler but the local `step`: an origin's handler may destroy the request, or the origin.
template <class P>
void Output<P>::climb(Request& request) {
  typename Trip<P>::Climb step;
  do {
    auto frame = request.pop();
    while (frame.via == nullptr) frame = request.pop();
    Edge<P>& via = *frame.via;
    via.came_back(request);
    step = {&request, false};
    request.climb_ = &step;
    via.leave_(via.brick_, request, request.top());
    if (step.trip != nullptr) request.climb_ = nullptr;
  } while (step.completed);
}

template <class P>
size_t Output<P>::room() const {
  size_t most = 0;
  for (Edge<P>* edge = inputs_; edge != nullptr; edge = edge->sibling_) {
    if (!edge->begins()) most = std::max(most, edge->room());
  }
  return kept_ + most;
}

template <class P>
size_t Output<P>::taken() const {
  size_t most = 0;
  for (Edge<P>* edge = users_; edge != nullptr; edge = edge->user_) most = std::max(most, edge->taken());
  return most;
}

template <class P>
bool Output<P>::reaches(const Output& other) const {
  if (this == &other) return true;
  for (Edge<P>* edge = inputs_; edge != nullptr; edge = edge->sibling_) {
    if (edge->below_->reaches(other)) return true;
  }
  return false;
}

// ---- Edge

template <class P>
Edge<P>::Edge(Output<P>* self, Output<P>* owner, void* brick, Leave leave, size_t need, Output<P>& below,
              std::string_view name)
    : self_(self),
      owner_(owner),
      brick_(brick),
      leave_(leave),
      need_(need + sizeof(Edge*)),
      name_(name),
      ready_(below.ready_) {
  turn_.edge = this;
  turn_.run = [](Job& job) { static_cast<Turn&>(job).edge->turn(); };
  CHECK(owner == nullptr || !below.reaches(*owner));
  connect(below);
  if (owner == nullptr) return;
  Edge** place = &owner->inputs_;
  while (*place != nullptr) place = &(*place)->sibling_;
  *place = this;
}

template <class P>
Edge<P>::~Edge() {
  CHECK(idle());
  disconnect();
  if (owner_ == nullptr) return;
  Edge** place = &owner_->inputs_;
  while (*place != this) place = &(*place)->sibling_;
  *place = sibling_;
}

template <class P>
void Edge<P>::connect(Output<P>& below) {
  below_ = &below;
  user_ = std::exchange(below.users_, this);
}

template <class P>
void Edge<P>::disconnect() {
  Edge** place = &below_->users_;
  while (*place != this) place = &(*place)->user_;
  *place = user_;
}

template <class P>
void Edge<P>::start(Request& request) {
  if (!closed_ || P::holds_buffer(request)) return pass(request);
  request.holder_ = this;
  request.detach();
  waiting_.push(request);
}

template <class P>
void Edge<P>::pass(Request& request) {
  ++in_flight_;
  request.holder_ = below_;
  request.detach();
  below_->enter(request);
}

template <class P>
void Edge<P>::came_back(Request& request) {
  request.holder_ = self_;
  --in_flight_;
  if (P::holds_buffer(request) && request.lend(this)) ++buffers_;
  if (closed_ && drained()) soon();
}

template <class P>
void Edge<P>::put_back() {
  CHECK(buffers_ > 0);
  --buffers_;
  if (closed_ && drained()) soon();
}

template <class P>
Result<void> Edge<P>::rewire(Output<P>& below, Done done) {
  if (next_ != nullptr) return failure(Status::busy, "another re-wiring of this input is under way");
  if (owner_ != nullptr && below.reaches(*owner_)) return failure(Status::refused, "the wiring would be a circle");
  if (&below.ready_ != &ready_) return failure(Status::refused, "the brick belongs to another reactor");
  if (size_t bytes = taken() + below.room(); bytes > Trip<P>::way_bytes) {
    return failure(Status::refused, "the longest path would need " + std::to_string(bytes) + " bytes of aspects of " +
                                        std::to_string(Trip<P>::way_bytes) + "; take a brick out first");
  }
  if (const char* what = P::stricter(info(), below.info())) {
    return failure(Status::refused, std::string("the new brick keeps less than was promised above: ") + what);
  }
  next_ = &below;
  ++below.pins_;
  done_ = std::move(done);
  closed_ = true;
  abandoned_ = false;
  if (drained()) soon();
  return {};
}

template <class P>
void Edge<P>::abandon() {
  if (next_ == nullptr) return;
  abandoned_ = true;
  soon();
}

template <class P>
void Edge<P>::hold() {
  held_ = true;
  closed_ = true;
}

template <class P>
void Edge<P>::release() {
  if (!std::exchange(held_, false)) return;
  soon();
}

template <class P>
void Edge<P>::turn_away(Status status) {
  while (Request* request = waiting_.pop()) {
    ++in_flight_;
    request->holder_ = &Trip<P>::climbing_;
    request->status = status;
    request->run = [](Job& job) { Output<P>::climb(static_cast<Request&>(job)); };
    ready_.push(*request);
  }
}

template <class P>
void Edge<P>::soon() {
  if (std::exchange(queued_, true)) return;
  ready_.push(turn_);
}

// Whether the re-wiring came to an end, one way or the other. A request with a supplied buffer may have passed since
// the edge was drained; then the edge waits for the next time.
template <class P>
bool Edge<P>::settled(Result<void>& outcome) {
  if (next_ == nullptr) return true;
  if (drained()) {
    disconnect();
    connect(*next_);
  } else if (abandoned_) {
    outcome = failure(Status::busy, "not drained: " + std::to_string(in_flight_) + " requests in flight and " +
                                        std::to_string(buffers_) + " supplied buffers out");
  } else {
    return false;
  }
  --std::exchange(next_, nullptr)->pins_;
  return true;
}

template <class P>
void Edge<P>::turn() {
  queued_ = false;
  Result<void> outcome;
  bool rewired = next_ != nullptr;
  if (!settled(outcome)) return;
  Done done = std::exchange(done_, nullptr);
  if (!held_) {
    closed_ = false;
    while (!closed_ && !waiting_.empty()) pass(*waiting_.pop());
  }
  if (rewired && done) done(std::move(outcome));  // last: it may destroy the old brick, or this edge's
}

}  // namespace mars::brick
