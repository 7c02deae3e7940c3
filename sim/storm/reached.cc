#include "sim/storm/reached.h"

#include <charconv>

namespace mars::sim {

void Reached::add(const Reached& other) {
  for (const auto& [what, times] : other.counts_) counts_[what] += times;
}

std::vector<std::string> Reached::missing(uint64_t least) const {
  std::vector<std::string> missing;
  for (const std::string& what : expected()) {
    const auto found = counts_.find(what);
    if (found == counts_.end() || found->second < least) missing.push_back(what);
  }
  return missing;
}

std::string Reached::table() const {
  std::string text;
  for (const auto& [what, times] : counts_) {
    std::string count = std::to_string(times);
    text += std::string(count.size() < 10 ? 10 - count.size() : 0, ' ') + count + "  " + what + "\n";
  }
  return text;
}

std::string Reached::encode() const {
  std::string text;
  for (const auto& [what, times] : counts_) text += what + "\t" + std::to_string(times) + "\n";
  return text;
}

void Reached::decode(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    const size_t tab = line.rfind('\t');
    uint64_t times = 0;
    if (tab != std::string_view::npos) {
      std::from_chars(line.data() + tab + 1, line.data() + line.size(), times);
      count(line.substr(0, tab), times);
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

const std::vector<std::string>& Reached::expected() {
  static const std::vector<std::string> all = {};
  return all;
}

}  // namespace mars::sim
