#include "sim/file_system.h"

#include <algorithm>

#include "base/check.h"

namespace mars::sim {
namespace {

constexpr uint64_t unit = Medium::page_bytes;

uint64_t round_down(uint64_t value) { return value / unit * unit; }
uint64_t round_up(uint64_t value) { return (value + unit - 1) / unit * unit; }

}  // namespace

FileSystem::FileSystem(FileSystemOptions options, uint64_t device_number, Prng prng)
    : options_(options), device_number_(device_number), prng_(prng) {}

std::string FileSystem::parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

bool FileSystem::is_directory(const std::string& path) const {
  if (path.empty()) return true;
  auto entry = entries_.find(path);
  return entry != entries_.end() && entry->second.kind == Kind::directory;
}

Inode* FileSystem::file(const std::string& path) {
  auto entry = entries_.find(path);
  if (entry == entries_.end() || entry->second.kind != Kind::file) return nullptr;
  return &inodes_.at(entry->second.inode);
}

const std::string* FileSystem::link_target(const std::string& path) const {
  auto entry = entries_.find(path);
  return entry != entries_.end() && entry->second.kind == Kind::link ? &entry->second.target : nullptr;
}

std::vector<io::DirectoryEntry> FileSystem::list(const std::string& directory) const {
  std::vector<io::DirectoryEntry> found;
  const std::string prefix = directory.empty() ? "" : directory + "/";
  for (auto entry = entries_.lower_bound(prefix); entry != entries_.end(); ++entry) {
    const auto& [path, what] = *entry;
    if (!path.starts_with(prefix)) break;
    if (path.find('/', prefix.size()) != std::string::npos) continue;
    const uint64_t bytes = what.kind == Kind::file ? inodes_.at(what.inode).size : 0;
    found.push_back({path.substr(prefix.size()), what.kind == Kind::directory, bytes});
  }
  std::ranges::sort(found, {}, &io::DirectoryEntry::name);
  return found;
}

Status FileSystem::make_directory(const std::string& path) {
  if (path.empty() || is_directory(path)) return Status::ok;
  if (entries_.contains(path)) return Status::exists;
  if (Status status = make_directory(parent(path)); status != Status::ok) return status;
  entries_[path] = Entry{};
  return Status::ok;
}

Result<Inode*> FileSystem::create(const std::string& path, bool durable) {
  if (!has_parent(path)) return failure(Status::not_found);
  if (exists(path)) return failure(Status::exists);
  if (space().free_bytes == 0) return failure(Status::no_space);
  const uint64_t number = next_inode_++;
  Inode& inode = inodes_.try_emplace(number, number, options_.block_bytes, prng_.fork()).first->second;
  inode.links = 1;
  inode.link_is_durable = durable;
  entries_[path] = Entry{Kind::file, number, ""};
  return &inode;
}

Status FileSystem::remove(const std::string& path, bool durable) {
  if (is_directory(path)) return Status::invalid;
  auto entry = entries_.find(path);
  if (entry == entries_.end()) return Status::not_found;
  const Entry what = entry->second;
  entries_.erase(entry);
  if (what.kind != Kind::file) return Status::ok;
  if (durable || !inodes_.at(what.inode).link_is_durable) {
    unlink(what.inode);
  } else {
    removed_.push_back({path, what.inode});  // keeps its link until the directory is synced
  }
  return Status::ok;
}

Status FileSystem::rename(const std::string& from, const std::string& to) {
  auto source = entries_.find(from);
  if (source == entries_.end() || !has_parent(to)) return Status::not_found;
  if (from == to) return Status::ok;
  const Entry what = source->second;
  if (what.kind == Kind::directory) {
    if (exists(to) || to.starts_with(from + "/")) return Status::exists;
    std::map<std::string, Entry> moved;
    for (auto below = entries_.lower_bound(from + "/");
         below != entries_.end() && below->first.starts_with(from + "/");) {
      moved.emplace(to + below->first.substr(from.size()), below->second);
      below = entries_.erase(below);
    }
    entries_.merge(moved);
  } else if (is_directory(to)) {
    return Status::invalid;
  }
  entries_.erase(from);
  if (auto replaced = entries_.find(to); replaced != entries_.end() && replaced->second.kind == Kind::file) {
    unlink(replaced->second.inode);
  }
  entries_[to] = what;
  if (what.kind == Kind::file) inodes_.at(what.inode).link_is_durable = true;
  return Status::ok;
}

Status FileSystem::remove_tree(const std::string& path) {
  if (!exists(path)) return Status::not_found;
  if (!is_directory(path)) return remove(path, true);
  const std::string prefix = path.empty() ? "" : path + "/";
  for (auto below = entries_.lower_bound(prefix); below != entries_.end() && below->first.starts_with(prefix);) {
    if (below->second.kind == Kind::file) unlink(below->second.inode);
    below = entries_.erase(below);
  }
  entries_.erase(path);
  return Status::ok;
}

Status FileSystem::link(const std::string& path, const std::string& target) {
  if (!has_parent(path)) return Status::not_found;
  if (is_directory(path) || file(path) != nullptr) return Status::exists;
  entries_[path] = Entry{Kind::link, 0, target};
  return Status::ok;
}

void FileSystem::sync_directory(const std::string& directory) {
  for (auto& [path, entry] : entries_) {
    if (entry.kind == Kind::file && parent(path) == directory) inodes_.at(entry.inode).link_is_durable = true;
  }
  std::vector<Undoable> kept;
  for (Undoable& removed : removed_) {
    if (parent(removed.path) == directory) {
      unlink(removed.inode);
    } else {
      kept.push_back(std::move(removed));
    }
  }
  removed_ = std::move(kept);
}

Status FileSystem::reserve(Inode& inode, uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return Status::ok;
  const uint64_t begin = round_down(offset);
  const uint64_t end = round_up(offset + bytes);
  const uint64_t missing = end - begin - inode.allocated.covered(begin, end);
  if (missing > space().free_bytes) return Status::no_space;
  inode.allocated.add(begin, end);
  used_ += missing;
  return Status::ok;
}

void FileSystem::release(Inode& inode, uint64_t begin, uint64_t end) {
  used_ -= inode.allocated.covered(begin, end);
  inode.allocated.remove(begin, end);
}

Status FileSystem::write(Inode& inode, uint64_t offset, std::span<const std::byte> from, bool fua) {
  if (Status status = reserve(inode, offset, from.size()); status != Status::ok) return status;
  const uint64_t end = offset + from.size();
  if (offset > inode.size) resize(inode, offset, false);
  inode.size = std::max(inode.size, end);
  inode.medium.write(offset, from, fua);
  if (fua) inode.durable_size = std::max(inode.durable_size, end);
  return Status::ok;
}

Status FileSystem::zero(Inode& inode, uint64_t offset, uint64_t bytes) {
  if (Status status = reserve(inode, offset, bytes); status != Status::ok) return status;
  if (offset + bytes > inode.size) resize(inode, offset + bytes, false);
  inode.medium.zero(offset, bytes);
  return Status::ok;
}

Status FileSystem::allocate(Inode& inode, uint64_t offset, uint64_t bytes) {
  if (Status status = reserve(inode, offset, bytes); status != Status::ok) return status;
  if (offset + bytes > inode.size) resize(inode, offset + bytes, false);
  return Status::ok;
}

void FileSystem::punch(Inode& inode, uint64_t offset, uint64_t bytes) {
  inode.medium.zero(offset, bytes);
  const uint64_t begin = round_up(offset);
  const uint64_t end = round_down(offset + bytes);
  if (begin < end) release(inode, begin, end);
}

// What lay behind a smaller size comes back neither by growing again nor, once durable, by power loss.
void FileSystem::resize(Inode& inode, uint64_t bytes, bool durable) {
  if (bytes > inode.size) {
    inode.medium.zero(inode.size, bytes - inode.size);
  } else {
    release(inode, round_up(bytes), UINT64_MAX / unit * unit);
  }
  inode.size = bytes;
  if (!durable) return;
  inode.durable_size = bytes;
  inode.medium.erase_from(bytes);
}

void FileSystem::end_flush(Inode& inode, uint64_t ticket) {
  inode.medium.end_flush(ticket);
  inode.durable_size = inode.size;
  inode.medium.erase_from(inode.size);
  inode.link_is_durable = true;
}

void FileSystem::unlink(uint64_t number) {
  Inode& inode = inodes_.at(number);
  CHECK(inode.links > 0);
  --inode.links;
  drop_if_unused(inode);
}

void FileSystem::closed(Inode& inode) {
  CHECK(inode.opens > 0);
  --inode.opens;
  drop_if_unused(inode);
}

void FileSystem::drop_if_unused(Inode& inode) {
  if (inode.links > 0 || inode.opens > 0) return;
  release(inode, 0, UINT64_MAX / unit * unit);
  inodes_.erase(inode.number);
}

void FileSystem::power_loss() {
  if (options_.is_volatile) {
    static_cast<void>(remove_tree(""));
    return;
  }
  // Directories change in order: some of the last removals did not take place, all before them did.
  bool may_return = true;
  std::vector<Undoable> removed = std::exchange(removed_, {});
  for (auto last = removed.rbegin(); last != removed.rend(); ++last) {
    may_return = may_return && prng_.chance(1, 2) && !exists(last->path) && has_parent(last->path);
    if (may_return) {
      entries_[last->path] = Entry{Kind::file, last->inode, ""};
    } else {
      unlink(last->inode);
    }
  }
  std::vector<std::string> lost;
  for (const auto& [path, entry] : entries_) {
    if (entry.kind == Kind::file && !inodes_.at(entry.inode).link_is_durable && prng_.chance(1, 2))
      lost.push_back(path);
  }
  for (const std::string& path : lost) CHECK(remove(path, true) == Status::ok);
  for (auto& [number, inode] : inodes_) {
    inode.link_is_durable = true;
    inode.medium.power_loss();
    const uint64_t size = prng_.chance(1, 2) ? inode.size : inode.durable_size;
    if (size > inode.size) {  // the truncation did not survive, what lay behind is there again
      CHECK(reserve(inode, inode.size, size - inode.size) == Status::ok);
      inode.size = size;
    }
    resize(inode, size, true);
  }
}

void FileSystem::forget_opens() {
  for (auto inode = inodes_.begin(); inode != inodes_.end();) {
    Inode& here = (inode++)->second;
    here.opens = 0;
    drop_if_unused(here);
  }
}

}  // namespace mars::sim
