// Kinds of registers, told by the key itself, so that a host passes on correctly what it does not know (R4).
//   "designated"          wish: anybody may write; the higher version wins, then stamp, then writer (R2)
//   "position@<uuid>"     fact of that host: only it may write; its latest write wins (R2)
//   "member!<uuid>"       immutable: the first write stays for ever (R1); to remove is another key, and removed wins
// Names are [a-z0-9._/-]; what stands behind the sign is the owner's uuid for a fact and free for an immutable one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "format/registers.h"
#include "format/values.h"

namespace mars::meta {

enum class Kind : uint8_t { wish, fact, immutable };

std::string fact_key(std::string_view name, const Uuid& owner);
std::string immutable_key(std::string_view name, std::string_view what);

// Nothing: no legal key; such a register is not taken.
std::optional<Kind> kind_of(std::string_view key);
std::optional<Uuid> owner_of(std::string_view key);  // of a fact

// A legal key, written by who may write it.
bool is_legitimate(const format::Register& value);

// True when `b` takes the place of `a` under the same key: a total order, the same on every host.
bool replaces(const format::Register& b, const format::Register& a);

}  // namespace mars::meta
