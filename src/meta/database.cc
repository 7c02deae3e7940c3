#include "meta/database.h"

#include <fmt/core.h>
#include <sqlite3.h>

#include "base/hash.h"

namespace mars::meta {

namespace {

constexpr int file_version = 1;
constexpr int application = 0x4d415253;  // "MARS"

// A prepared statement; finalised at the end.
class Statement {
 public:
  Statement(sqlite3* handle, const char* sql) { code_ = sqlite3_prepare_v2(handle, sql, -1, &statement_, nullptr); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  int code() const { return code_; }  // SQLITE_OK, ROW, DONE or what went wrong
  void bind(int at, ByteView bytes) {
    // A null pointer would bind NULL.
    const void* data = bytes.empty() ? "" : static_cast<const void*>(bytes.data());
    if (code_ == SQLITE_OK) code_ = sqlite3_bind_blob64(statement_, at, data, bytes.size(), SQLITE_TRANSIENT);
  }
  int step() {
    if (code_ == SQLITE_OK || code_ == SQLITE_ROW) code_ = sqlite3_step(statement_);
    return code_;
  }
  void reset() {
    if (code_ == SQLITE_DONE) code_ = sqlite3_reset(statement_);
  }
  int64_t number(int column) { return sqlite3_column_int64(statement_, column); }
  ByteView blob(int column) {
    const void* data = sqlite3_column_blob(statement_, column);
    size_t size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
    return {static_cast<const std::byte*>(data), data == nullptr ? 0 : size};
  }
  std::string_view text(int column) { return text_of(blob(column)); }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int code_ = SQLITE_OK;
};

// A row's body is its content and the hash over it.
Bytes sealed(Bytes content) {
  Hash128 sum = hash(content);
  Writer writer(content);
  write_hash(writer, sum);
  return content;
}

Result<ByteView> unsealed(ByteView body) {
  if (body.size() < 16) return failure(Status::damaged);
  ByteView content = body.first(body.size() - 16);
  Reader reader(body.last(16));
  if (read_hash(reader) != hash(content)) return failure(Status::damaged);
  return content;
}

Status status_of_code(int code) {
  switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
      return Status::ok;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Status::damaged;
    case SQLITE_FULL:
      return Status::no_space;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Status::busy;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY:
      return Status::permission;
    case SQLITE_CANTOPEN:
      return Status::not_found;
    default:
      return Status::io_error;
  }
}

Bytes seen_bytes(const VersionVector& vector) {
  Bytes bytes;
  Writer writer(bytes);
  for (const auto& [host, seen] : vector.entries()) {
    write_uuid(writer, host);
    writer.u64(seen.incarnation.value);
    writer.u64(seen.sequence);
  }
  return bytes;
}

Bytes life_bytes(Incarnation incarnation, uint64_t sequence) {
  Bytes bytes;
  Writer writer(bytes);
  writer.u64(incarnation.value);
  writer.u64(sequence);
  return bytes;
}

void read_seen(Reader& reader, VersionVector& vector) {
  while (reader.rest() > 0) {
    Uuid host = read_uuid(reader);
    Incarnation incarnation{reader.u64()};
    uint64_t sequence = reader.u64();
    if (reader.ok()) vector.raise(host, {incarnation, sequence});
  }
}

}  // namespace

Result<std::unique_ptr<Database>> Database::open(const std::string& path, const char* vfs, const Uuid& host) {
  std::unique_ptr<Database> database(new Database(path));
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE;
  int code = sqlite3_open_v2(path.c_str(), &database->handle_, flags, vfs);
  if (code != SQLITE_OK) return failure(database->problem(code, "open"));
  Error error = database->prepare(host);
  if (error.status != Status::ok) return failure(error);
  return database;
}

Database::~Database() { sqlite3_close_v2(handle_); }

Error Database::problem(int code, const char* doing) {
  Status status = status_of_code(code);
  std::string text = fmt::format("cannot {} the metadata store {}: {}", doing, path_,
                                 handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code));
  if (status == Status::damaged) {
    text += "; move the file away and start marsd again: the other members of the cluster bring the content back";
  }
  return {status, text};
}

Error Database::rot(const char* what) {
  return {
      Status::damaged,
      fmt::format("the metadata store {} is damaged: {}; move the file away and start marsd again: the other members "
                  "of the cluster bring the content back",
                  path_, what)};
}

Error Database::execute(const char* sql) {
  int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Error(Status::ok) : problem(code, "use");
}

Error Database::prepare(const Uuid& host) {
  // Exclusive: one process, so neither shared memory nor a lock per transaction. Truncate: the directory is synced
  // once.
  Error error = execute(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; "
      "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0");
  if (error.status != Status::ok) return error;
  // The transaction makes the whole creation one step: a crash leaves an empty file or a complete store.
  error = execute("BEGIN EXCLUSIVE");
  if (error.status != Status::ok) return error;
  int64_t tables = 0;
  {
    Statement count(handle_, "SELECT count(*) FROM sqlite_schema");
    if (count.step() != SQLITE_ROW) return problem(count.code(), "read");
    tables = count.number(0);
  }
  error = tables == 0 ? make_tables(host) : check_version(host);
  if (error.status != Status::ok) return error;
  return execute("COMMIT");
}

Error Database::make_tables(const Uuid& host) {
  Error error = execute(
      "PRAGMA application_id = 0x4d415253; PRAGMA user_version = 1;"
      "CREATE TABLE store(name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE lives(incarnation BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;"
      "CREATE TABLE registers(scope BLOB, key BLOB, body BLOB NOT NULL, PRIMARY KEY(scope, key)) WITHOUT ROWID");
  if (error.status != Status::ok) return error;
  Bytes owner;
  Writer writer(owner);
  write_uuid(writer, host);
  Statement insert(handle_, "INSERT INTO store VALUES('host', ?)");
  insert.bind(1, sealed(owner));
  return insert.step() == SQLITE_DONE ? Error(Status::ok) : problem(insert.code(), "write");
}

Error Database::check_version(const Uuid& host) {
  {
    Statement id(handle_, "PRAGMA application_id");
    if (id.step() != SQLITE_ROW || id.number(0) != application) return rot("it was not made by MARS");
    Statement version(handle_, "PRAGMA user_version");
    if (version.step() != SQLITE_ROW) return problem(version.code(), "read");
    if (version.number(0) != file_version) {
      return {Status::unsupported, fmt::format("the metadata store {} has version {}, this MARS knows {}", path_,
                                               version.number(0), file_version)};
    }
    Statement check(handle_, "PRAGMA quick_check(1)");
    if (check.step() != SQLITE_ROW) return problem(check.code(), "check");
    if (check.text(0) != "ok") return rot(std::string(check.text(0)).c_str());
  }
  Statement owner(handle_, "SELECT body FROM store WHERE name = 'host'");
  if (owner.step() != SQLITE_ROW) return owner.code() == SQLITE_DONE ? rot("no owner") : problem(owner.code(), "read");
  Result<ByteView> content = unsealed(owner.blob(0));
  if (!content) return rot("its owner");
  Reader reader(*content);
  Uuid found = read_uuid(reader);
  if (!reader.finished() || found != host) {
    return {Status::refused, fmt::format("the metadata store {} belongs to host {}, not to {}", path_, to_string(found),
                                         to_string(host))};
  }
  return Status::ok;
}

Result<Change> Database::load() {
  Change change;
  Statement rows(handle_, "SELECT scope, key, body FROM registers ORDER BY scope, key");
  while (rows.step() == SQLITE_ROW) {
    Result<ByteView> content = unsealed(rows.blob(2));
    if (!content) return failure(rot("a register whose hash does not fit"));
    Result<Register> value = format::decode_register(*content);
    if (!value || value->scope != rows.text(0) || value->key != rows.text(1))
      return failure(rot("a malformed register"));
    Key key(value->scope, value->key);
    change.registers.emplace(std::move(key), std::move(*value));
  }
  if (rows.code() != SQLITE_DONE) return failure(problem(rows.code(), "read"));
  Error error = load_seen(change.seen);
  if (error.status == Status::ok) error = load_lives(change.lives);
  if (error.status != Status::ok) return failure(error);
  return change;
}

Error Database::load_seen(VersionVector& seen) {
  Statement row(handle_, "SELECT body FROM store WHERE name = 'seen'");
  if (row.step() == SQLITE_DONE) return Status::ok;
  if (row.code() != SQLITE_ROW) return problem(row.code(), "read");
  Result<ByteView> content = unsealed(row.blob(0));
  if (!content) return rot("its version vector");
  Reader reader(*content);
  read_seen(reader, seen);
  return reader.ok() ? Error(Status::ok) : rot("its version vector");
}

Error Database::load_lives(Lives& lives) {
  Statement rows(handle_, "SELECT body FROM lives");
  while (rows.step() == SQLITE_ROW) {
    Result<ByteView> content = unsealed(rows.blob(0));
    if (!content) return rot("its list of lives");
    Reader reader(*content);
    Incarnation incarnation{reader.u64()};
    uint64_t sequence = reader.u64();
    if (!reader.finished()) return rot("its list of lives");
    lives[incarnation] = sequence;
  }
  return rows.code() == SQLITE_DONE ? Error(Status::ok) : problem(rows.code(), "read");
}

Error Database::write_rows(const Change& change) {
  Statement put(handle_, "INSERT OR REPLACE INTO registers VALUES(?, ?, ?)");
  for (const auto& [key, value] : change.registers) {
    Result<Bytes> body = format::encode_register(value);
    if (!body) return body.error();
    put.bind(1, bytes_of(key.first));
    put.bind(2, bytes_of(key.second));
    put.bind(3, sealed(std::move(*body)));
    if (put.step() != SQLITE_DONE) return problem(put.code(), "write");
    put.reset();
  }
  Statement seen(handle_, "INSERT OR REPLACE INTO store VALUES('seen', ?)");
  seen.bind(1, sealed(seen_bytes(change.seen)));
  if (seen.step() != SQLITE_DONE) return problem(seen.code(), "write");
  Statement life(handle_, "INSERT OR REPLACE INTO lives VALUES(?, ?)");
  for (const auto& [incarnation, sequence] : change.lives) {
    Bytes body = life_bytes(incarnation, sequence);
    life.bind(1, ByteView(body).first(8));
    life.bind(2, sealed(std::move(body)));
    if (life.step() != SQLITE_DONE) return problem(life.code(), "write");
    life.reset();
  }
  Statement gone(handle_, "DELETE FROM lives WHERE incarnation = ?");
  for (const Incarnation& incarnation : change.forgotten) {
    gone.bind(1, ByteView(life_bytes(incarnation, 0)).first(8));
    if (gone.step() != SQLITE_DONE) return problem(gone.code(), "write");
    gone.reset();
  }
  return Status::ok;
}

Error Database::commit(const Change& change) {
  Error error = execute("BEGIN EXCLUSIVE");
  if (error.status == Status::ok) error = write_rows(change);
  if (error.status == Status::ok) error = execute("COMMIT");
  if (error.status != Status::ok && sqlite3_get_autocommit(handle_) == 0) {
    sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  return error;
}

}  // namespace mars::meta
