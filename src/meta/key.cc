#include "meta/key.h"

#include <algorithm>
#include <tuple>

#include "meta/version_vector.h"

namespace mars::meta {

namespace {

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '/';
  });
}

}  // namespace

std::string fact_key(std::string_view name, const Uuid& owner) { return std::string(name) + "@" + to_string(owner); }

std::string immutable_key(std::string_view name, std::string_view what) {
  return std::string(name) + "!" + std::string(what);
}

std::optional<Kind> kind_of(std::string_view key) {
  size_t sign = key.find_first_of("@!");
  if (!is_name(key.substr(0, sign))) return std::nullopt;
  if (sign == std::string_view::npos) return Kind::wish;
  std::string_view behind = key.substr(sign + 1);
  if (key[sign] == '!') return is_name(behind) ? std::optional(Kind::immutable) : std::nullopt;
  Result<Uuid> owner = parse_uuid(behind);
  // One spelling only: else one fact could have two keys.
  return owner && to_string(*owner) == behind ? std::optional(Kind::fact) : std::nullopt;
}

std::optional<Uuid> owner_of(std::string_view key) {
  if (kind_of(key) != Kind::fact) return std::nullopt;
  return *parse_uuid(key.substr(key.find('@') + 1));
}

bool is_legitimate(const format::Register& value) {
  std::optional<Kind> kind = kind_of(value.key);
  if (!kind || value.writer.host.is_nil() || value.sequence == 0) return false;
  if (!is_credible(value.writer.incarnation)) return false;
  if (kind == Kind::fact) return owner_of(value.key) == value.writer.host;
  return kind != Kind::immutable || !value.tombstone;
}

bool replaces(const format::Register& b, const format::Register& a) {
  switch (kind_of(b.key).value_or(Kind::wish)) {
    case Kind::fact:
      return format::fact_replaces(b, a);
    case Kind::immutable:
      // Two hosts made the same immutable thing apart from each other: the same one stays everywhere. One that its host
      // publishes anew (R3) has the stamp that it had, and takes the place of the former: else who has that would pass
      // on nothing to those who have only seen a life after it.
      return std::tie(a.writer.host, a.stamp, b.writer.incarnation, b.sequence) >
             std::tie(b.writer.host, b.stamp, a.writer.incarnation, a.sequence);
    case Kind::wish:
      break;
  }
  return format::wish_replaces(b, a);
}

}  // namespace mars::meta
