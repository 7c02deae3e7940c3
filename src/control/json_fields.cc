#include "control/json_fields.h"

namespace mars::control {

Result<Json> parse_object(std::string_view text, size_t bytes_max) {
  if (text.size() > bytes_max) return failure(Status::invalid, "too long");
  Json json = parse_or_null(text);
  if (!json.is_object()) return failure(Status::invalid, "not a JSON object");
  return json;
}

// Nothing of ours is deeper than a few levels, and writing one that is takes stack for each.
Json parse_or_null(std::string_view text) {
  constexpr int depth_max = 32;
  bool is_too_deep = false;
  const auto look = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > depth_max) is_too_deep = true;
    return depth <= depth_max;
  };
  Json json = Json::parse(text.begin(), text.end(), look, false);
  return json.is_discarded() || is_too_deep ? Json() : json;
}

std::string write_json(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

const Json* Fields::find(const char* key) const {
  if (!is_ok_) return nullptr;
  auto at = object_.find(key);
  return at == object_.end() || at->is_null() ? nullptr : &*at;
}

void Fields::get(const char* key, std::string& target) {
  const Json* json = find(key);
  if (json == nullptr) return;
  if (json->is_string())
    target = json->get_ref<const std::string&>();
  else
    fail();
}

void Fields::get(const char* key, bool& target) {
  const Json* json = find(key);
  if (json == nullptr) return;
  if (json->is_boolean())
    target = json->get<bool>();
  else
    fail();
}

void Fields::get(const char* key, uint64_t& target) {
  const Json* json = find(key);
  if (json == nullptr) return;
  if (json->is_number_unsigned())
    target = json->get<uint64_t>();
  else
    fail();
}

void Fields::get(const char* key, std::optional<uint64_t>& target) {
  if (find(key) != nullptr) get(key, target.emplace());
}

void Fields::get(const char* key, std::vector<std::string>& target) {
  each(key, [&](const Json& item) {
    if (item.is_string())
      target.push_back(item.get_ref<const std::string&>());
    else
      fail();
  });
}

void Fields::get_time(const char* key, uint64_t& target) {
  std::string text;
  get(key, text);
  if (text.empty()) return;
  Result<uint64_t> time = parse_rfc3339(text);
  if (time)
    target = *time;
  else
    fail();
}

void Fields::get_time(const char* key, std::optional<uint64_t>& target) {
  if (find(key) != nullptr) get_time(key, target.emplace());
}

}  // namespace mars::control
