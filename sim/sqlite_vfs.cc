#include "sim/sqlite_vfs.h"

#include <sqlite3.h>

#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"
#include "sim/host.h"
#include "sim/world.h"

namespace mars::sim {
namespace {

constexpr int sector = 4096;
constexpr sqlite3_int64 julian_epoch_ms = 210'866'760'000'000;

struct VfsFile : sqlite3_file {
  SqliteVfs* vfs = nullptr;
  FileSystem* file_system = nullptr;
  Inode* inode = nullptr;
  std::string path;
  bool is_temporary = false;
};

VfsFile& cast(sqlite3_file* file) { return *static_cast<VfsFile*>(file); }
SqliteVfs& cast(sqlite3_vfs* vfs) { return *static_cast<SqliteVfs*>(vfs->pAppData); }

std::string parent(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

int code_of(Status status, int otherwise) {
  if (status == Status::ok) return SQLITE_OK;
  return status == Status::no_space ? SQLITE_FULL : otherwise;
}

int close_file(sqlite3_file* base) {
  VfsFile& file = cast(base);
  if (file.is_temporary && file.vfs->machine().is_alive()) {
    static_cast<void>(file.file_system->remove(file.vfs->disks().place_of(file.path).path, true));
  }
  file.file_system->closed(*file.inode);
  file.~VfsFile();
  return SQLITE_OK;
}

int read_file(sqlite3_file* base, void* into, int bytes, sqlite3_int64 offset) {
  VfsFile& file = cast(base);
  const auto at = static_cast<uint64_t>(offset);
  const auto size = static_cast<uint64_t>(bytes);
  if (!file.vfs->machine().is_alive() || !file.inode->medium.is_readable(at, size)) return SQLITE_IOERR_READ;
  const Disks::Hit hit = file.vfs->disks().hit(file.path, DiskOp::read);
  if (hit.is_hit && hit.status != Status::ok) return SQLITE_IOERR_READ;
  std::memset(into, 0, size);
  const uint64_t there = at < file.inode->size ? std::min(size, file.inode->size - at) : 0;
  file.inode->medium.read(at, {static_cast<std::byte*>(into), there});
  return there == size ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

int write_file(sqlite3_file* base, const void* from, int bytes, sqlite3_int64 offset) {
  VfsFile& file = cast(base);
  const auto at = static_cast<uint64_t>(offset);
  const std::span content(static_cast<const std::byte*>(from), static_cast<size_t>(bytes));
  if (!file.vfs->begin_change(file.path, at, content.size())) return SQLITE_IOERR_WRITE;
  const Disks::Hit hit = file.vfs->disks().hit(file.path, DiskOp::write);
  if (hit.is_hit) return code_of(hit.status, SQLITE_IOERR_WRITE);
  return code_of(file.file_system->write(*file.inode, at, content, false), SQLITE_IOERR_WRITE);
}

int truncate_file(sqlite3_file* base, sqlite3_int64 bytes) {
  VfsFile& file = cast(base);
  if (!file.vfs->begin_change(file.path, 0, static_cast<uint64_t>(bytes))) return SQLITE_IOERR_TRUNCATE;
  file.file_system->resize(*file.inode, static_cast<uint64_t>(bytes), false);
  return SQLITE_OK;
}

int sync_file(sqlite3_file* base, int) {
  VfsFile& file = cast(base);
  if (!file.vfs->begin_change(file.path, 0, 0)) return SQLITE_IOERR_FSYNC;
  const Disks::Hit hit = file.vfs->disks().hit(file.path, DiskOp::flush);
  if (hit.is_hit && hit.status == Status::ok) return SQLITE_OK;
  const uint64_t ticket = file.inode->medium.begin_flush();
  if (hit.is_hit) {
    file.inode->medium.fail_flush(ticket);
    return SQLITE_IOERR_FSYNC;
  }
  // As SQLite does on Linux: the first sync of a new file also syncs its directory.
  if (!file.inode->link_is_durable) {
    file.file_system->sync_directory(parent(file.vfs->disks().place_of(file.path).path));
  }
  file.file_system->end_flush(*file.inode, ticket);
  return SQLITE_OK;
}

int size_of_file(sqlite3_file* base, sqlite3_int64* bytes) {
  *bytes = static_cast<sqlite3_int64>(cast(base).inode->size);
  return SQLITE_OK;
}

int no_lock(sqlite3_file*, int) { return SQLITE_OK; }
int no_reserved_lock(sqlite3_file*, int* is_reserved) {
  *is_reserved = 0;
  return SQLITE_OK;
}
int no_control(sqlite3_file*, int, void*) { return SQLITE_NOTFOUND; }
int sector_size(sqlite3_file*) { return sector; }
int characteristics(sqlite3_file*) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

constexpr sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = close_file,
    .xRead = read_file,
    .xWrite = write_file,
    .xTruncate = truncate_file,
    .xSync = sync_file,
    .xFileSize = size_of_file,
    .xLock = no_lock,
    .xUnlock = no_lock,
    .xCheckReservedLock = no_reserved_lock,
    .xFileControl = no_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = characteristics,
};

Result<Inode*> find_or_create(SqliteVfs& vfs, const Disks::Place& place, const std::string& path, int flags) {
  if (place.file_system == nullptr) return failure(Status::invalid);
  if (Inode* inode = place.file_system->file(place.path)) return inode;
  if ((flags & SQLITE_OPEN_CREATE) == 0) return failure(Status::not_found);
  if (!vfs.begin_change(path, 0, 0)) return failure(Status::gone);
  return place.file_system->create(place.path, false);
}

int open_file(sqlite3_vfs* base, const char* name, sqlite3_file* into, int flags, int* out_flags) {
  SqliteVfs& vfs = cast(base);
  into->pMethods = nullptr;
  if (!vfs.machine().is_alive()) return SQLITE_CANTOPEN;
  std::string path = name != nullptr ? name : "/tmp/sqlite-" + std::to_string(vfs.machine().prng().next());
  const Disks::Place place = vfs.disks().place_of(path);
  auto inode = find_or_create(vfs, place, path, flags);
  if (!inode) return code_of(inode.error().status, SQLITE_CANTOPEN);
  VfsFile* file = new (into) VfsFile;
  file->pMethods = &methods;
  file->vfs = &vfs;
  file->file_system = place.file_system;
  file->inode = *inode;
  file->path = std::move(path);
  file->is_temporary = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
  file->file_system->opened(*file->inode);
  if (out_flags != nullptr) *out_flags = flags;
  return SQLITE_OK;
}

int delete_file(sqlite3_vfs* base, const char* name, int sync_directory) {
  SqliteVfs& vfs = cast(base);
  if (!vfs.begin_change(name, 0, 0)) return SQLITE_IOERR_DELETE;
  const Disks::Place place = vfs.disks().place_of(name);
  if (place.file_system == nullptr) return SQLITE_IOERR_DELETE;
  const Status status = place.file_system->remove(place.path, sync_directory != 0);
  if (status == Status::not_found) return SQLITE_IOERR_DELETE_NOENT;
  if (sync_directory != 0) place.file_system->sync_directory(parent(place.path));
  return code_of(status, SQLITE_IOERR_DELETE);
}

int access_file(sqlite3_vfs* base, const char* name, int, int* is_there) {
  SqliteVfs& vfs = cast(base);
  const Disks::Place place = vfs.disks().place_of(name);
  Inode* inode = place.file_system != nullptr ? place.file_system->file(place.path) : nullptr;
  *is_there = inode != nullptr && inode->size > 0;
  return SQLITE_OK;
}

int full_name(sqlite3_vfs*, const char* name, int bytes, char* into) {
  std::snprintf(into, static_cast<size_t>(bytes), "%s%s", name[0] == '/' ? "" : "/", name);
  return SQLITE_OK;
}

int randomness(sqlite3_vfs* base, int bytes, char* into) {
  cast(base).machine().random_bytes({reinterpret_cast<std::byte*>(into), static_cast<size_t>(bytes)});
  return bytes;
}

int no_sleep(sqlite3_vfs*, int microseconds) { return microseconds; }

int time_now(sqlite3_vfs* base, sqlite3_int64* ms) {
  *ms = julian_epoch_ms + cast(base).machine().wall_now().count() / 1'000'000;
  return SQLITE_OK;
}

int day_now(sqlite3_vfs* base, double* day) {
  sqlite3_int64 ms = 0;
  time_now(base, &ms);
  *day = static_cast<double>(ms) / 86'400'000.0;
  return SQLITE_OK;
}

int no_last_error(sqlite3_vfs*, int, char*) { return 0; }

}  // namespace

SqliteVfs::SqliteVfs(SimMachine& machine) : machine_(machine), vfs_(std::make_unique<sqlite3_vfs>()) {
  char name[64];
  std::snprintf(name, sizeof(name), "mars-sim-%p", static_cast<void*>(this));  // one at a time, so unique
  name_ = name;
  vfs_->iVersion = 2;
  vfs_->szOsFile = sizeof(VfsFile);
  vfs_->mxPathname = 1024;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = open_file;
  vfs_->xDelete = delete_file;
  vfs_->xAccess = access_file;
  vfs_->xFullPathname = full_name;
  vfs_->xRandomness = randomness;
  vfs_->xSleep = no_sleep;
  vfs_->xCurrentTime = day_now;
  vfs_->xCurrentTimeInt64 = time_now;
  vfs_->xGetLastError = no_last_error;
  CHECK(sqlite3_vfs_register(vfs_.get(), 0) == SQLITE_OK);
}

SqliteVfs::~SqliteVfs() { sqlite3_vfs_unregister(vfs_.get()); }

Disks& SqliteVfs::disks() { return machine_.host().disks(); }

bool SqliteVfs::begin_change(const std::string& path, uint64_t a, uint64_t b) {
  if (!machine_.is_alive()) return machine_.may_change();
  disks().count_change(path);
  if (!machine_.is_alive()) return false;  // the disks are already what the death left of them
  machine_.world().note(TraceKind::sqlite, machine_.host().id(), digest(std::as_bytes(std::span(path))) + a, b);
  return true;
}

}  // namespace mars::sim
