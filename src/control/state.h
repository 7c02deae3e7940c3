// The states of a replica as people and programs see them: one table with name, weight and explanation. A state is
// derived by the node from what is measured; it is never stored and nothing depends on it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace mars::control {

enum class State : uint8_t {
  unknown,  // never heard of it since our start
  up_to_date,
  replaying,
  fetching,
  syncing,
  paused,  // a switch is off and there is something to do
  opening,
  handing_over,
  detached,
  waiting_for_peer,
  waiting_for_space,
  needs_primary,
  needs_room,
  unreachable,
  log_dropped,
  disk_missing,
  disk_changed,
  disk_failed,
  log_missing,
  log_damaged,
  log_failed,
  rolled_back,
  writes_lost,
  fork,
  failed,
};

enum class Weight : uint8_t {
  good,       // as it should be
  working,    // on its way, nothing to do
  attention,  // somebody should look
  broken,     // stays until somebody acts
};

struct StateRow {
  State state;
  std::string_view name;  // "up-to-date"
  Weight weight;
  std::string_view help;  // what it means
};

std::span<const StateRow> states();  // in the order of the enumeration
const StateRow& row(State state);
inline std::string_view name(State state) { return row(state).name; }
std::optional<State> find_state(std::string_view name);

enum class Role : uint8_t { unknown, secondary, primary };
std::string_view name(Role role);
std::optional<Role> find_role(std::string_view name);

enum class TransferKind : uint8_t { fetch, replay, sync };
std::string_view name(TransferKind kind);
std::optional<TransferKind> find_transfer_kind(std::string_view name);

}  // namespace mars::control
