#include "node/instruments.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "bricks/check.h"
#include "bricks/delay.h"
#include "bricks/fault.h"
#include "bricks/stats.h"
#include "bricks/throttle.h"
#include "bricks/trace.h"
#include "control/value_text.h"
#include "control/words.h"

namespace mars::node {

namespace {

using replication::Instrument;
using Maker = replication::Insertions::Maker;

// A request is never held longer, or closing the device would seem to hang.
constexpr uint64_t delay_ms_max = 60'000;
constexpr uint64_t events_max = 65'536;

// The settings of one insertion; the first value that does not fit stays as the problem.
class Settings {
 public:
  Settings(std::string type, std::map<std::string, std::string> values)
      : type_(std::move(type)), values_(std::move(values)) {}

  bool has(const std::string& key) const { return values_.contains(key); }
  std::string text(const std::string& key, const std::string& otherwise) const {
    const auto found = values_.find(key);
    return found == values_.end() ? otherwise : found->second;
  }
  uint64_t number(const std::string& key, uint64_t otherwise, Result<uint64_t> (*parse)(std::string_view),
                  uint64_t most) {
    const auto found = values_.find(key);
    if (found == values_.end()) return otherwise;
    const Result<uint64_t> value = parse(found->second);
    if (!value) {
      complain(key + ": " + value.error().text);
    } else if (*value > most) {
      complain(key + ": " + found->second + " is too much");
    }
    return value ? std::min(*value, most) : otherwise;
  }
  io::Duration time(const std::string& key) {
    return std::chrono::milliseconds(number(key, 0, &control::parse_duration_ms, delay_ms_max));
  }
  void complain(std::string what) {
    if (problem_.empty()) problem_ = type_ + ": " + std::move(what);
  }
  const std::string& problem() const { return problem_; }

 private:
  const std::string type_;
  const std::map<std::string, std::string> values_;
  std::string problem_;
};

uint64_t seed_of(io::Machine& machine) {
  uint64_t seed = 0;
  machine.random_bytes(std::as_writable_bytes(std::span(&seed, 1)));
  return seed;
}

template <class Brick>
Instrument instrument_of(std::unique_ptr<Brick> brick, std::string (Brick::*report)() const) {
  Instrument instrument;
  Brick* its = brick.get();
  instrument.below = &brick->below();
  if constexpr (std::is_base_of_v<brick::Switch, Brick>) instrument.button = its;
  if (report != nullptr) instrument.report = [its, report] { return (its->*report)(); };
  instrument.brick = std::move(brick);
  return instrument;
}

Maker make_trace(io::Machine& machine, Settings& settings) {
  const uint64_t events = settings.number("events", 256, &control::parse_count, events_max);
  if (events == 0) settings.complain("events: at least one");
  return [&machine, events](xio::Output& below) -> Result<Instrument> {
    return instrument_of(std::make_unique<bricks::Trace>(machine.ready(), below, events), &bricks::Trace::dump);
  };
}

Maker make_stats(io::Machine& machine, Settings&) {
  return [&machine](xio::Output& below) -> Result<Instrument> {
    return instrument_of(std::make_unique<bricks::Stats>(machine, below), &bricks::Stats::dump);
  };
}

Maker make_check(io::Machine& machine, Settings&) {
  return [&machine](xio::Output& below) -> Result<Instrument> {
    bricks::CheckOptions options;
    return instrument_of(std::make_unique<bricks::Check>(machine.ready(), below, options), &bricks::Check::report);
  };
}

Maker make_delay(io::Machine& machine, Settings& settings) {
  bricks::DelayOptions options;
  options.shortest = settings.time("shortest");
  options.longest = settings.has("longest") ? settings.time("longest") : options.shortest;
  options.seed = seed_of(machine);
  if (options.longest == io::Duration{}) settings.complain("longest is missing, as in --set longest=20ms");
  if (options.longest < options.shortest) settings.complain("longest is shorter than shortest");
  return [&machine, options](xio::Output& below) -> Result<Instrument> {
    return instrument_of(std::make_unique<bricks::Delay>(machine, below, options),
                         static_cast<std::string (bricks::Delay::*)() const>(nullptr));
  };
}

Maker make_throttle(io::Machine& machine, Settings& settings) {
  constexpr uint64_t bytes_min = 64u << 10;  // slower than that, closing the device would seem to hang
  bricks::ThrottleRates rates;
  rates.bytes_per_second = settings.number("bytes", 0, &control::parse_size, uint64_t{1} << 40);
  rates.requests_per_second = settings.number("requests", 0, &control::parse_count, 1'000'000'000);
  if (rates.bytes_per_second == 0 && rates.requests_per_second == 0) {
    settings.complain("bytes or requests per second are missing, as in --set bytes=10M");
  }
  if (rates.bytes_per_second != 0 && rates.bytes_per_second < bytes_min) settings.complain("bytes: at least 64K");
  return [&machine, rates](xio::Output& below) -> Result<Instrument> {
    return instrument_of(std::make_unique<bricks::Throttle>(machine, below, rates),
                         static_cast<std::string (bricks::Throttle::*)() const>(nullptr));
  };
}

Maker make_fault(io::Machine& machine, Settings& settings) {
  bricks::FaultRule rule;
  const std::string wanted = settings.text("op", "");
  bool is_known = false;
  for (size_t i = 0; i < xio::op_count; ++i) {
    const auto op = static_cast<xio::Op>(i);
    if (name(op) != wanted) continue;
    is_known = true;
    rule.op = op;
  }
  if (!is_known)
    settings.complain("op must be read, write, flush, discard or write_zeroes, as in --set op=write,nth=1");
  rule.nth = settings.number("nth", 0, &control::parse_count, ~uint64_t{0});
  rule.whole = settings.number("one-in", 0, &control::parse_count, ~uint64_t{0});
  if ((rule.nth == 0) == (rule.whole == 0)) settings.complain("give nth=N (that request) or one-in=N (by chance)");
  rule.parts = rule.whole == 0 ? 0 : 1;
  rule.whole = std::max<uint64_t>(rule.whole, 1);
  const std::string answer = settings.text("answer-lost", "off");
  if (answer != "on" && answer != "off") settings.complain("answer-lost must be on or off");
  rule.done = answer == "on";
  const uint64_t seed = seed_of(machine);
  return [&machine, rule, seed](xio::Output& below) -> Result<Instrument> {
    auto brick = std::make_unique<bricks::Fault>(machine.ready(), below, seed);
    brick->add(rule);
    Instrument instrument =
        instrument_of(std::move(brick), static_cast<std::string (bricks::Fault::*)() const>(nullptr));
    const auto* its = static_cast<const bricks::Fault*>(instrument.brick.get());
    instrument.report = [its] { return std::to_string(its->injected()) + " requests were made to fail\n"; };
    return instrument;
  };
}

struct Row {
  std::string_view type;
  std::string_view settings;  // separated by '|'
  Maker (*make)(io::Machine& machine, Settings& settings);
};

constexpr std::array rows = {
    Row{"check", "", &make_check},
    Row{"delay", "shortest|longest", &make_delay},
    Row{"fault", "op|nth|one-in|answer-lost", &make_fault},
    Row{"stats", "", &make_stats},
    Row{"throttle", "bytes|requests", &make_throttle},
    Row{"trace", "events", &make_trace},
};

Result<std::map<std::string, std::string>> parse(const Row& row, std::string_view text) {
  std::map<std::string, std::string> values;
  const std::vector<std::string_view> known = control::words_of(row.settings);
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    if (equals == std::string_view::npos) {
      return failure(Status::invalid, "settings are written as KEY=VALUE,KEY=VALUE, not \"" + std::string(word) + "\"");
    }
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return failure(Status::invalid, std::string(row.type) + " has no setting \"" + std::string(key) + "\"" +
                                          control::suggestion(key, known));
    }
    values[std::string(key)] = std::string(word.substr(equals + 1));
  }
  return values;
}

}  // namespace

Result<Maker> instrument_maker(io::Machine& machine, const std::string& type, const std::string& text) {
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.type == type; });
  if (row == rows.end()) {
    std::string types;
    for (const Row& each : rows) types += (types.empty() ? "" : ", ") + std::string(each.type);
    return failure(Status::invalid, "there is no instrument \"" + type + "\"; there are " + types);
  }
  Result<std::map<std::string, std::string>> values = parse(*row, text);
  if (!values) return failure(values.error());
  Settings settings(type, std::move(*values));
  Maker maker = row->make(machine, settings);
  if (!settings.problem().empty()) return failure(Status::invalid, settings.problem());
  return maker;
}

}  // namespace mars::node
