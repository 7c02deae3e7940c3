#include "sim/storm/plan.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "base/prng.h"

namespace mars::sim {
namespace {

constexpr ActRow table[] = {
    {Act::write_burst, "write", 60, "writes, zeroes, flushes and reads, up to 48 at once"},
    {Act::read_back, "read", 4, "everything is read back"},
    {Act::rest, "rest", 26, "up to four seconds"},
    {Act::mend, "mend", 22, "one trouble that lasts ends; dead hosts start"},
    {Act::mend_all, "calm", 3, "all troubles end, and some time passes"},
    {Act::disk_error_once, "disk.error-once", 2, "one read, write or flush fails: log, data or metadata; all hold"},
    {Act::disk_error_lasting, "disk.error-lasting", 1, "from now on one kind of operation fails; all hold"},
    {Act::disk_full, "disk.full", 2, "no room on the log disk; all hold"},
    {Act::disk_slow, "disk.slow", 2, "everything takes up to 200 times as long; all hold, acks may be late"},
    {Act::disk_stuck, "disk.stuck", 2, "nothing completes; all hold, acks may be late"},
    {Act::disk_rot, "disk.rot", 1, "a bit of the log flips: what only this host had may be gone (P2, P1)"},
    {Act::disk_latent, "disk.latent", 1, "a sector of the log cannot be read: as rot"},
    {Act::disk_misdirected, "disk.misdirected", 1, "a write to the log lands elsewhere in it: as rot"},
    {Act::disk_lost_write, "disk.lost-write", 1, "a write to the log is not there: as rot"},
    {Act::network_cut, "network.cut", 4, "both directions between two hosts; all hold"},
    {Act::network_cut_one_way, "network.cut-one-way", 3, "one direction; all hold"},
    {Act::network_isolate, "network.isolate", 4, "one host hears nobody; all hold"},
    {Act::network_flap, "network.flap", 2, "cut and healed some times in a second; all hold"},
    {Act::network_reset, "network.reset", 3, "all connections between two hosts; all hold"},
    {Act::network_half_open, "network.half-open", 2, "one end of the connections is gone; all hold"},
    {Act::network_latency, "network.latency", 2, "up to a second, and jitter between connections; all hold"},
    {Act::network_bandwidth, "network.bandwidth", 2, "some KiB per second; all hold"},
    {Act::clock_skew, "clock.skew", 1, "a wall clock is wrong by up to a year; all hold"},
    {Act::clock_jump, "clock.jump", 1, "a wall clock jumps; all hold"},
    {Act::clock_stopped, "clock.stopped", 1, "a wall clock stands; all hold"},
    {Act::host_kill, "host.kill", 5, "kill -9 at any event; all hold"},
    {Act::host_power_loss, "host.power-loss", 5, "at any event, unflushed sectors torn; all hold"},
    {Act::host_kill_at_disk, "host.kill-at-disk", 3, "at a change of a disk; all hold"},
    {Act::host_power_loss_at_disk, "host.power-loss-at-disk", 3, "at a change of a disk; all hold"},
    {Act::host_stop, "host.stop", 3, "SIGTERM; all hold"},
    {Act::host_pause, "host.pause", 2, "SIGSTOP; all hold, acks may be late"},
    {Act::host_pool_lost, "host.pool-lost", 1, "killed, and the memory behind the pool too: D6, as power loss"},
    {Act::host_other_disk, "host.other-disk", 1, "a replica's disk is replaced by an empty one; all hold"},
    {Act::host_store_lost, "host.store-lost", 2, "killed, and its metadata store is gone or an older one; all hold"},
    {Act::operator_handover, "operator.handover", 8, "primary; nothing acknowledged may be lost (P5)"},
    {Act::operator_force, "operator.force", 5, "primary --force: what the other side has is not here (P5)"},
    {Act::operator_secondary, "operator.secondary", 2, "secondary"},
    {Act::operator_invalidate, "operator.invalidate", 2, "invalidate: this host's own version goes (P6)"},
    {Act::operator_switch, "operator.switch", 5, "pause and resume fetch, replay, sync; up, down"},
    {Act::operator_attach, "operator.attach", 3, "detach, attach"},
    {Act::operator_membership, "operator.membership", 3, "leave-resource, join-resource"},
    {Act::operator_setting, "operator.setting", 2, "set"},
    {Act::operator_in_use, "operator.in-use", 2, "a filesystem is mounted on the device"},
    {Act::operator_illegal, "operator.illegal", 3, "commands that must be refused"},
};

bool is_always(const ActRow& row) { return row.name.find('.') == std::string_view::npos; }

bool is_meant(const ActRow& row, std::string_view word) {
  return row.name == word || (row.name.starts_with(word) && row.name.substr(word.size()).starts_with('.'));
}

Result<size_t> number(std::string_view text) {
  size_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || value > 1'000'000) {
    return failure(Status::invalid, "\"" + std::string(text) + "\" is no step");
  }
  return value;
}

// Calls f with each word between commas; stops at the first error.
template <class F>
Status for_each_word(std::string_view list, F&& f) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    if (Status status = f(list.substr(0, comma)); status != Status::ok) return status;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return Status::ok;
}

}  // namespace

std::span<const ActRow> acts() { return table; }

const ActRow& row(Act act) {
  const ActRow& found = table[static_cast<size_t>(act)];
  CHECK(found.act == act);
  return found;
}

Faults all_faults() {
  Faults all;
  for (const ActRow& row : table) {
    if (!is_always(row)) all.insert(row.act);
  }
  return all;
}

Result<Faults> parse_faults(std::string_view list) {
  Faults faults;
  if (list.starts_with('-') || list == "all") faults = all_faults();
  if (list == "all" || list == "none") return faults;
  std::string unknown;
  const Status status = for_each_word(list, [&](std::string_view word) {
    const bool is_taken = word.starts_with('-');
    const std::string_view name = is_taken ? word.substr(1) : word;
    bool is_known = false;
    for (const ActRow& row : table) {
      if (is_always(row) || !is_meant(row, name)) continue;
      is_known = true;
      if (is_taken) {
        faults.erase(row.act);
      } else {
        faults.insert(row.act);
      }
    }
    if (!is_known) unknown = name;
    return is_known ? Status::ok : Status::invalid;
  });
  if (status != Status::ok) return failure(status, "no fault is called \"" + unknown + "\"; see mars-sim --help");
  return faults;
}

Plan make_plan(uint64_t seed, const Faults& faults, size_t steps) {
  Prng prng(seed ^ 0x5707e57a12345678);
  std::vector<const ActRow*> allowed;
  unsigned sum = 0;
  // Each seed has its own mixture: one of three kinds of trouble is left out, so that the others reach further.
  Prng mixture = prng.fork();
  for (const ActRow& row : table) {
    const bool is_in = is_always(row) || (faults.contains(row.act) && !mixture.chance(1, 3));
    if (!is_in) continue;
    allowed.push_back(&row);
    sum += row.weight;
  }
  Plan plan;
  for (size_t i = 0; i < steps; ++i) {
    uint64_t choice = prng.below(sum);
    size_t at = 0;
    while (choice >= allowed[at]->weight) choice -= allowed[at++]->weight;
    plan.push_back({allowed[at]->act, prng.next()});
  }
  return plan;
}

std::string steps_text(const std::set<size_t>& steps) {
  std::string text;
  for (auto step = steps.begin(); step != steps.end();) {
    const size_t first = *step;
    size_t last = first;
    for (++step; step != steps.end() && *step == last + 1; ++step) ++last;
    if (!text.empty()) text += ',';
    text += std::to_string(first);
    if (last > first) text += "-" + std::to_string(last);
  }
  return text;
}

Result<std::set<size_t>> parse_steps(std::string_view text) {
  std::set<size_t> steps;
  const Status status = for_each_word(text, [&](std::string_view word) {
    const size_t dash = word.find('-');
    const auto first = number(word.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : number(word.substr(dash + 1));
    if (!first || !last) return Status::invalid;
    for (size_t step = *first; step <= *last; ++step) steps.insert(step);
    return Status::ok;
  });
  if (status != Status::ok) return failure(status, "\"" + std::string(text) + "\" is no list such as 0-12,17");
  return steps;
}

}  // namespace mars::sim
