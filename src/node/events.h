// Events: the bounded history of this host: who did what, and why states changed. In memory, and in a file that is
// written a moment later; nothing waits for it. What was added in the last seconds before a crash may be missing.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "base/sync.h"
#include "base/task.h"
#include "io/machine.h"

namespace mars::node {

// `resource`: its name; empty: an event of the host.
using EventLog = std::function<void(const std::string& resource, const std::string& text)>;

struct EventLine {
  uint64_t time_ns = 0;  // wall clock
  std::string resource;  // name; empty: of the host
  std::string text;
  friend bool operator==(const EventLine&, const EventLine&) = default;
};

class Events {
 public:
  static constexpr size_t lines_max = 1000;
  static constexpr size_t text_bytes_max = 1024;

  // `log` gets each line as it is added; may be empty.
  Events(io::Machine& machine, std::string path, EventLog log);

  // Reads what the former process left; a damaged file is no reason not to start.
  Task<void> open();
  // Writes what is not written yet.
  Task<void> close();
  // What comes again and again, every few seconds, is told three times and then once a minute: the history is bounded.
  void add(std::string resource, std::string text);
  // The newest `count` of this resource (empty: of all), oldest first.
  std::vector<EventLine> newest(const std::string& resource, size_t count) const;

 private:
  struct Recent {
    std::string resource;
    std::string text;
    int count = 0;
    io::Instant told = {};
    io::Instant last = {};
  };

  bool is_flood(const std::string& resource, const std::string& text);
  Task<void> save_loop();
  Task<void> save();

  io::Machine& machine_;
  const std::string path_;
  const EventLog log_;
  std::deque<EventLine> lines_;
  std::deque<Recent> recent_;
  uint64_t added_ = 0;
  uint64_t saved_ = 0;
  Event stop_;
  Scope scope_;
};

}  // namespace mars::node
