#include "meta/register_map.h"

#include <algorithm>

#include "base/check.h"

namespace mars::meta {

const Register* RegisterMap::find(std::string_view scope, std::string_view key) const {
  auto at = registers_.find(Key(scope, key));
  return at == registers_.end() ? nullptr : &at->second;
}

std::vector<Register> RegisterMap::list(std::string_view scope, std::string_view prefix) const {
  std::vector<Register> found;
  for (auto at = registers_.lower_bound(Key(scope, prefix)); at != registers_.end(); ++at) {
    if (at->first.first != scope || !at->first.second.starts_with(prefix)) break;
    if (!at->second.tombstone) found.push_back(at->second);
  }
  return found;
}

std::vector<std::string> RegisterMap::scopes(std::string_view prefix) const {
  std::vector<std::string> found;
  for (auto at = registers_.lower_bound(Key(prefix, "")); at != registers_.end(); ++at) {
    const std::string& scope = at->first.first;
    if (!scope.starts_with(prefix)) break;
    if (!at->second.tombstone && (found.empty() || found.back() != scope)) found.push_back(scope);
  }
  return found;
}

std::vector<format::Delta> RegisterMap::newer_than(const VersionVector& known) const {
  std::vector<format::Delta> parts(1);
  size_t bytes = 0;
  for (const auto& [host, seen] : seen_.entries()) {
    const Seen* has = known.find(host);
    WrittenAt first = has == nullptr ? WrittenAt{host, {}, 0} : WrittenAt{host, has->incarnation, has->sequence + 1};
    for (auto at = by_writer_.lower_bound(first); at != by_writer_.end() && std::get<0>(at->first) == host; ++at) {
      const Register& value = registers_.at(at->second);
      size_t more = format::encoded_bytes(value);
      if (bytes > 0 && bytes + more > delta_part_bytes) {
        parts.emplace_back();
        bytes = 0;
      }
      bytes += more;
      parts.back().registers.push_back(value);
    }
  }
  parts.back().claimed = seen_.claimed();
  return parts;
}

bool RegisterMap::is_remembered_with_more(const Uuid& self, const VersionVector& peer) const {
  const Seen* remembered = peer.find(self);
  if (remembered == nullptr) return false;
  bool is_forgotten = lives_.size() >= lives_max && remembered->incarnation < lives_.begin()->first;
  if (is_forgotten) return false;
  auto life = lives_.find(remembered->incarnation);
  return life == lives_.end() || life->second < remembered->sequence;
}

std::vector<Register> RegisterMap::written_by(const Uuid& host) const {
  std::vector<Register> found;
  for (auto at = by_writer_.lower_bound({host, {}, 0}); at != by_writer_.end(); ++at) {
    if (std::get<0>(at->first) != host) break;
    found.push_back(registers_.at(at->second));
  }
  return found;
}

void RegisterMap::put(Register value) {
  Key key(value.scope, value.key);
  auto at = registers_.find(key);
  if (at != registers_.end()) by_writer_.erase(written_at(at->second));
  by_writer_[written_at(value)] = key;
  registers_.insert_or_assign(std::move(key), std::move(value));
}

std::vector<Incarnation> RegisterMap::surplus(const Lives& more) const {
  size_t count = lives_.size();
  for (const auto& [incarnation, sequence] : more) count += lives_.contains(incarnation) ? 0 : 1;
  std::vector<Incarnation> oldest;
  for (auto at = lives_.begin(); at != lives_.end() && count > lives_max; ++at) {
    if (more.contains(at->first)) continue;
    oldest.push_back(at->first);
    --count;
  }
  return oldest;
}

void RegisterMap::take(Change change) {
  for (auto& [key, value] : change.registers) put(std::move(value));
  seen_ = std::move(change.seen);
  for (const auto& [incarnation, sequence] : change.lives) lives_[incarnation] = sequence;
  for (const Incarnation& incarnation : change.forgotten) lives_.erase(incarnation);
}

ChangeBuilder::ChangeBuilder(const RegisterMap& base, WriterId self, size_t room)
    : base_(base), self_(self), room_(room) {
  change_.seen = base.seen();
  auto life = base.lives().find(self.incarnation);
  if (life != base.lives().end()) sequence_ = life->second;
}

const Register* ChangeBuilder::find(const Key& key) const {
  auto at = change_.registers.find(key);
  if (at != change_.registers.end()) return &at->second;
  return base_.find(key.first, key.second);
}

bool ChangeBuilder::has(const std::string& scope, const std::string& key, const Bytes& value) const {
  const Register* now = find({scope, key});
  return now != nullptr && !now->tombstone && now->value == value;
}

void ChangeBuilder::stamp_as_own(Register& value) {
  value.writer = self_;
  value.sequence = ++sequence_;
  change_.lives[self_.incarnation] = sequence_;
  change_.seen.raise(self_.host, {self_.incarnation, sequence_});
}

void ChangeBuilder::put(Register value) {
  Key key(value.scope, value.key);
  if (find(key) == nullptr) ++added_;
  change_.registers.insert_or_assign(std::move(key), std::move(value));
}

Status ChangeBuilder::set(std::string scope, std::string key, Bytes value, bool tombstone, const Stamp& stamp) {
  Register next{std::move(scope), std::move(key), std::move(value), 1, stamp, self_, sequence_ + 1, tombstone};
  if (!is_legitimate(next) || !format::encode_register(next)) return Status::invalid;
  std::optional<Kind> kind = kind_of(next.key);
  if (const Register* now = find({next.scope, next.key})) {
    bool is_equal = now->value == next.value && now->tombstone == tombstone;
    if (kind == Kind::immutable) return is_equal ? Status::ok : Status::exists;
    // A fact that did not change is not news. A wish is: another one may be on its way that this must outrank.
    if (kind == Kind::fact && is_equal) return Status::ok;
    // At the end of the numbers nothing can be wished any more; no honest host comes there.
    if (now->version == UINT64_MAX) return Status::no_space;
    next.version = now->version + 1;
  } else if (size() >= room_) {
    return Status::no_space;
  }
  stamp_as_own(next);
  put(std::move(next));
  return Status::ok;
}

Status ChangeBuilder::apply(const format::Delta& delta) { return take_in(delta, replaces); }

Status ChangeBuilder::take_in(const format::Delta& delta,
                              const std::function<bool(const Register&, const Register&)>& is_newer) {
  VersionVector claimed = VersionVector::from(delta.claimed);
  VersionVector all = change_.seen;
  all.raise(claimed);
  if (all.entries().size() > writers_max || !claimed.is_credible()) return Status::invalid;
  const auto is_new = [this](const Register& value) { return find({value.scope, value.key}) == nullptr; };
  if (size() + static_cast<size_t>(std::ranges::count_if(delta.registers, is_new)) > room_) return Status::no_space;
  for (const Register& value : delta.registers) {
    if (!is_legitimate(value)) {
      ++illegitimate_;
      continue;
    }
    const Register* now = find({value.scope, value.key});
    if (now == nullptr || is_newer(value, *now)) put(value);
  }
  // What we have written is known to nobody better than to us (R3); a claim beyond it is found as `rolled back`.
  claimed.forget(self_.host);
  change_.seen.raise(claimed);
  return Status::ok;
}

// Nothing of the store is thrown away: what this host wrote since it was lost or restored, in this life or an earlier
// one, is known to nobody else. Nor does it come back from the dead: whatever was undone since has a register that says
// so, a tombstone among them, and wins by the order of its kind.
Status ChangeBuilder::merge(const format::Delta& snapshot, const Stamp& start) {
  CHECK(change_.empty());
  const VersionVector claimed = VersionVector::from(snapshot.claimed);
  // What the peer remembers of us counts as lived: the snapshot has brought it back.
  if (const Seen* remembered = claimed.find(self_.host)) {
    uint64_t& sequence = change_.lives[remembered->incarnation];
    auto known = base_.lives().find(remembered->incarnation);
    sequence = std::max(remembered->sequence, known == base_.lives().end() ? 0 : known->second);
  }
  // A host that was restored counts its lives again, so their numbers do not tell which of its own facts is the later
  // one; its clock does. What it says since its start is true whatever the clock says.
  const auto is_newer = [&](const Register& theirs, const Register& ours) {
    const bool is_own_fact = kind_of(ours.key) == Kind::fact && ours.writer.host == self_.host;
    if (!is_own_fact) return replaces(theirs, ours);
    return ours.stamp < start &&
           std::tie(theirs.stamp, theirs.writer, theirs.sequence) > std::tie(ours.stamp, ours.writer, ours.sequence);
  };
  if (Status status = take_in(snapshot, is_newer); status != Status::ok) return status;
  for (Register& value : base_.written_by(self_.host)) {
    if (!change_.registers.contains({value.scope, value.key})) put(std::move(value));
  }
  for (auto& [key, value] : change_.registers) {
    if (value.writer.host == self_.host) stamp_as_own(value);
  }
  change_.seen.raise(self_.host, {self_.incarnation, sequence_});
  change_.lives[self_.incarnation] = sequence_;
  return Status::ok;
}

}  // namespace mars::meta
