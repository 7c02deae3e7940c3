#include "meta/registers.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace mars::meta {

Bytes bytes_from(std::string_view text) {
  ByteView view = bytes_of(text);
  return {view.begin(), view.end()};
}

std::string text_of(const Register& value) { return std::string(mars::text_of(ByteView(value.value))); }

Subscription::Subscription(Registers& registers, std::string scope, std::string prefix, std::function<void()> changed)
    : scope_(std::move(scope)), prefix_(std::move(prefix)), changed_(std::move(changed)) {
  registers.subscriptions_.push_back(*this);
}

bool Subscription::covers(const Key& key) const {
  return (scope_.empty() || key.first == scope_) && key.second.starts_with(prefix_);
}

// What somebody waits for; lives in the caller's coroutine.
struct Registers::Operation {
  enum class Kind : uint8_t { set, apply, merge };
  Kind kind = Kind::set;
  std::string scope;
  std::string key;
  Bytes value;
  bool tombstone = false;
  std::optional<Bytes> expected;  // what is there now; else nothing is written
  format::Delta delta;
  Status result = Status::stopped;
  Event* done = nullptr;
};

Registers::Registers(io::Machine& machine, Options options)
    : machine_(machine),
      options_(std::move(options)),
      clock_(machine),
      submitted_(machine.ready()),
      changed_(machine.ready()),
      calls_due_(machine.ready()),
      stop_(machine.ready()),
      scope_(machine.ready()) {}

Registers::~Registers() { CHECK(database_ == nullptr); }

Task<Result<std::unique_ptr<Registers>>> Registers::open(io::Machine& machine, Options options) {
  std::unique_ptr<Registers> registers(new Registers(machine, std::move(options)));
  Error error = co_await registers->load();
  if (error.status != Status::ok) {
    co_await registers->close();
    co_return failure(error);
  }
  registers->scope_.spawn(registers->commit_loop());
  registers->scope_.spawn(registers->call_loop());
  co_return registers;
}

Task<Error> Registers::load() {
  Error error = Status::gone;
  Change content;
  auto work = [this, &error, &content] {
    auto database = Database::open(options_.path, machine_.sqlite_vfs(), options_.host);
    if (!database) {
      error = database.error();
      return;
    }
    database_ = std::move(*database);
    auto loaded = database_->load();
    error = loaded ? Error(Status::ok) : loaded.error();
    if (loaded) content = std::move(*loaded);
  };
  co_await machine_.off_load(std::move(work));
  if (error.status != Status::ok) co_return error;
  for (const auto& [key, value] : content.registers) clock_.observe(value.stamp);
  map_.take(std::move(content));
  writer_ = next_life({});
  start_ = clock_.now();
  Change birth;
  birth.seen = map_.seen();
  birth.seen.raise(writer_.host, {writer_.incarnation, 0});
  birth.lives[writer_.incarnation] = 0;
  error = co_await write(birth);
  if (error.status == Status::ok) map_.take(std::move(birth));
  co_return error;
}

Task<void> Registers::close() {
  is_closing_ = true;
  stop_.set();
  submitted_.notify();
  calls_due_.set();
  co_await scope_.join();
  auto work = [this] { database_.reset(); };
  co_await machine_.off_load(std::move(work));
  database_.reset();  // a machine that died did not run it
}

WriterId Registers::next_life(const VersionVector& peer) {
  uint64_t number = remembered_life_;
  if (!map_.lives().empty()) number = std::max(number, life_number(map_.lives().rbegin()->first));
  for (const VersionVector* vector : {&map_.seen(), &peer}) {
    if (const Seen* seen = vector->find(options_.host)) number = std::max(number, life_number(seen->incarnation));
  }
  std::array<std::byte, 4> noise{};
  machine_.random_bytes(noise);
  uint64_t random = load_u32(noise.data()) >> (32 - random_bits_of_life);
  uint64_t next = std::min(number + 1, life_number_max - 1);
  return {options_.host, {(next << random_bits_of_life) | random}};
}

std::optional<Register> Registers::find(std::string_view scope, std::string_view key) const {
  const Register* value = map_.find(scope, key);
  if (value == nullptr || value->tombstone) return std::nullopt;
  return *value;
}

std::optional<Register> Registers::find_fact(std::string_view scope, std::string_view name, const Uuid& owner) const {
  return find(scope, fact_key(name, owner));
}

Task<Status> Registers::set_wish(std::string scope, std::string key, Bytes value) {
  if (kind_of(key) != Kind::wish) co_return Status::invalid;
  Operation operation;
  operation.scope = std::move(scope);
  operation.key = std::move(key);
  operation.value = std::move(value);
  co_return co_await submit(std::move(operation));
}

Task<Status> Registers::replace_wish(std::string scope, std::string key, Bytes expected, Bytes value) {
  if (kind_of(key) != Kind::wish) co_return Status::invalid;
  Operation operation;
  operation.scope = std::move(scope);
  operation.key = std::move(key);
  operation.value = std::move(value);
  operation.expected = std::move(expected);
  co_return co_await submit(std::move(operation));
}

Task<Status> Registers::erase_wish(std::string scope, std::string key) {
  if (kind_of(key) != Kind::wish) co_return Status::invalid;
  Operation operation;
  operation.scope = std::move(scope);
  operation.key = std::move(key);
  operation.tombstone = true;
  co_return co_await submit(std::move(operation));
}

Task<Status> Registers::set_fact(std::string scope, std::string name, Bytes value) {
  Operation operation;
  operation.scope = std::move(scope);
  operation.key = fact_key(name, options_.host);
  operation.value = std::move(value);
  co_return co_await submit(std::move(operation));
}

Task<Status> Registers::set_immutable(std::string scope, std::string key, Bytes value) {
  if (kind_of(key) != Kind::immutable) co_return Status::invalid;
  Operation operation;
  operation.scope = std::move(scope);
  operation.key = std::move(key);
  operation.value = std::move(value);
  co_return co_await submit(std::move(operation));
}

Task<Status> Registers::apply(format::Delta delta) {
  for (const Register& value : delta.registers) clock_.observe(value.stamp);
  Operation operation;
  operation.kind = Operation::Kind::apply;
  operation.delta = std::move(delta);
  co_return co_await submit(std::move(operation));
}

Task<void> Registers::pause(io::Duration duration) {
  Notifier nobody(machine_.ready());
  co_await io::wait_until(machine_, nobody, machine_.now() + duration);
}

Task<Status> Registers::merge(format::Delta snapshot) {
  for (const Register& value : snapshot.registers) clock_.observe(value.stamp);
  Operation operation;
  operation.kind = Operation::Kind::merge;
  operation.delta = std::move(snapshot);
  co_return co_await submit(std::move(operation));
}

bool Registers::compare(const VersionVector& peer) {
  if (!map_.is_remembered_with_more(options_.host, peer)) return false;
  is_rolled_back_ = true;
  remembered_life_ = std::max(remembered_life_, life_number(peer.find(options_.host)->incarnation));
  changed_.notify();
  return true;
}

void Registers::add_witness(const Uuid& peer) {
  ++witnesses_;
  witness_ = peer;
}

void Registers::remove_witness() {
  --witnesses_;
  witness_left_ = machine_.now();
  if (is_rolled_back_ && !is_closing_) scope_.spawn(notify_later());
}

// may_ask_anybody() becomes true by time alone: the conversations look once more when it may have.
Task<void> Registers::notify_later() {
  co_await io::sleep_for(machine_, witness_patience, stop_);
  changed_.notify();
}

Task<Status> Registers::submit(Operation operation) {
  if (problem_.status != Status::ok) co_return problem_.status;
  if (is_closing_) co_return Status::stopped;
  Event done(machine_.ready());
  operation.done = &done;
  waiting_.push_back(&operation);
  submitted_.notify();
  co_await done.wait();
  co_return operation.result;
}

// All that wait, in their order; a merge alone.
std::vector<Registers::Operation*> Registers::next_batch() {
  auto is_merge = [](const Operation* operation) { return operation->kind == Operation::Kind::merge; };
  auto end = std::ranges::find_if(waiting_, is_merge);
  if (end == waiting_.begin()) ++end;
  std::vector<Operation*> batch(waiting_.begin(), end);
  waiting_.erase(waiting_.begin(), end);
  return batch;
}

Task<void> Registers::commit_loop() {
  for (;;) {
    while (!waiting_.empty()) {
      std::vector<Operation*> batch = next_batch();
      co_await commit(std::move(batch));
    }
    if (is_closing_) co_return;
    co_await submitted_.wait();
  }
}

Status Registers::compose(ChangeBuilder& builder, Operation& operation) {
  switch (operation.kind) {
    case Operation::Kind::set:
      if (operation.expected && !builder.has(operation.scope, operation.key, *operation.expected)) {
        return Status::refused;
      }
      return builder.set(std::move(operation.scope), std::move(operation.key), std::move(operation.value),
                         operation.tombstone, clock_.now());
    case Operation::Kind::apply:
      return builder.apply(operation.delta);
    case Operation::Kind::merge:
      return builder.merge(operation.delta, start_);
  }
  return Status::invalid;
}

Task<void> Registers::commit(std::vector<Operation*> batch) {
  bool is_merge = batch.front()->kind == Operation::Kind::merge;
  WriterId writer = is_merge ? next_life(VersionVector::from(batch.front()->delta.claimed)) : writer_;
  ChangeBuilder builder(map_, writer);
  for (Operation* operation : batch) operation->result = compose(builder, *operation);
  illegitimate_ += builder.illegitimate();
  Status status = problem_.status;
  bool is_composed = !is_merge || batch.front()->result == Status::ok;
  if (status == Status::ok && is_composed) status = co_await commit_change(builder.take());
  if (is_merge && is_composed && status == Status::ok) {
    writer_ = writer;
    is_rolled_back_ = false;
    ++merges_;
    changed_.notify();
  }
  for (Operation* operation : batch) {
    if (operation->result == Status::ok) operation->result = status;
    operation->done->set();
  }
}

Task<Status> Registers::commit_change(Change change) {
  if (change.empty()) {
    // Only the vector rose. It is written with the next change: who has forgotten it is told again.
    if (change.seen == map_.seen()) co_return Status::ok;
    publish(std::move(change));
    co_return Status::ok;
  }
  Error error = co_await write(change);
  if (error.status == Status::ok) {
    publish(std::move(change));
  } else if (error.status != Status::no_space) {
    // What a disk did with a write that failed is not known; only reading it anew would tell.
    problem_ = error;
  }
  co_return error.status;
}

Task<Error> Registers::write(Change& change) {
  change.forgotten = map_.surplus(change.lives);
  Error error = Status::gone;
  auto work = [this, &change, &error] { error = database_->commit(change); };
  co_await machine_.off_load(std::move(work));
  co_return error;
}

void Registers::publish(Change change) {
  bool is_due = false;
  subscriptions_.for_each([&](Subscription& subscription) {
    bool covers =
        std::ranges::any_of(change.registers, [&](const auto& entry) { return subscription.covers(entry.first); });
    subscription.is_due_ = subscription.is_due_ || covers;
    is_due = is_due || covers;
  });
  map_.take(std::move(change));
  ++change_count_;
  changed_.notify();
  if (is_due) calls_due_.set();
}

Task<void> Registers::call_loop() {
  while (!is_closing_) {
    co_await calls_due_.wait();
    calls_due_.reset();
    // A call may end other subscriptions or make new ones: so the list is looked through anew after each.
    for (Subscription* due = nullptr;;) {
      due = nullptr;
      subscriptions_.for_each([&](Subscription& subscription) {
        if (due == nullptr && subscription.is_due_) due = &subscription;
      });
      if (due == nullptr || is_closing_) break;
      due->is_due_ = false;
      due->changed_();
    }
  }
}

}  // namespace mars::meta
