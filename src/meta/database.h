// Database: the file meta.db. A thin, blocking layer over SQLite, to be used only inside Machine::off_load and never by
// two threads at once. One transaction per commit, synchronous; every row carries its own hash, because SQLite does not
// see rot.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/status.h"
#include "format/values.h"
#include "meta/register_map.h"

struct sqlite3;

namespace mars::meta {

class Database {
 public:
  // Makes the file when there is none. damaged: not a database, or rows whose hash does not fit; unsupported: of a
  // newer MARS; refused: of another host; busy: somebody else has it open. `vfs`: null for SQLite's own.
  static Result<std::unique_ptr<Database>> open(const std::string& path, const char* vfs, const Uuid& host);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // Everything, as a change of an empty map.
  Result<Change> load();
  // All or nothing, durable when it returns ok.
  Error commit(const Change& change);

 private:
  explicit Database(std::string path) : path_(std::move(path)) {}
  Error prepare(const Uuid& host);
  Error make_tables(const Uuid& host);
  Error check_version(const Uuid& host);
  Error execute(const char* sql);
  Error load_seen(VersionVector& seen);
  Error load_lives(Lives& lives);
  Error write_rows(const Change& change);
  Error problem(int code, const char* doing);
  Error rot(const char* what);

  const std::string path_;
  sqlite3* handle_ = nullptr;
};

}  // namespace mars::meta
