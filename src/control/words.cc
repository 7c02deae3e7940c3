#include "control/words.h"

#include <fmt/core.h>

#include <algorithm>

#include "control/value_text.h"

namespace mars::control {

std::vector<std::string_view> words_of(std::string_view choices) {
  std::vector<std::string_view> words;
  while (!choices.empty()) {
    size_t end = std::min(choices.find('|'), choices.size());
    words.push_back(choices.substr(0, end));
    choices.remove_prefix(std::min(end + 1, choices.size()));
  }
  return words;
}

bool is_word_of(std::string_view choices, std::string_view word) {
  return std::ranges::count(words_of(choices), word) > 0;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates) {
  if (std::string_view near = nearest(word, candidates); !near.empty())
    return fmt::format("; did you mean \"{}\"?", near);
  if (candidates.empty()) return {};
  std::string text = "; there are ";
  for (size_t i = 0; i < candidates.size(); ++i) {
    text += i == 0 ? "" : ", ";
    text += candidates[i];
  }
  return text;
}

}  // namespace mars::control
