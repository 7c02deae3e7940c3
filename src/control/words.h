// Lists of words in the tables: "auto|fuse|nbd|none"; and the sentence that offers the nearest word.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mars::control {

std::vector<std::string_view> words_of(std::string_view choices);
bool is_word_of(std::string_view choices, std::string_view word);

// "; did you mean \"primary\"?", or the whole list when nothing is near: "; there are a, b, c".
std::string suggestion(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace mars::control
