#include "node/events.h"

#include <algorithm>
#include <utility>

#include "node/json.h"

namespace mars::node {

using namespace std::chrono_literals;

namespace {

constexpr io::Duration save_pause = 2s;
constexpr size_t recent_max = 8;
constexpr int flood_begins_with = 4;
constexpr io::Duration flood_pause_max = 3s;  // what comes more seldom is no flood
constexpr io::Duration flood_interval = 60s;

}  // namespace

Events::Events(io::Machine& machine, std::string path, EventLog log)
    : machine_(machine),
      path_(std::move(path)),
      log_(std::move(log)),
      stop_(machine.ready()),
      scope_(machine.ready()) {}

Task<void> Events::open() {
  Result<Json> json = co_await read_json(machine_, path_);
  if (json) {
    Fields fields(*json);
    fields.each("events", [this](const Json& item) {
      Fields one(item);
      EventLine line;
      one.get_time("time", line.time_ns);
      one.get("resource", line.resource);
      one.get("text", line.text);
      if (one.ok() && lines_.size() < lines_max) lines_.push_back(std::move(line));
    });
  } else if (json.error().status == Status::damaged) {
    add("", "the history of events could not be read and begins anew");
  }
  scope_.spawn(save_loop());
}

Task<void> Events::close() {
  stop_.set();
  co_await scope_.join();
  co_await save();
}

bool Events::is_flood(const std::string& resource, const std::string& text) {
  const io::Instant now = machine_.now();
  const auto same =
      std::ranges::find_if(recent_, [&](const Recent& one) { return one.resource == resource && one.text == text; });
  if (same == recent_.end() || now - same->last > flood_pause_max) {
    if (same != recent_.end()) recent_.erase(same);
    recent_.push_back({resource, text, 1, now, now});
    if (recent_.size() > recent_max) recent_.pop_front();
    return false;
  }
  same->last = now;
  if (++same->count >= flood_begins_with && now - same->told < flood_interval) return true;
  same->told = now;
  return false;
}

void Events::add(std::string resource, std::string text) {
  if (text.size() > text_bytes_max) text.resize(text_bytes_max);
  if (is_flood(resource, text)) return;
  lines_.push_back({static_cast<uint64_t>(machine_.wall_now().count()), std::move(resource), std::move(text)});
  if (lines_.size() > lines_max) lines_.pop_front();
  ++added_;
  if (log_) log_(lines_.back().resource, lines_.back().text);
}

std::vector<EventLine> Events::newest(const std::string& resource, size_t count) const {
  std::vector<EventLine> found;
  for (auto line = lines_.rbegin(); line != lines_.rend() && found.size() < count; ++line) {
    if (resource.empty() || line->resource == resource) found.push_back(*line);
  }
  std::reverse(found.begin(), found.end());
  return found;
}

Task<void> Events::save_loop() {
  for (bool goes_on = true; goes_on;) {
    goes_on = co_await io::sleep_for(machine_, save_pause, stop_);
    if (goes_on) co_await save();
  }
}

// A failure is tried again with the next line: the file is for people only.
Task<void> Events::save() {
  if (saved_ == added_) co_return;
  const uint64_t upto = added_;
  Json list = Json::array();
  for (const EventLine& line : lines_) {
    list.push_back({{"time", control::rfc3339(line.time_ns)}, {"resource", line.resource}, {"text", line.text}});
  }
  Json json = {{"events", std::move(list)}};
  if (co_await write_json(machine_, path_, std::move(json)) == Status::ok) saved_ = upto;
}

}  // namespace mars::node
