// RegisterMap: the registers of one host in memory, with what it has seen. Pure values: what others write, what they
// have not seen, what is to be changed; no I/O, no clock. It holds only what is durable: a change is composed first
// (Change), made durable by the owner, and then put in with take().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/status.h"
#include "format/registers.h"
#include "meta/key.h"
#include "meta/version_vector.h"

namespace mars::meta {

using Bytes = std::vector<std::byte>;
using Key = std::pair<std::string, std::string>;  // scope, key
using format::Register;
using format::WriterId;

inline constexpr size_t registers_max = 1u << 20;
inline constexpr size_t writers_max = 4096;  // hosts that a vector may name; a delta has room for more
inline constexpr size_t delta_part_bytes = 256u << 10;

inline constexpr size_t lives_max = 4096;  // older ones are forgotten, and then believed when others remember them

// Of this host: its incarnations and the last sequence number that each has used.
using Lives = std::map<Incarnation, uint64_t>;

// What a transaction changes, on top of a RegisterMap.
struct Change {
  std::map<Key, Register> registers;
  VersionVector seen;                  // the whole vector as it will be
  Lives lives;                         // those that change
  std::vector<Incarnation> forgotten;  // lives that go
  bool empty() const { return registers.empty() && lives.empty(); }
};

class RegisterMap {
 public:
  const Register* find(std::string_view scope, std::string_view key) const;  // tombstones too; null: none
  // Without tombstones, by key; `prefix` of the key, empty for all.
  std::vector<Register> list(std::string_view scope, std::string_view prefix) const;
  std::vector<std::string> scopes(std::string_view prefix) const;  // that have at least one living register
  size_t size() const { return registers_.size(); }

  const VersionVector& seen() const { return seen_; }
  const Lives& lives() const { return lives_; }

  // What somebody with this vector has not seen, in parts of about delta_part_bytes; only the last part claims
  // anything, so each part may be applied at once and an interrupted series is simply begun again (R4). Never empty.
  std::vector<format::Delta> newer_than(const VersionVector& known) const;

  // A peer shows what it remembers of `self`: more than self knows of itself means that our store was rolled back (R3).
  bool is_remembered_with_more(const Uuid& self, const VersionVector& peer) const;

  std::vector<Register> written_by(const Uuid& host) const;

  // The oldest lives, which are too many with these.
  std::vector<Incarnation> surplus(const Lives& more) const;

  void take(Change change);  // what is durable now

 private:
  using WrittenAt = std::tuple<Uuid, Incarnation, uint64_t>;
  static WrittenAt written_at(const Register& value) {
    return {value.writer.host, value.writer.incarnation, value.sequence};
  }
  void put(Register value);

  std::map<Key, Register> registers_;
  std::map<WrittenAt, Key> by_writer_;  // for newer_than: cost follows change, not size
  VersionVector seen_;
  Lives lives_;
};

// Composes one Change out of several operations, each seeing those before it.
class ChangeBuilder {
 public:
  ChangeBuilder(const RegisterMap& base, WriterId self, size_t room = registers_max);

  // Writes of this host. exists: an immutable one with another value is there.
  Status set(std::string scope, std::string key, Bytes value, bool tombstone, const Stamp& stamp);
  // What is there, after what was composed so far.
  bool has(const std::string& scope, const std::string& key, const Bytes& value) const;
  // Of others; what is not legitimate is left out and counted.
  Status apply(const format::Delta& delta);
  // What a peer has, while it remembers more of this host than the store: both together, and everything of this host's
  // own anew under the writer `self` (R3). Alone in its change. `start`: of this process; its facts are later.
  Status merge(const format::Delta& snapshot, const Stamp& start);

  size_t illegitimate() const { return illegitimate_; }
  Change take() { return std::move(change_); }

 private:
  const Register* find(const Key& key) const;
  Status take_in(const format::Delta& delta, const std::function<bool(const Register&, const Register&)>& is_newer);
  void stamp_as_own(Register& value);
  void put(Register value);
  size_t size() const { return base_.size() + added_; }

  const RegisterMap& base_;
  const WriterId self_;
  const size_t room_;
  size_t added_ = 0;  // under keys that are not in the base
  uint64_t sequence_ = 0;
  size_t illegitimate_ = 0;
  Change change_;
};

}  // namespace mars::meta
