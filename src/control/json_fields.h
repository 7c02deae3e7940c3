// Reading JSON that nobody vouches for. For the .cc files of this folder only: it includes the parser.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "control/value_text.h"

namespace mars::control {

using Json = nlohmann::json;

// An object of at most `bytes_max`, or invalid. Never throws.
inline Result<Json> parse_object(std::string_view text, size_t bytes_max) {
  if (text.size() > bytes_max) return failure(Status::invalid, "too long");
  Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (json.is_discarded() || !json.is_object()) return failure(Status::invalid, "not a JSON object");
  return json;
}

// Bytes that are no UTF-8 are replaced, so that writing never throws.
inline std::string write_json(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// Takes fields out of one object; the first of a wrong type makes ok() false for good. An absent field leaves the
// target as it is, and so does null.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) { is_ok_ = object.is_object(); }

  bool ok() const { return is_ok_; }
  void fail() { is_ok_ = false; }

  const Json* find(const char* key) const {
    if (!is_ok_) return nullptr;
    auto at = object_.find(key);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }
  void get(const char* key, std::string& target) {
    const Json* json = find(key);
    if (json == nullptr) return;
    if (json->is_string())
      target = json->get_ref<const std::string&>();
    else
      fail();
  }
  void get(const char* key, bool& target) {
    const Json* json = find(key);
    if (json == nullptr) return;
    if (json->is_boolean())
      target = json->get<bool>();
    else
      fail();
  }
  void get(const char* key, uint64_t& target) {
    const Json* json = find(key);
    if (json == nullptr) return;
    if (json->is_number_unsigned())
      target = json->get<uint64_t>();
    else
      fail();
  }
  void get(const char* key, std::optional<uint64_t>& target) {
    if (find(key) != nullptr) get(key, target.emplace());
  }
  void get(const char* key, std::vector<std::string>& target) {
    each(key, [&](const Json& item) {
      if (item.is_string())
        target.push_back(item.get_ref<const std::string&>());
      else
        fail();
    });
  }
  void get_time(const char* key, uint64_t& target) {
    std::string text;
    get(key, text);
    if (text.empty()) return;
    Result<uint64_t> time = parse_rfc3339(text);
    if (time)
      target = *time;
    else
      fail();
  }
  void get_time(const char* key, std::optional<uint64_t>& target) {
    if (find(key) != nullptr) get_time(key, target.emplace());
  }
  // A word of a table: `find_word(text)` returns an optional of the enumeration.
  template <class Enum, class Find>
  void get_word(const char* key, Enum& target, Find find_word) {
    std::string text;
    get(key, text);
    if (!is_ok_ || find(key) == nullptr) return;
    std::optional<Enum> word = find_word(text);
    if (word)
      target = *word;
    else
      fail();
  }
  template <class Visit>
  void each(const char* key, Visit visit) {
    const Json* json = find(key);
    if (json == nullptr) return;
    if (!json->is_array()) return fail();
    for (const Json& item : *json) visit(item);
  }

 private:
  const Json& object_;
  bool is_ok_ = false;
};

}  // namespace mars::control
