// Insertions: the instruments that an operator has put into the edges of a running graph. One re-wiring at a time; each
// has a deadline by the reactor's timer: not drained by then, the gate opens again and nothing has changed. An
// instrument lives until it is removed, or until what stands above it goes (the end of a reign, detach).
//
// Whoever calls insert() and remove() sees to it that the graph does not change meanwhile otherwise.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "base/task.h"
#include "brick/graph.h"
#include "brick/switch.h"
#include "io/machine.h"
#include "xio/request.h"

namespace mars::replication {

struct Instrument {
  std::unique_ptr<xio::Output> brick;
  xio::Edge* below = nullptr;
  brick::Switch* button = nullptr;  // null: it works as soon as it is wired
  std::function<std::string()> report;
};

class Insertions {
 public:
  static constexpr size_t count_max = 8;
  // Makes the brick, wired to `below`.
  using Maker = std::function<Result<Instrument>(xio::Output& below)>;

  Insertions(io::Machine& machine, brick::Graph<xio::Xio>& graph) : machine_(machine), graph_(graph) {}
  ~Insertions() { CHECK(placed_.empty()); }

  // Puts it into the edge `at` ("device.below", or "device" for short); returns its name. not_found: no such edge;
  // refused: too many, or the wiring does not allow it; busy: the edge was not drained within the deadline.
  Task<Result<std::string>> insert(std::string type, std::string at, Maker make, io::Duration deadline);
  Task<Result<void>> remove(std::string name, io::Duration deadline);

  // The end is near: a re-wiring under way is given up, and what instruments hold back goes on.
  void give_up();
  // Destroys those to which no edge leads any more. Nothing is in flight in them.
  Task<void> drop_unused();
  // What each has seen.
  std::string report() const;

 private:
  struct Placed {
    std::string name;
    Instrument instrument;
  };
  using Place = std::list<Placed>::iterator;

  Result<xio::Edge*> find_edge(const std::string& at) const;
  xio::Edge* find_user(const xio::Output& brick) const;
  std::string free_name(const std::string& type) const;
  Task<Result<void>> rewire(xio::Edge& edge, xio::Output& below, io::Duration deadline);
  Task<void> switch_off(brick::Switch* button);

  io::Machine& machine_;
  brick::Graph<xio::Xio>& graph_;
  std::list<Placed> placed_;  // in the order in which they came
  xio::Edge* rewiring_ = nullptr;
  bool is_ending_ = false;
};

}  // namespace mars::replication
