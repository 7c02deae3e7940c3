// Output: what a brick offers to those above. A brick with one output *is* an Output: it overrides enter() and info().
// Include brick/input.h to use it: output, edge and trip are one mechanism.
//
// A personality P is a struct that names
//   P::Request                               derived from Trip<P>
//   P::Info                                  what an output promises
//   bool P::holds_buffer(const Request&)     true while a buffer that a brick below supplied is out
//   const char* P::stricter(const Info& promised, const Info& offered)
//                                            what `offered` does not keep of `promised`, null when it keeps all
#pragma once

#include <algorithm>

#include "brick/trip.h"

namespace mars::brick {

template <class P>
class Output {
 public:
  using Request = typename P::Request;
  using Info = typename P::Info;

  // `kept`: what keep() pushes at most, as room_for<A>.
  explicit Output(Ready& ready, size_t kept = 0) : ready_(ready), kept_(kept) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  // Nothing may be wired to it any more. led_off of whatever is above comes first.
  virtual ~Output() { CHECK(!is_used()); }

  virtual Info info() const = 0;

  // Takes the request over: this brick now passes it on through one of its inputs, or completes it, exactly once, now
  // or later. Only an Edge calls this.
  virtual void enter(Request& request) = 0;

  // Bytes of aspects that a request needs from here down / has taken up when it arrives here.
  size_t room() const;
  size_t taken() const;

  // Whether a request that enters here, or a child made for it, can come to `other`.
  bool reaches(const Output& other) const;

  Ready& ready() const { return ready_; }

  // Some edge leads here, or is about to: not to be destroyed.
  bool is_used() const { return users_ != nullptr || pins_ != 0; }

  // The first input of this brick, null when it is a leaf; further ones by Edge::next_input().
  Edge<P>* inputs() const { return inputs_; }

 protected:
  template <class A>
  static constexpr size_t room_for = Request::template need<A>;

  // For a request that is held here (until its children are back, say): puts `aspect` on its stack. The reference that
  // kept() gives is valid until drop() or complete().
  template <class A>
  void keep(Request& request, A aspect) {
    CHECK(request.holder_ == this && Request::template need<A> <= kept_);
    request.push(nullptr, aspect);
  }
  template <class A>
  A& kept(Request& request) {
    CHECK(request.holder_ == this);
    auto frame = request.peek();
    CHECK(frame.via == nullptr && frame.bytes == Request::template need<A>);
    return *std::launder(reinterpret_cast<A*>(static_cast<std::byte*>(request.top()) - frame.bytes));
  }
  // Takes it off again, for a request that goes on below after all. complete() does this by itself.
  template <class A>
  A drop(Request& request) {
    A aspect = kept<A>(request);
    request.pop();
    return aspect;
  }

  // Sends the request up with this outcome: exactly once, and only by who holds it, in release builds too. Never runs
  // anybody's code: from enter() or any other place the way up starts in the ready queue; from the handler that just
  // got the request back it goes on when that handler has returned. The request must not be touched afterwards.
  void complete(Request& request, Status status);

 private:
  friend Edge<P>;

  static void climb(Request& request);

  Ready& ready_;
  const size_t kept_;
  Edge<P>* inputs_ = nullptr;  // edges that begin at this brick
  Edge<P>* users_ = nullptr;   // edges that lead to this brick
  uint32_t pins_ = 0;          // re-wirings under way that want to lead here
};

}  // namespace mars::brick
