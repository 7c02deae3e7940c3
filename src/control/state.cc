#include "control/state.h"

#include <array>

#include "base/check.h"

namespace mars::control {

namespace {

using enum State;
using enum Weight;

constexpr std::array<StateRow, 25> table = {{
    {unknown, "unknown", attention, "nothing was heard of this replica since the start of marsd"},
    {up_to_date, "up-to-date", good, "everything that the primary has made durable is here and on the data disk"},
    {replaying, "replaying", working, "the log is here and is being applied to the data disk"},
    {fetching, "fetching", working, "the log is being fetched from another host"},
    {syncing, "syncing", working, "extents are compared and copied; not consistent until this ends"},
    {paused, "paused", attention, "there is something to do, but the switch for it is off"},
    {opening, "opening", working, "the log is recovered, or other hosts are asked before the device opens"},
    {handing_over, "handing-over", working, "the right to write is on its way to another host"},
    {detached, "detached", good, "the data disk is closed because the operator wants it so"},
    {waiting_for_peer, "waiting-for-peer", attention, "no host that has what is needed can be reached"},
    {waiting_for_space, "waiting-for-space", broken, "the log disk is full and there is no replica left to drop"},
    {needs_primary, "needs-primary", attention, "reserved: there is no consistent replica to sync from yet"},
    {needs_room, "needs-room", attention,
     "reserved: too little room to keep the last consistent version during the sync"},
    {unreachable, "unreachable", attention, "this host does not answer; what is shown is what was heard last"},
    {log_dropped, "log-dropped", working,
     "reserved: its log was given up for room; it comes back by comparing digests"},
    {disk_missing, "disk-missing", broken, "the data disk cannot be opened"},
    {disk_changed, "disk-changed", broken, "the data disk is not the one, or not as it was when it was closed"},
    {disk_failed, "disk-failed", broken, "the data disk reported an error, or takes nothing"},
    {log_missing, "log-missing", broken, "the log cannot be read or written: not mounted, or mounted read-only"},
    {log_damaged, "log-damaged", broken, "durable parts of the log are damaged here and no other host has them whole"},
    {log_failed, "log-failed", broken,
     "the log, or the state block in the state directory, cannot be written; the reason says which"},
    {rolled_back, "rolled-back", broken,
     "what is stored here is older than what other hosts have seen of this host (a restored backup?); it stays closed"},
    {writes_lost, "writes-lost", broken, "acknowledged writes in memory were lost together with the pool"},
    {fork, "fork", broken, "two histories exist, neither continues the other (split brain); both are kept"},
    {failed, "failed", broken, "stopped by an unexpected error; the reason says which"},
}};

constexpr bool is_in_order() {
  for (size_t i = 0; i < table.size(); ++i) {
    if (static_cast<size_t>(table[i].state) != i) return false;
  }
  return static_cast<size_t>(failed) + 1 == table.size();
}
static_assert(is_in_order());

constexpr std::array<std::string_view, 3> roles = {"unknown", "secondary", "primary"};
constexpr std::array<std::string_view, 3> kinds = {"fetch", "replay", "sync"};

template <class Enum>
std::optional<Enum> find_in(const std::array<std::string_view, 3>& names, std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

}  // namespace

std::span<const StateRow> states() { return table; }

const StateRow& row(State state) {
  CHECK(static_cast<size_t>(state) < table.size());
  return table[static_cast<size_t>(state)];
}

std::optional<State> find_state(std::string_view name) {
  for (const StateRow& candidate : table) {
    if (candidate.name == name) return candidate.state;
  }
  return std::nullopt;
}

std::string_view name(Role role) { return roles.at(static_cast<size_t>(role)); }
std::optional<Role> find_role(std::string_view name) { return find_in<Role>(roles, name); }
std::string_view name(TransferKind kind) { return kinds.at(static_cast<size_t>(kind)); }
std::optional<TransferKind> find_transfer_kind(std::string_view name) { return find_in<TransferKind>(kinds, name); }

}  // namespace mars::control
