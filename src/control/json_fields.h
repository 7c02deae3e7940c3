// Reading JSON that nobody vouches for. Only .cc files include it: it brings the parser's types, and its bodies are in
// json_fields.cc so that the parser itself is compiled once.
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
Result<Json> parse_object(std::string_view text, size_t bytes_max);

// Any JSON value; one that cannot be read becomes `null`. For text that we wrote ourselves.
Json parse_or_null(std::string_view text);

// Bytes that are no UTF-8 are replaced, so that writing never throws.
std::string write_json(const Json& json);

// Takes fields out of one object; the first of a wrong type makes ok() false for good. An absent field leaves the
// target as it is, and so does null.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) { is_ok_ = object.is_object(); }

  bool ok() const { return is_ok_; }
  void fail() { is_ok_ = false; }

  const Json* find(const char* key) const;
  void get(const char* key, std::string& target);
  void get(const char* key, bool& target);
  void get(const char* key, uint64_t& target);
  void get(const char* key, std::optional<uint64_t>& target);
  void get(const char* key, std::vector<std::string>& target);
  void get_time(const char* key, uint64_t& target);
  void get_time(const char* key, std::optional<uint64_t>& target);
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
