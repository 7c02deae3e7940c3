#include "sim/storage.h"

#include <utility>

#include "sim/file.h"
#include "sim/host.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

std::unexpected<Error> failed(Status status, const std::string& path) {
  return failure(status, path + ": " + std::string(name(status)));
}

class SimDirectoryLock : public io::DirectoryLock {
 public:
  SimDirectoryLock(SimMachine& machine, std::string hold) : machine_(machine), hold_(std::move(hold)) {}
  ~SimDirectoryLock() override {
    if (machine_.is_alive()) machine_.host().disks().let_go(hold_);
  }

 private:
  SimMachine& machine_;
  std::string hold_;
};

std::string hold_name(const Disks::Place& place) {
  if (place.device != nullptr) return "device " + place.device->path;
  return "inode " + std::to_string(place.file_system->device_number()) + " " +
         std::to_string(place.file_system->file(place.path)->number);
}

}  // namespace

SimStorage::SimStorage(SimMachine& machine) : machine_(machine), disks_(machine.host().disks()) {}

Task<Status> SimStorage::look(const std::string& path, Act act) {
  Effect effect = [&](Fate) {
    Disks::Place place = disks_.place_of(path);
    return act(place);
  };
  Drive& drive = disks_.drive(path);
  const io::Duration delay = drive.admit(Drive::Work::read, 0, Medium::page_bytes, machine_.now());
  co_return co_await machine_.operate(delay, std::move(effect), &drive);
}

Task<Status> SimStorage::change(const std::string& path, Act act, bool follow) {
  Effect effect = [&](Fate fate) {
    if (fate == Fate::torn) return Status::gone;
    machine_.world().note(TraceKind::disk_change, machine_.host().id(), digest(std::as_bytes(std::span(path))));
    const Disks::Hit hit = disks_.hit(path, DiskOp::change);
    if (hit.is_hit) return hit.status;
    Disks::Place place = disks_.place_of(path, follow);
    return act(place);
  };
  Drive& drive = disks_.drive(path);
  const io::Duration delay = drive.admit(Drive::Work::flush, 0, Medium::page_bytes, machine_.now());
  co_return co_await machine_.operate(delay, std::move(effect), &drive, path);
}

Status SimStorage::ensure_file(Disks::Place& place, const io::OpenOptions& options) {
  if (place.device != nullptr || place.file_system->file(place.path) != nullptr) {
    return options.create && options.must_be_new ? Status::exists : Status::ok;
  }
  if (place.file_system->exists(place.path)) return Status::invalid;
  if (!options.create) return Status::not_found;
  return status_of(place.file_system->create(place.path, true));
}

Task<Result<std::unique_ptr<io::File>>> SimStorage::open(std::string path, io::OpenOptions options) {
  std::unique_ptr<io::File> file;
  Act act = [&](Disks::Place& place) {
    if (Status status = ensure_file(place, options); status != Status::ok) return status;
    if (!machine_.is_alive()) return Status::gone;
    std::string hold = options.exclusive ? hold_name(place) : "";
    if (!hold.empty() && !disks_.try_hold(hold, machine_)) return Status::busy;
    file = std::make_unique<SimFile>(machine_, path, place, options, hold);
    return Status::ok;
  };
  const bool is_new = options.create && !disks_.exists(path);
  Task<Status> opening = is_new ? change(path, std::move(act)) : look(path, std::move(act));
  const Status status = co_await std::move(opening);
  if (status != Status::ok) co_return failed(status, path);
  co_return std::move(file);
}

Task<Result<std::vector<io::DirectoryEntry>>> SimStorage::list(std::string directory) {
  std::vector<io::DirectoryEntry> entries;
  Act act = [&](Disks::Place& place) {
    if (place.device != nullptr || !place.file_system->is_directory(place.path)) return Status::not_found;
    entries = place.file_system->list(place.path);
    return Status::ok;
  };
  const Status status = co_await look(directory, std::move(act));
  if (status != Status::ok) co_return failed(status, directory);
  co_return std::move(entries);
}

Task<Result<bool>> SimStorage::exists(std::string path) {
  bool found = false;
  Act act = [&](Disks::Place& place) {
    found = place.device != nullptr || place.file_system->exists(place.path);
    return Status::ok;
  };
  const Status status = co_await look(path, std::move(act));
  if (status != Status::ok) co_return failed(status, path);
  co_return found;
}

Task<Status> SimStorage::make_directory(std::string path) {
  Act act = [](Disks::Place& place) {
    return place.device != nullptr ? Status::exists : place.file_system->make_directory(place.path);
  };
  co_return co_await change(path, std::move(act));
}

Task<Status> SimStorage::rename(std::string from, std::string to) {
  Act act = [&](Disks::Place& source) {
    const Disks::Place target = disks_.place_of(to, false);
    if (source.device != nullptr || source.file_system != target.file_system) return Status::invalid;
    return source.file_system->rename(source.path, target.path);
  };
  co_return co_await change(from, std::move(act), false);
}

Task<Status> SimStorage::remove(std::string path) {
  Act act = [](Disks::Place& place) {
    return place.device != nullptr ? Status::invalid : place.file_system->remove(place.path, true);
  };
  co_return co_await change(path, std::move(act), false);
}

Task<Status> SimStorage::remove_tree(std::string path) {
  Act act = [](Disks::Place& place) {
    return place.device != nullptr ? Status::invalid : place.file_system->remove_tree(place.path);
  };
  co_return co_await change(path, std::move(act), false);
}

Task<Status> SimStorage::resize(std::string path, uint64_t bytes) {
  Act act = [&](Disks::Place& place) {
    if (place.device != nullptr) return Status::invalid;
    Inode* inode = place.file_system->file(place.path);
    if (inode == nullptr) return Status::not_found;
    place.file_system->resize(*inode, bytes, true);
    return Status::ok;
  };
  co_return co_await change(path, std::move(act));
}

Task<Result<io::Space>> SimStorage::free_space(std::string directory) {
  io::Space space;
  Act act = [&](Disks::Place& place) {
    if (place.device != nullptr || !place.file_system->exists(place.path)) return Status::not_found;
    space = place.file_system->space();
    return Status::ok;
  };
  const Status status = co_await look(directory, std::move(act));
  if (status != Status::ok) co_return failed(status, directory);
  co_return space;
}

Task<Result<io::Bytes>> SimStorage::read_file(std::string path, size_t bytes_max) {
  io::OpenOptions options{.write = false, .direct = false};
  auto file = co_await open(path, options);
  if (!file) co_return failure(file.error());
  if ((*file)->size() > bytes_max) co_return failure(Status::invalid, path + ": larger than it may be");
  io::Bytes content((*file)->size());
  const Status status = co_await io::read(**file, 0, content);
  if (status != Status::ok) co_return failed(status, path);
  co_return std::move(content);
}

Task<Status> SimStorage::write_file(std::string path, io::Bytes content, bool) {
  const std::string temporary = path + ".tmp";
  io::OpenOptions options{.create = true, .direct = false};
  auto file = co_await open(temporary, options);
  if (!file) co_return file.error().status;
  if ((*file)->size() > 0) {
    if (Status status = co_await resize(temporary, 0); status != Status::ok) co_return status;
  }
  if (Status status = co_await io::write(**file, 0, content); status != Status::ok) co_return status;
  if (Status status = co_await io::flush(**file); status != Status::ok) co_return status;
  co_return co_await rename(temporary, path);
}

Task<Result<std::unique_ptr<io::DirectoryLock>>> SimStorage::lock_directory(std::string path) {
  const std::string hold = "directory " + path;
  Act act = [&](Disks::Place& place) {
    if (place.device != nullptr || !place.file_system->is_directory(place.path)) return Status::not_found;
    return disks_.try_hold(hold, machine_) ? Status::ok : Status::busy;
  };
  const Status status = co_await look(path, std::move(act));
  if (status != Status::ok) co_return failed(status, path);
  std::unique_ptr<io::DirectoryLock> lock = std::make_unique<SimDirectoryLock>(machine_, hold);
  co_return std::move(lock);
}

Task<Result<std::vector<io::BlockDevice>>> SimStorage::block_devices() {
  std::vector<io::BlockDevice> devices;
  Act act = [&](Disks::Place&) {
    devices = disks_.block_devices();
    return Status::ok;
  };
  const Status status = co_await look("/dev", std::move(act));
  if (status != Status::ok) co_return failed(status, "/dev");
  co_return std::move(devices);
}

Task<Status> SimStorage::replace_link(std::string link, std::string target) {
  Act act = [&](Disks::Place& place) {
    return place.device != nullptr ? Status::exists : place.file_system->link(place.path, target);
  };
  co_return co_await change(link, std::move(act), false);
}

}  // namespace mars::sim
