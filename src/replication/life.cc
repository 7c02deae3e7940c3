#include "replication/life.h"

#include <charconv>

#include "base/bytes.h"

namespace mars::replication {

std::string to_text(const Life& life) { return to_string(life.id) + " " + std::to_string(life.born.value); }

Result<Life> parse_life(std::string_view text) {
  const size_t space = std::min(text.find(' '), text.size());
  auto id = parse_uuid(text.substr(0, space));
  if (!id) return failure(id.error());
  Life life{*id, {}};
  if (space == text.size()) return life;
  const std::string_view number = text.substr(space + 1);
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), life.born.value);
  if (parsed.ec != std::errc() || parsed.ptr != number.data() + number.size()) {
    return failure(Status::damaged, "\"" + std::string(number) + "\" is no position");
  }
  return life;
}

Task<Result<Life>> read_life(io::Machine& machine, std::string state_directory) {
  auto content = co_await machine.storage().read_file(state_directory + "/life", 64);
  if (!content) co_return failure(content.error());
  co_return parse_life(text_of(*content));
}

Task<Status> write_life(io::Machine& machine, std::string state_directory, Life life) {
  const std::string text = to_text(life);
  const ByteView view = bytes_of(text);
  io::Bytes content(view.begin(), view.end());
  co_return co_await machine.storage().write_file(state_directory + "/life", std::move(content), false);
}

}  // namespace mars::replication
