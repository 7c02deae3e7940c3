// Graph: the bricks and origins of one wiring by name, for those who look at it and re-wire it. Owns none of them: a
// brick is removed before it is destroyed. Inputs are called BRICK.INPUT ("log.data").
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "brick/input.h"

namespace mars::brick {

template <class P>
class Graph {
 public:
  using Done = typename Edge<P>::Done;

  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // exists: the name is taken. `type` is what an operator calls such a brick: "memory", "trace".
  Result<void> add(std::string name, std::string type, Output<P>& brick) {
    return add(Node{std::move(name), std::move(type), &brick, nullptr});
  }
  // A front end or another place where requests begin; it must not be the input of a brick.
  Result<void> add_origin(std::string name, std::string type, Edge<P>& edge) {
    return add(Node{std::move(name), std::move(type), nullptr, &edge});
  }
  void remove(std::string_view name) {
    std::erase_if(nodes_, [&](const Node& node) { return node.name == name; });
  }

  // To be asked before the first request, and after bricks were added: every path fits into a request, and every edge
  // leads to a brick of this graph. Circles cannot come into being (Edge).
  Result<void> check() const;

  // Edge::rewire by names; not_found names what is missing.
  Result<void> rewire(std::string_view input, std::string_view below, Done done = nullptr);
  Result<void> abandon(std::string_view input);

  Edge<P>* find_input(std::string_view name) const;
  // Of all inputs, in the order of dump().
  std::vector<std::string> inputs() const;
  Output<P>* find(std::string_view name) const;

  // One line per input and brick, in the order of add(): where it leads, what is in flight, what it promises.
  std::string dump() const;

 private:
  struct Node {
    std::string name;
    std::string type;
    Output<P>* brick;
    Edge<P>* origin;
    Edge<P>* first() const { return brick != nullptr ? brick->inputs() : origin; }
  };

  Result<void> add(Node node) {
    for (const Node& other : nodes_) {
      if (other.name == node.name) return failure(Status::exists, "a brick is called " + node.name + " already");
    }
    nodes_.push_back(std::move(node));
    return {};
  }
  std::string_view name_of(const Output<P>& brick) const {
    for (const Node& node : nodes_) {
      if (node.brick == &brick) return node.name;
    }
    return {};
  }
  template <class F>
  void for_each_input(F&& f) const {
    for (const Node& node : nodes_) {
      Edge<P>* edge = node.first();
      for (; edge != nullptr; edge = node.brick != nullptr ? edge->next_input() : nullptr) {
        f(node.name + "." + std::string(edge->name()), *edge);
      }
    }
  }
  void dump_edge(const std::string& input, const Edge<P>& edge, std::string& text) const;

  std::vector<Node> nodes_;
};

template <class P>
Result<void> Graph<P>::check() const {
  Result<void> result;
  for_each_input([&](const std::string& input, const Edge<P>& edge) {
    if (!result) return;
    if (name_of(edge.below()).empty()) {
      result = failure(Status::not_found, input + " leads to a brick that is not in the graph");
    } else if (edge.begins() && edge.room() > Trip<P>::way_bytes) {
      result = failure(Status::refused, "the longest path from " + input + " needs " + std::to_string(edge.room()) +
                                            " bytes of aspects of " + std::to_string(Trip<P>::way_bytes) +
                                            "; take a brick out");
    }
  });
  return result;
}

template <class P>
Result<void> Graph<P>::rewire(std::string_view input, std::string_view below, Done done) {
  Edge<P>* edge = find_input(input);
  if (edge == nullptr) return failure(Status::not_found, "no input is called " + std::string(input));
  Output<P>* brick = find(below);
  if (brick == nullptr) return failure(Status::not_found, "no brick is called " + std::string(below));
  return edge->rewire(*brick, std::move(done));
}

template <class P>
Result<void> Graph<P>::abandon(std::string_view input) {
  Edge<P>* edge = find_input(input);
  if (edge == nullptr) return failure(Status::not_found, "no input is called " + std::string(input));
  edge->abandon();
  return {};
}

template <class P>
Edge<P>* Graph<P>::find_input(std::string_view name) const {
  Edge<P>* found = nullptr;
  for_each_input([&](const std::string& input, Edge<P>& edge) {
    if (input == name) found = &edge;
  });
  return found;
}

template <class P>
std::vector<std::string> Graph<P>::inputs() const {
  std::vector<std::string> names;
  for_each_input([&](const std::string& input, Edge<P>&) { names.push_back(input); });
  return names;
}

template <class P>
Output<P>* Graph<P>::find(std::string_view name) const {
  for (const Node& node : nodes_) {
    if (node.name == name) return node.brick;
  }
  return nullptr;
}

template <class P>
void Graph<P>::dump_edge(const std::string& input, const Edge<P>& edge, std::string& text) const {
  auto counts = edge.counts();
  std::string_view below = name_of(edge.below());
  text.append("  ").append(input).append(" -> ").append(below.empty() ? "(unnamed)" : below);
  text += ": " + std::to_string(counts.in_flight) + " in flight, " + std::to_string(counts.buffers) + " buffers out";
  if (edge.closed()) text += ", gate closed, " + std::to_string(counts.waiting) + " waiting";
  if (edge.rewiring()) text += ", re-wiring";
  text += '\n';
}

template <class P>
std::string Graph<P>::dump() const {
  std::string text;
  for (const Node& node : nodes_) {
    text += node.name + " (" + node.type + ")";
    if constexpr (requires(const typename P::Info& info) { to_string(info); }) {
      if (node.brick != nullptr) text += ": " + to_string(node.brick->info());
    }
    text += '\n';
    for (Edge<P>* edge = node.first(); edge != nullptr; edge = node.brick != nullptr ? edge->next_input() : nullptr) {
      dump_edge(node.name + "." + std::string(edge->name()), *edge, text);
    }
  }
  return text;
}

}  // namespace mars::brick
