#include "replication/insertions.h"

#include <algorithm>
#include <utility>

#include "base/sync.h"

namespace mars::replication {

Result<xio::Edge*> Insertions::find_edge(const std::string& at) const {
  if (xio::Edge* edge = graph_.find_input(at)) return edge;
  if (xio::Edge* edge = graph_.find_input(at + ".below")) return edge;
  std::string names;
  for (const std::string& name : graph_.inputs()) names += (names.empty() ? "" : ", ") + name;
  return failure(Status::not_found, "there is no edge \"" + at + "\" here; there are " + names);
}

xio::Edge* Insertions::find_user(const xio::Output& brick) const {
  for (const std::string& name : graph_.inputs()) {
    xio::Edge* edge = graph_.find_input(name);
    if (&edge->below() == &brick) return edge;
  }
  return nullptr;
}

std::string Insertions::free_name(const std::string& type) const {
  std::string name = type;
  for (int number = 2; graph_.find(name) != nullptr; ++number) name = type + "-" + std::to_string(number);
  return name;
}

Task<Result<std::string>> Insertions::insert(std::string type, std::string at, Maker make, io::Duration deadline) {
  Result<xio::Edge*> edge = find_edge(at);
  if (!edge) co_return failure(edge.error());
  if (placed_.size() >= count_max) {
    co_return failure(Status::refused, std::to_string(count_max) + " instruments are in this graph; remove one first");
  }
  Result<Instrument> made = make((*edge)->below());
  if (!made) co_return failure(made.error());
  Placed placed{free_name(type), std::move(*made)};
  if (auto added = graph_.add(placed.name, type, *placed.instrument.brick); !added) co_return failure(added.error());
  Result<void> wired = co_await rewire(**edge, *placed.instrument.brick, deadline);
  if (!wired) {
    graph_.remove(placed.name);
    co_return failure(wired.error());
  }
  if (placed.instrument.button != nullptr && !is_ending_) placed.instrument.button->press(true);
  std::string name = placed.name;
  placed_.push_back(std::move(placed));
  co_return name;
}

// It is switched off first, or what it holds back would be waited for.
Task<Result<void>> Insertions::remove(std::string name, io::Duration deadline) {
  const Place place = std::find_if(placed_.begin(), placed_.end(), [&](const Placed& p) { return p.name == name; });
  if (place == placed_.end()) {
    std::string names;
    for (const Placed& placed : placed_) names += (names.empty() ? "" : ", ") + placed.name;
    co_return failure(Status::not_found, "no instrument is called \"" + name + "\" here; " +
                                             (names.empty() ? "there is none" : "there are " + names));
  }
  Instrument& instrument = place->instrument;
  co_await switch_off(instrument.button);
  Result<void> wired;
  if (xio::Edge* user = find_user(*instrument.brick)) {
    wired = co_await rewire(*user, instrument.below->below(), deadline);
  }
  if (!wired) {
    if (instrument.button != nullptr) instrument.button->press(true);
    co_return wired;
  }
  graph_.remove(name);
  placed_.erase(place);
  co_return Result<void>{};
}

// The gate knows no clock: this is its deadline.
Task<Result<void>> Insertions::rewire(xio::Edge& edge, xio::Output& below, io::Duration deadline) {
  Result<void> outcome;
  Event settled(machine_.ready());
  Result<void> begun = edge.rewire(below, [&](Result<void> result) {
    outcome = std::move(result);
    settled.set();
  });
  if (!begun) co_return begun;
  rewiring_ = &edge;
  io::Timer timer(machine_, [](void* late) { static_cast<xio::Edge*>(late)->abandon(); }, &edge);
  timer.arm_in(deadline);
  co_await settled.wait();
  rewiring_ = nullptr;
  co_return outcome;
}

void Insertions::give_up() {
  is_ending_ = true;
  if (rewiring_ != nullptr) rewiring_->abandon();
  for (Placed& placed : placed_) {
    if (placed.instrument.button != nullptr) placed.instrument.button->press(false);
  }
}

Task<void> Insertions::switch_off(brick::Switch* button) {
  if (button == nullptr) co_return;
  button->press(false);
  co_await button->until_off();
}

Task<void> Insertions::drop_unused() {
  const auto is_unused = [](const Placed& placed) { return !placed.instrument.brick->is_used(); };
  for (;;) {
    const Place place = std::find_if(placed_.begin(), placed_.end(), is_unused);
    if (place == placed_.end()) co_return;
    co_await switch_off(place->instrument.button);
    graph_.remove(place->name);
    placed_.erase(place);
  }
}

std::string Insertions::report() const {
  std::string text;
  for (const Placed& placed : placed_) {
    const std::string seen = placed.instrument.report ? placed.instrument.report() : "";
    if (!seen.empty()) text += "\n" + placed.name + " has seen:\n" + seen;
  }
  return text;
}

}  // namespace mars::replication
