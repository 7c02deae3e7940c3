// Film: what happens to the files and disks of a host behind its back.
#include "format/segment.h"
#include "sim/scenario/film.h"

namespace mars::sim {

std::string Film::resource_directory(const std::string& host) {
  const std::string folder = "/var/lib/mars/resources";
  auto entries = disks(host).list(folder);
  std::erase_if(entries, [](const auto& entry) { return !parse_uuid(entry.name); });
  CHECK(entries.size() == 1);
  return folder + "/" + entries.front().name;
}

std::string Film::log_directory(const std::string& host) {
  const std::string own = cluster_->options(host).log_directory;
  const std::string state = "/var/lib/mars";
  return (own.empty() ? state : own) + resource_directory(host).substr(state.size());
}

Film::Hosts Film::segments(const std::string& host) {
  Hosts paths;
  const std::string folder = log_directory(host) + "/log";
  for (const io::DirectoryEntry& entry : disks(host).list(folder)) {
    if (format::parse_segment_name(entry.name)) paths.push_back(folder + "/" + entry.name);
  }
  return paths;
}

std::pair<std::string, uint64_t> Film::place_in_log(const std::string& host, uint64_t lsn) {
  std::pair<std::string, uint64_t> place;
  format::SegmentName best;
  for (const std::string& path : segments(host)) {
    const auto name = format::parse_segment_name(path.substr(path.rfind('/') + 1));
    if (name->first.value > lsn || (!place.first.empty() && name->first < best.first)) continue;
    best = *name;
    place = {path, format::segment_header_bytes + (lsn - name->first.value)};
  }
  CHECK(!place.first.empty());
  return place;
}

void Film::rot_log(const std::string& host, uint64_t lsn) {
  const auto [path, offset] = place_in_log(host, lsn);
  disks(host).flip(path, offset);
}

void Film::rot_whole_log(const std::string& host) {
  for (const std::string& path : segments(host)) {
    const uint64_t end = disks(host).file_bytes(path);
    for (uint64_t offset = format::segment_header_bytes; offset < end; offset += 4096) disks(host).flip(path, offset);
  }
}

void Film::truncate_log(const std::string& host, uint64_t lsn) {
  const auto [path, offset] = place_in_log(host, lsn);
  const std::string mount = path.starts_with("/log/") ? "/log" : "/";
  FileSystem& files = disks(host).file_system(mount);
  Inode* inode = files.file(path.substr(mount == "/" ? 1 : mount.size() + 1));
  CHECK(inode != nullptr);
  files.resize(*inode, offset, true);
}

void Film::erase_log(const std::string& host) {
  const std::string path = log_directory(host);
  const std::string mount = path.starts_with("/log/") ? "/log" : "/";
  FileSystem& files = disks(host).file_system(mount);
  for (const char* folder : {"/log", "/branch"}) {
    const Status status = files.remove_tree(path.substr(mount == "/" ? 1 : mount.size() + 1) + folder);
    CHECK(status == Status::ok || status == Status::not_found);
  }
}

void Film::forget_disk(const std::string& host) {
  run(host, "detach mydata");
  const std::vector<std::byte> other(4096, std::byte{'?'});
  for (uint64_t block = 0; block < 400; ++block) disks(host).poke("/dev/sdb", block * 4096, other);
  run(host, "attach mydata --accept-disk");
}

}  // namespace mars::sim
