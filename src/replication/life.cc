#include "replication/life.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "bricks/state_file.h"

namespace mars::replication {

namespace {

constexpr size_t given_up_max = 512;
constexpr size_t file_bytes_max = 32u << 10;

Task<Result<Life>> read_file(io::Machine& machine, std::string path) {
  auto content = co_await machine.storage().read_file(path, file_bytes_max);
  if (!content) co_return failure(content.error());
  co_return parse_life(text_of(*content));
}

Task<Status> write_file(io::Machine& machine, std::string path, Life life) {
  const std::string text = to_text(life);
  const ByteView view = bytes_of(text);
  io::Bytes content(view.begin(), view.end());
  co_return co_await machine.storage().write_file(path, std::move(content), false);
}

std::string left_path(const std::string& state_directory) { return state_directory + ".left"; }

}  // namespace

bool has_given_up(const Life& life, const Uuid& right) {
  return std::ranges::find(life.given_up, right) != life.given_up.end();
}

void give_up_rights(Life& life, const bricks::Branch& branch, const Uuid& self) {
  const auto give_up = [&life](const Uuid& right) {
    if (!right.is_nil() && !has_given_up(life, right)) life.given_up.push_back(right);
  };
  for (const format::BranchEpoch& epoch : branch) {
    if (epoch.host == self) give_up(epoch.id);
    if (epoch.released_to == self) give_up(epoch.grant);
  }
  if (life.given_up.size() > given_up_max) {
    life.given_up.erase(life.given_up.begin(), life.given_up.end() - given_up_max);
  }
}

std::string to_text(const Life& life) {
  std::string text = to_string(life.id) + " " + std::to_string(life.born.value);
  for (const Uuid& right : life.given_up) text += " " + to_string(right);
  return text;
}

Result<Life> parse_life(std::string_view text) {
  const size_t space = std::min(text.find(' '), text.size());
  auto id = parse_uuid(text.substr(0, space));
  if (!id) return failure(id.error());
  Life life{*id, {}};
  if (space == text.size()) return life;
  text.remove_prefix(space + 1);
  const size_t second = std::min(text.find(' '), text.size());
  const std::string_view number = text.substr(0, second);
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), life.born.value);
  if (parsed.ec != std::errc() || parsed.ptr != number.data() + number.size()) {
    return failure(Status::damaged, "\"" + std::string(number) + "\" is no position");
  }
  text.remove_prefix(second);
  while (!text.empty()) {
    text.remove_prefix(1);
    const size_t end = std::min(text.find(' '), text.size());
    auto right = parse_uuid(text.substr(0, end));
    if (!right) return failure(right.error());
    if (life.given_up.size() == given_up_max) return failure(Status::invalid, "more rights than a replica can give up");
    life.given_up.push_back(*right);
    text.remove_prefix(end);
  }
  return life;
}

Task<Result<Life>> read_life(io::Machine& machine, std::string state_directory) {
  co_return co_await read_file(machine, state_directory + "/life");
}

Task<Status> write_life(io::Machine& machine, std::string state_directory, Life life) {
  co_return co_await write_file(machine, state_directory + "/life", std::move(life));
}

Task<Status> leave_life(io::Machine& machine, std::string state_directory, Life life) {
  co_return co_await write_file(machine, left_path(state_directory), std::move(life));
}

Task<Status> leave_rights(io::Machine& machine, std::string state_directory, Uuid self,
                          std::vector<bricks::Branch> branches) {
  auto read = co_await read_life(machine, state_directory);
  if (status_of(read) == Status::gone) co_return Status::gone;
  Life life = read ? std::move(*read) : Life{};
  auto former = co_await read_left_life(machine, state_directory);
  if (former) {
    for (const Uuid& right : former->given_up) {
      if (!has_given_up(life, right)) life.given_up.push_back(right);
    }
  }
  bricks::StateFile state(machine);
  const auto opened = co_await state.open(state_directory + "/state");
  if (status_of(opened) == Status::gone) co_return Status::gone;
  if (opened) give_up_rights(life, state.value().branch, self);
  for (const bricks::Branch& branch : branches) give_up_rights(life, branch, self);
  co_return co_await leave_life(machine, std::move(state_directory), std::move(life));
}

Task<Result<std::optional<format::BranchEpoch>>> own_reign(io::Machine& machine, std::string state_directory,
                                                           Uuid self) {
  std::optional<format::BranchEpoch> reign;
  bricks::StateFile state(machine);
  const auto opened = co_await state.open(state_directory + "/state");
  // What cannot be read may be a reign: only a file that is not there says that there is none.
  if (!opened && status_of(opened) != Status::not_found) co_return failure(opened.error());
  const bricks::Branch none;
  const bricks::Branch& branch = opened ? state.value().branch : none;
  if (!branch.empty() && branch.back().host == self && !branch.back().ended) reign = branch.back();
  co_return reign;
}

Task<Result<Life>> read_left_life(io::Machine& machine, std::string state_directory) {
  auto life = co_await read_file(machine, left_path(state_directory));
  if (status_of(life) == Status::not_found) co_return Life{};
  co_return life;
}

Task<Status> remove_left_life(io::Machine& machine, std::string state_directory) {
  const Status status = co_await machine.storage().remove(left_path(state_directory));
  co_return status == Status::not_found ? Status::ok : status;
}

}  // namespace mars::replication
