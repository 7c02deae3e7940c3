// Registers: the replicated metadata of one host, durable in meta.db. Belongs to one reactor; SQLite runs in off_load.
// What find() and list() show is durable. A write returns when it is durable; writes that come together share one
// transaction (group commit). Nothing of the data path waits for it (R5).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/list.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"
#include "io/machine.h"
#include "meta/database.h"
#include "meta/hybrid_clock.h"
#include "meta/register_map.h"

namespace mars::meta {

Bytes bytes_from(std::string_view text);
std::string text_of(const Register& value);

class Registers;

// Calls back, in a turn of its own, after something that it covers has changed; many changes may be one call. It says
// that something changed, not what: the owner looks. Ends with the object, which may not die inside its own call.
class Subscription : public ListHook {
 public:
  // `scope` empty: every scope. `prefix` of the key, empty: every key.
  Subscription(Registers& registers, std::string scope, std::string prefix, std::function<void()> changed);

 private:
  friend class Registers;
  bool covers(const Key& key) const;

  const std::string scope_;
  const std::string prefix_;
  const std::function<void()> changed_;
  bool is_due_ = false;
};

class Registers {
 public:
  struct Options {
    std::string path;  // of meta.db
    Uuid host;
  };
  // Opens or makes the store and begins a new life of this host (R3): durable before this returns.
  static Task<Result<std::unique_ptr<Registers>>> open(io::Machine& machine, Options options);
  Registers(const Registers&) = delete;
  Registers& operator=(const Registers&) = delete;
  ~Registers();
  // Completes what was begun; later writes return `stopped`. Awaited before it dies.
  Task<void> close();

  // Of this process; after a snapshot was merged into a rolled-back store, a newer one.
  WriterId writer() const { return writer_; }
  HybridClock& clock() { return clock_; }
  // A peer remembers more of us than we have (R3), and no snapshot has been merged into our store yet.
  bool is_rolled_back() const { return is_rolled_back_; }
  // Why the store takes no writes any more; ok while it does.
  const Error& problem() const { return problem_; }
  size_t illegitimate() const { return illegitimate_; }  // registers of others that were not taken

  // Nothing when there is none or it was erased. Names of facts and immutable ones: key.h.
  std::optional<Register> find(std::string_view scope, std::string_view key) const;
  std::optional<Register> find_fact(std::string_view scope, std::string_view name, const Uuid& owner) const;
  std::vector<Register> list(std::string_view scope, std::string_view prefix = {}) const {
    return map_.list(scope, prefix);
  }
  std::vector<std::string> scopes(std::string_view prefix = {}) const { return map_.scopes(prefix); }

  // invalid: name or value out of bounds. no_space, io_error ...: the store; nothing was changed. stopped: closed.
  Task<Status> set_wish(std::string scope, std::string key, Bytes value);
  // refused: by the time it would be written another value is there than `expected`. A newer wish that comes in
  // meanwhile is not outranked by an answer to an older one.
  Task<Status> replace_wish(std::string scope, std::string key, Bytes expected, Bytes value);
  Task<Status> erase_wish(std::string scope, std::string key);
  // Of this host; a value that is there already is no write.
  Task<Status> set_fact(std::string scope, std::string name, Bytes value);
  // exists: it is there with another value.
  Task<Status> set_immutable(std::string scope, std::string key, Bytes value);

  // For the exchange.
  const VersionVector& seen() const { return map_.seen(); }
  std::vector<format::Delta> newer_than(const VersionVector& known) const { return map_.newer_than(known); }
  // Whether the peer remembers more of us than we have; then is_rolled_back() becomes true.
  bool compare(const VersionVector& peer);
  // A conversation with somebody who remembers more of us begins, and ends or has brought what he has.
  void add_witness(const Uuid& peer);
  void remove_witness();
  // The last of them.
  const Uuid& witness() const { return witness_; }
  // None of them was there for a while: what others have is better than to publish nothing. He is believed later.
  bool may_ask_anybody() const {
    return is_rolled_back_ && witnesses_ == 0 && machine_.now() >= witness_left_ + witness_patience;
  }
  uint64_t merges() const { return merges_; }  // of snapshots into the store
  Task<Status> apply(format::Delta delta);
  // The whole content of a peer that remembers more of us comes to ours, and we publish anew (R3).
  Task<Status> merge(format::Delta snapshot);
  Task<void> pause(io::Duration duration);  // of whoever tries again
  // Notified after every change.
  Notifier& changed() { return changed_; }
  // Rises with every change: what was derived from registers is valid as long as this stays.
  uint64_t change_count() const { return change_count_; }

 private:
  friend class Subscription;
  struct Operation;
  static constexpr io::Duration witness_patience = std::chrono::seconds(30);  // a connection that is made anew

  Registers(io::Machine& machine, Options options);
  Task<Error> load();
  Task<Status> submit(Operation operation);
  Task<void> commit_loop();
  Task<void> call_loop();
  Task<void> notify_later();
  std::vector<Operation*> next_batch();
  Task<void> commit(std::vector<Operation*> batch);
  Status compose(ChangeBuilder& builder, Operation& operation);
  Task<Status> commit_change(Change change);
  Task<Error> write(Change& change);
  void publish(Change change);
  WriterId next_life(const VersionVector& peer);

  io::Machine& machine_;
  const Options options_;
  HybridClock clock_;
  RegisterMap map_;
  WriterId writer_;
  Stamp start_;  // everything that this process writes has a later one
  std::unique_ptr<Database> database_;
  Error problem_ = Status::ok;
  bool is_rolled_back_ = false;
  uint64_t remembered_life_ = 0;  // the greatest number that somebody remembered
  size_t witnesses_ = 0;
  Uuid witness_;
  io::Instant witness_left_ = {};
  uint64_t merges_ = 0;
  uint64_t change_count_ = 0;
  bool is_closing_ = false;
  size_t illegitimate_ = 0;
  std::vector<Operation*> waiting_;
  Notifier submitted_;
  Notifier changed_;
  List<Subscription> subscriptions_;
  Event calls_due_;
  Event stop_;
  Scope scope_;
};

}  // namespace mars::meta
