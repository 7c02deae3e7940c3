#include "replication/life.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/probe.h"
#include "bricks/state_file.h"

namespace mars::replication {

namespace {

constexpr size_t given_up_max = 512;
constexpr size_t lost_sides_max = 64;
constexpr size_t file_bytes_max = 32u << 10;

std::string hash_line(std::string_view text) { return to_string(hash(bytes_of(text))) + "\n"; }

Task<Result<Life>> read_file(io::Machine& machine, std::string path) {
  auto content = co_await machine.storage().read_file(path, file_bytes_max);
  if (!content) co_return failure(content.error());
  std::string_view text = text_of(*content);
  const size_t line = text.find('\n');
  // A file without a second line is from before there was a hash.
  if (line == text.npos) co_return parse_life(text);
  const std::string_view rest = text.substr(line + 1);
  text = text.substr(0, line);
  if (rest != hash_line(text)) co_return failure(Status::damaged, path + " is damaged: its hash does not fit");
  co_return parse_life(text);
}

Task<Status> write_file(io::Machine& machine, std::string path, Life life) {
  std::string text = to_text(life);
  text += "\n" + hash_line(text);
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

namespace {
Lsn part_of(const format::BranchEpoch& epoch, Lsn end) { return epoch.ended ? std::min(epoch.end, end) : end; }

bool is_beyond(const Position& side, const bricks::Branch& branch, Lsn end) {
  const format::BranchEpoch* epoch = bricks::find_epoch(branch, side.epoch);
  return epoch != nullptr && epoch->first < end && side.lsn < part_of(*epoch, end);
}
}  // namespace

void give_up_side(Life& life, const bricks::Branch& mine, Lsn mine_end, const bricks::Branch& other, Lsn other_end) {
  if (mine.empty()) return;
  const auto add = [&life](EpochId epoch, Lsn lsn) {
    const Position begin{epoch, lsn};
    if (std::ranges::find(life.lost_sides, begin) == life.lost_sides.end()) life.lost_sides.push_back(begin);
  };
  // The last verdict counts.
  std::erase_if(life.lost_sides, [&](const Position& side) { return is_beyond(side, other, other_end); });
  const bricks::Common common = bricks::common_position(mine, mine_end, other, other_end);
  const Lsn fork = common.any ? common.position.lsn : mine.back().first;
  const format::BranchEpoch* next = bricks::epoch_at(mine, fork);
  if (next != nullptr && next->id != common.position.epoch && next->first < mine_end) {
    add(next->id, next->first);
  } else if (common.any) {
    add(common.position.epoch, fork);
  }
  for (const format::BranchEpoch& epoch : mine) {
    if (epoch.first > fork && epoch.first < mine_end && epoch.cause == EpochCause::force) add(epoch.id, epoch.first);
  }
  if (life.lost_sides.size() > lost_sides_max) {
    life.lost_sides.erase(life.lost_sides.begin(), life.lost_sides.end() - lost_sides_max);
  }
}

bool is_of_lost_side(const Life& life, const bricks::Branch& branch, Lsn end) {
  for (auto epoch = branch.rbegin(); epoch != branch.rend(); ++epoch) {
    if (epoch->first >= end) continue;
    const Lsn part = part_of(*epoch, end);
    for (const Position& begin : life.lost_sides) {
      if (begin.epoch == epoch->id && begin.lsn < part) return true;
    }
    if (epoch->cause == EpochCause::force) return false;
  }
  return false;
}

std::string to_text(const Life& life) {
  std::string text = to_string(life.id) + " " + std::to_string(life.born.value);
  for (const Uuid& right : life.given_up) text += " " + to_string(right);
  for (const Position& side : life.lost_sides) {
    text += " " + to_string(side.epoch) + "@" + std::to_string(side.lsn.value);
  }
  if (life.is_disk_doubted) text += " doubt";
  return text;
}

namespace {
std::optional<Lsn> parse_lsn(std::string_view text) {
  Lsn lsn;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), lsn.value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return lsn;
}

// A right, a side of a fork, or the doubt.
Status parse_given_up(std::string_view word, Life& life) {
  if (word == "doubt") {
    life.is_disk_doubted = true;
    return Status::ok;
  }
  const size_t at = std::min(word.find('@'), word.size());
  auto id = parse_uuid(word.substr(0, at));
  if (!id) return id.error().status;
  if (at == word.size()) {
    if (life.given_up.size() == given_up_max) return Status::invalid;
    life.given_up.push_back(*id);
    return Status::ok;
  }
  const auto lsn = parse_lsn(word.substr(at + 1));
  if (!lsn) return Status::damaged;
  if (life.lost_sides.size() == lost_sides_max) return Status::invalid;
  life.lost_sides.push_back({*id, *lsn});
  return Status::ok;
}
}  // namespace

Result<Life> parse_life(std::string_view text) {
  const auto next_word = [&text] {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(end);
    return word;
  };
  auto id = parse_uuid(next_word());
  if (!id) return failure(id.error());
  Life life;
  life.id = *id;
  if (text.empty()) return life;
  text.remove_prefix(1);
  const std::string number(next_word());
  const auto born = parse_lsn(number);
  if (!born) return failure(Status::damaged, "\"" + number + "\" is no position");
  life.born = *born;
  while (!text.empty()) {
    text.remove_prefix(1);
    const std::string word(next_word());
    const Status status = parse_given_up(word, life);
    if (status != Status::ok) return failure(status, "\"" + word + "\" is nothing that a replica can give up");
  }
  return life;
}

Task<Result<Life>> read_life(io::Machine& machine, std::string state_directory) {
  auto life = co_await read_file(machine, state_directory + "/life");
  if (life || status_of(life) == Status::gone) co_return life;
  auto second = co_await read_file(machine, state_directory + "/life.2");
  if (!second) co_return life;
  reached("life: the second copy is read");
  // When that fails, the next one to read it tries again.
  static_cast<void>(co_await write_file(machine, state_directory + "/life", *second));
  co_return second;
}

Task<Status> write_life(io::Machine& machine, std::string state_directory, Life life) {
  // The first copy counts: whoever is told of an error, or dies in between, has what it had.
  const Status status = co_await write_file(machine, state_directory + "/life.2", life);
  if (status != Status::ok) co_return status;
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
    if (life.given_up.size() > given_up_max) life.given_up.resize(given_up_max);
    if (life.lost_sides.empty()) life.lost_sides = former->lost_sides;
    life.is_disk_doubted = former->is_disk_doubted;
  }
  bricks::StateFile state(machine);
  const auto opened = co_await state.open(state_directory + "/state");
  if (status_of(opened) == Status::gone) co_return Status::gone;
  if (opened) {
    give_up_rights(life, state.value().branch, self);
    life.is_disk_doubted = state.value().sweep.rewrites;
  }
  for (const bricks::Branch& branch : branches) give_up_rights(life, branch, self);
  co_return co_await leave_life(machine, std::move(state_directory), std::move(life));
}

Task<Result<bricks::Branch>> own_reign(io::Machine& machine, std::string state_directory, Uuid self) {
  bricks::StateFile state(machine);
  const auto opened = co_await state.open(state_directory + "/state");
  // What cannot be read may be a reign: only a file that is not there says that there is none.
  if (!opened && status_of(opened) != Status::not_found) co_return failure(opened.error());
  bricks::Branch branch;
  if (opened) branch = state.value().branch;
  if (!branch.empty() && (branch.back().host != self || branch.back().ended)) branch.clear();
  co_return branch;
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
