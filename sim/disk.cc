#include "sim/disk.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace mars::sim {

struct Disks::Mount {
  FileSystem file_system;
  Drive drive;
};

namespace {

bool matches(const Fault& fault, const std::string& path) {
  return fault.path.ends_with('/') ? path.starts_with(fault.path) : path == fault.path;
}

constexpr DriveSpeed memory_speed = {.read = std::chrono::microseconds(2),
                                     .write = std::chrono::microseconds(2),
                                     .flush = std::chrono::microseconds(1),
                                     .bytes_per_second = 10'000'000'000};

}  // namespace

Disks::Disks(std::string host, Prng prng) : host_(std::move(host)), prng_(prng) {
  mount("/", FileSystemOptions{});
  for (const char* path : {"/run", "/tmp", "/dev"}) {
    mount(path, {.capacity = 1 << 30, .is_direct = false, .is_volatile = true}, memory_speed);
  }
}

Disks::~Disks() = default;

void Disks::add_device(const std::string& path, uint64_t bytes, DeviceOptions options) {
  CHECK(!devices_.contains(path) && bytes % options.block_bytes == 0);
  if (options.is_rotational && options.speed.seek == io::Duration{}) options.speed.seek = std::chrono::milliseconds(6);
  const uint64_t number = next_device_number_++;
  if (options.hardware_id.empty()) options.hardware_id = "sim-" + host_ + "-" + std::to_string(number);
  Inode inode(number, options.block_bytes, prng_.fork());
  inode.size = inode.durable_size = bytes;
  devices_[path] =
      std::make_unique<Device>(path, options, number, Drive(options.speed, prng_.fork()), std::move(inode));
}

void Disks::remove_device(const std::string& path) {
  CHECK(devices_.at(path)->inode.opens == 0);
  devices_.erase(path);
}

void Disks::move_device(const std::string& from, const std::string& to) {
  CHECK(devices_.at(from)->inode.opens == 0 && !devices_.contains(to));
  auto moved = devices_.extract(from);
  moved.key() = to;
  moved.mapped()->path = to;
  moved.mapped()->device_number = next_device_number_++;
  devices_.insert(std::move(moved));
}

std::vector<io::BlockDevice> Disks::block_devices() const {
  std::vector<io::BlockDevice> devices;
  for (const auto& [path, device] : devices_) devices.push_back({path, device->options.hardware_id});
  return devices;
}

void Disks::mount(const std::string& path, FileSystemOptions options, DriveSpeed speed) {
  mount(path, FileSystem(options, next_device_number_++, prng_.fork()), speed);
}

void Disks::mount(const std::string& path, FileSystem content, DriveSpeed speed) {
  const std::string key = path == "/" ? "" : path;
  if (!key.empty()) {
    std::string rest;
    CHECK(mount_of(key, rest).file_system.make_directory(rest) == Status::ok);
  }
  CHECK(!mounts_.contains(key));
  content.forget_opens();
  mounts_[key] = std::make_unique<Mount>(std::move(content), Drive(speed, prng_.fork()));
}

FileSystem Disks::unmount(const std::string& path) {
  FileSystem content = snapshot(path);
  auto place = mounts_.find(path == "/" ? "" : path);
  unmounted_.push_back(std::move(place->second));
  mounts_.erase(place);
  return content;
}

FileSystem& Disks::file_system(const std::string& mount_point) {
  return mounts_.at(mount_point == "/" ? "" : mount_point)->file_system;
}

FileSystem Disks::snapshot(const std::string& mount_point) {
  FileSystem copy = file_system(mount_point);
  copy.forget_opens();
  return copy;
}

Inode Disks::snapshot_device(const std::string& path) { return devices_.at(path)->inode; }

void Disks::restore_device(const std::string& path, const Inode& snapshot) {
  Inode& inode = devices_.at(path)->inode;
  const uint32_t opens = inode.opens;
  inode = snapshot;
  inode.opens = opens;
}

Disks::Mount& Disks::mount_of(const std::string& path, std::string& rest) {
  CHECK(path.empty() || path.front() == '/');
  Mount* found = nullptr;
  size_t longest = 0;
  for (auto& [point, mount] : mounts_) {
    const bool is_below = path.starts_with(point) && (path.size() == point.size() || path[point.size()] == '/');
    if (!is_below || (found != nullptr && point.size() < longest)) continue;
    found = mount.get();
    longest = point.size();
  }
  CHECK(found != nullptr);
  rest = path.substr(std::min(path.size(), longest + 1));
  while (rest.ends_with('/')) rest.pop_back();
  return *found;
}

Disks::Place Disks::place_of(const std::string& path, bool follow) {
  std::string at = path;
  for (int links = 0; links < 8; ++links) {
    if (auto device = devices_.find(at); device != devices_.end()) {
      return {nullptr, at, &device->second->drive, device->second.get()};
    }
    std::string rest;
    Mount& mount = mount_of(at, rest);
    const std::string* target = mount.file_system.link_target(rest);
    if (target == nullptr || !follow) return {&mount.file_system, rest, &mount.drive, nullptr};
    at = target->starts_with('/') ? *target : at.substr(0, at.rfind('/') + 1) + *target;
  }
  return {&file_system("/"), "too many links", &mounts_.at("")->drive, nullptr};
}

Inode& Disks::inode_of(const std::string& path) {
  Place place = place_of(path);
  if (place.device != nullptr) return place.device->inode;
  Inode* inode = place.file_system->file(place.path);
  CHECK(inode != nullptr);
  return *inode;
}

Drive& Disks::drive(const std::string& path) { return *place_of(path).drive; }
void Disks::flip(const std::string& path, uint64_t offset, unsigned bit) { inode_of(path).medium.flip(offset, bit); }
void Disks::break_sector(const std::string& path, uint64_t offset) { inode_of(path).medium.break_sector(offset); }
uint64_t Disks::file_bytes(const std::string& path) { return inode_of(path).size; }

const Medium& Disks::content(const std::string& path) { return inode_of(path).medium; }

io::Bytes Disks::peek(const std::string& path, uint64_t offset, uint64_t bytes) {
  io::Bytes content(bytes);
  inode_of(path).medium.read(offset, content);
  return content;
}

io::Bytes Disks::peek_durable(const std::string& path, uint64_t offset, uint64_t bytes) {
  io::Bytes content(bytes);
  inode_of(path).medium.read_durable(offset, content);
  return content;
}

void Disks::poke(const std::string& path, uint64_t offset, std::span<const std::byte> bytes) {
  inode_of(path).medium.write(offset, bytes, true);
}

bool Disks::exists(const std::string& path) {
  Place place = place_of(path);
  return place.device != nullptr || place.file_system->exists(place.path);
}

std::vector<io::DirectoryEntry> Disks::list(const std::string& directory) {
  Place place = place_of(directory);
  return place.file_system->list(place.path);
}

void Disks::count_change(std::string_view path, std::string_view how) {
  ++change_count_;
  last_change_.assign(path).append(how);
  if (at_change_) at_change_(change_count_);
}

Disks::Hit Disks::hit(const std::string& path, DiskOp op) {
  for (Fault& fault : faults_) {
    if (fault.op != op || !matches(fault, path) || fault.times == 0) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    if (fault.times != Fault::forever) --fault.times;
    return {true, fault.status, fault.misdirect};
  }
  return {};
}

bool Disks::flush_lies(const std::string& path) const {
  return std::ranges::any_of(faults_, [&](const Fault& fault) {
    return fault.op == DiskOp::flush && fault.status == Status::ok && fault.times > 0 && matches(fault, path);
  });
}

void Disks::power_loss() {
  for (auto& [point, mount] : mounts_) mount->file_system.power_loss();
  for (auto& [path, device] : devices_) device->inode.medium.power_loss();
}

bool Disks::try_hold(const std::string& what, SimMachine& holder) { return holders_.try_emplace(what, &holder).second; }

void Disks::let_go_all(SimMachine& holder) {
  std::erase_if(holders_, [&](const auto& held) { return held.second == &holder; });
}

}  // namespace mars::sim
