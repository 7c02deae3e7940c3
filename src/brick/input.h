// Input: what a brick uses from below, with the type of the aspect that it leaves on each request that passes.
//
//   class Shift final : public Output<Xio> {
//     Shift(Ready& ready, Output<Xio>& below, uint64_t start)
//         : Output(ready), start_(start), below_(On<&Shift::left>{}, this, this, below) {}
//     void enter(Request& request) override { ...; below_.enter(request, {offset_above}); }
//     void left(Request& request, Aspect aspect) { ...; complete(request, request.status); }
//
// The handler gets a copy of its aspect, by value or const reference: the one on the request's stack is gone as soon as
// the handler runs, so nothing dangles when the handler enters below again.
#pragma once

#include <concepts>

#include "brick/edge.h"

namespace mars::brick {

// Names the handler of an input: On<&Brick::left>{}.
template <auto method>
struct On {};

template <class P, class Aspect = Nothing>
class Input final : public Edge<P> {
 public:
  using Request = typename P::Request;

  // `brick`: whose method is called when a request comes back. `self`: the output whose requests pass here; null when
  // they begin here (an origin, or children of a brick's own), then the handler owns what it gets back.
  // `name` must outlive the input (a literal).
  template <auto method, class B>
  Input(On<method>, B* brick, Output<P>* self, Output<P>& below, std::string_view name = "below")
      : Edge<P>(self, owner(brick, self), brick, &leave<method, B>, Request::template need<Aspect>, below, name) {}

  // Passes on a request that the brick holds, or sends one that the origin owns. Dies when it is anybody else's: in
  // flight, waiting at a gate, or completed. The request may be completed, but not back, when this returns.
  void enter(Request& request, Aspect aspect = {}) {
    CHECK(request.holder_ == this->self_);
    if (this->self_ == nullptr) CHECK(request.top_ == 0);
    request.push(this, aspect);
    this->start(request);
  }

 private:
  template <class B>
  static Output<P>* owner([[maybe_unused]] B* brick, Output<P>* self) {
    if constexpr (std::derived_from<B, Output<P>>) {
      return brick;
    } else {
      return self;
    }
  }

  template <auto method, class B>
  static void leave(void* brick, Request& request, const void* aspect) {
    B& receiver = *static_cast<B*>(brick);
    if constexpr (std::is_empty_v<Aspect>) {
      if constexpr (std::is_invocable_v<decltype(method), B&, Request&>) {
        (receiver.*method)(request);
      } else {
        (receiver.*method)(request, Aspect{});
      }
    } else {
      static_assert(std::is_invocable_v<decltype(method), B&, Request&, Aspect&&>, "take the aspect by value");
      Aspect copy = *std::launder(static_cast<const Aspect*>(aspect));
      (receiver.*method)(request, std::move(copy));
    }
  }
};

}  // namespace mars::brick
