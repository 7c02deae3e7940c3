// Trace: an instrument that remembers the last events at its place, in a bounded ring, as text for a person. Knows no
// clock: events are numbered.
#pragma once

#include <string>
#include <vector>

#include "xio/request.h"

namespace mars::bricks {

class Trace final : public xio::Output {
 public:
  // Two events for each trip: in and out.
  Trace(Ready& ready, xio::Output& below, size_t events_max = 256);

  xio::Info info() const override { return below_.info(); }
  void enter(xio::Request& request) override;

  // Oldest first, a line each: "#12 in write 4096+512 fua", "#13 out write 4096+512 ok".
  std::string dump() const;
  uint64_t events() const { return count_; }
  xio::Edge& below() { return below_; }

 private:
  struct Event {
    uint64_t offset;
    uint32_t bytes;
    Status status;
    xio::Op op;
    xio::Step step;
    bool out;
    bool fua;
    bool digest_only;
  };
  void left(xio::Request& request);
  void note(const xio::Request& request, bool out);

  uint64_t count_ = 0;
  std::vector<Event> ring_;
  xio::Input<> below_;
};

}  // namespace mars::bricks
