#include "bricks/trace.h"

#include <algorithm>

namespace mars::bricks {

Trace::Trace(Ready& ready, xio::Output& below, size_t events_max)
    : Output(ready), ring_(std::max<size_t>(events_max, 1)), below_(xio::On<&Trace::left>{}, this, this, below) {}

void Trace::enter(xio::Request& request) {
  note(request, false);
  below_.enter(request);
}

void Trace::left(xio::Request& request) {
  note(request, true);
  complete(request, request.status);
}

void Trace::note(const xio::Request& request, bool out) {
  ring_[count_++ % ring_.size()] = {request.offset, request.bytes, request.status, request.op,
                                    request.step,   out,           request.fua,    request.digest_only};
}

std::string Trace::dump() const {
  std::string text;
  for (uint64_t i = count_ - std::min<uint64_t>(count_, ring_.size()); i < count_; ++i) {
    const Event& event = ring_[i % ring_.size()];
    text += "#" + std::to_string(i) + (event.out ? " out " : " in ");
    if (event.step == xio::Step::get) text += "get of ";
    text.append(name(event.op)).append(" ");
    text += std::to_string(event.offset) + "+" + std::to_string(event.bytes);
    if (event.fua) text += " fua";
    if (event.digest_only) text += " digest";
    if (event.out) text.append(" ").append(name(event.status));
    text += '\n';
  }
  return text;
}

}  // namespace mars::bricks
