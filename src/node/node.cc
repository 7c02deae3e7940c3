#include "node/node.h"

#include <algorithm>
#include <utility>

#include "control/value_text.h"
#include "node/call.h"
#include "node/forwarding.h"
#include "node/status.h"

namespace mars::node {

namespace {

constexpr const char* pool_name = "pool";

Places places_of(const Options& options) {
  return {options.state_directory, options.log_directory.empty() ? options.state_directory : options.log_directory};
}

// Zero: as long as it takes.
io::Duration time_of(control::Command command) {
  const Result<control::Command> checked = control::check_command(std::move(command));
  const std::string text = checked ? checked->text("timeout") : "";
  return std::chrono::milliseconds(control::parse_duration_ms(text.empty() ? "60s" : text).value_or(60'000));
}

}  // namespace

Node::Node(io::Machine& machine, Options options, DeviceMaker& devices)
    : machine_(machine),
      options_(std::move(options)),
      places_(places_of(options_)),
      devices_(devices),
      changed_(machine.ready()),
      events_(machine, places_.events(), options_.log),
      membership_turn_(machine.ready(), 1),
      idle_(machine.ready()),
      carrying_(machine.ready()),
      ending_(machine.ready()) {}

Node::~Node() { CHECK(running_ == 0); }

Task<Result<void>> Node::start() {
  Result<void> opened = co_await open_directory();
  if (!opened) co_return opened;
  co_await events_.open();
  are_events_open_ = true;
  Result<std::optional<Identity>> identity = co_await load_identity(machine_, places_);
  if (!identity) co_return failure(identity.error());
  auto pool = bricks::Pool::open(machine_, pool_name, options_.pool_bytes);
  if (!pool) co_return failure(pool.error());
  pool_ = std::move(*pool);
  events_.add("", "marsd " + options_.version + " starts");
  if (!*identity) {
    co_await look_for_traces();
    if (open_problem_.empty()) events_.add("", "this host is in no cluster yet");
    if (!open_problem_.empty()) carrying_.spawn(keep_looking_for_identity());
    co_return Result<void>{};
  }
  Identity again = **identity;
  Result<void> cluster = co_await open_cluster(std::move(**identity));
  const Status status = cluster ? Status::ok : cluster.error().status;
  // A port that is taken, an address that this host does not have yet, a full disk: it may come.
  const bool may_come = status == Status::busy || status == Status::unreachable || status == Status::no_space;
  if (!may_come) co_return cluster;
  carrying_.spawn(keep_opening(std::move(again)));
  co_return Result<void>{};
}

Task<Result<void>> Node::open_directory() {
  Status made = co_await machine_.storage().make_directory(places_.state);
  if (made == Status::ok) made = co_await machine_.storage().make_directory(places_.log);
  if (made != Status::ok) {
    co_return failure(made, "cannot make " + places_.state + " or " + places_.log + ": " + std::string(name(made)));
  }
  auto lock = co_await machine_.storage().lock_directory(places_.state);
  if (!lock && lock.error().status == Status::busy) {
    co_return failure(Status::busy, "another marsd uses " + places_.state +
                                        "; stop it, or give this one its own --state-dir, --run-dir and --device-dir");
  }
  if (!lock) co_return failure(lock.error());
  lock_ = std::move(*lock);
  co_return Result<void>{};
}

Task<Result<void>> Node::open_cluster(Identity identity) {
  if (identity.name != options_.name && !options_.name.empty() && !std::exchange(is_name_told_, true)) {
    events_.add("", "this host is called " + identity.name + " in its cluster; the name " + options_.name +
                        " of the configuration is not used");
  }
  net::Handler commands = [this](std::unique_ptr<net::Channel> channel, net::Bytes opening) {
    return serve_command(*this, std::move(channel), std::move(opening));
  };
  const Cluster::Parts parts{machine_, options_, places_, *pool_, devices_, events_, changed_};
  auto cluster = std::make_unique<Cluster>(parts, std::move(identity), std::move(commands));
  Result<void> started = co_await cluster->start();
  if (!started) {
    std::string problem =
        started.error().text.empty() ? std::string(name(started.error().status)) : started.error().text;
    tell_open_problem(std::move(problem));
    co_await cluster->stop();
    co_return started;
  }
  cluster_ = std::move(cluster);
  open_problem_.clear();
  changed_.notify();
  co_return Result<void>{};
}

void Node::tell_open_problem(std::string problem) {
  if (problem != open_problem_) events_.add("", "ALARM: the cluster could not be opened: " + problem);
  open_problem_ = std::move(problem);
}

Task<void> Node::look_for_traces() {
  const Result<std::string> traces = co_await find_traces_of_member(machine_, places_);
  if (traces && traces->empty()) {
    if (!open_problem_.empty()) events_.add("", "nothing is here any more of a cluster; this host is in none");
    open_problem_.clear();
    co_return;
  }
  std::string what = traces ? "there is " + *traces : traces.error().text;
  tell_open_problem(places_.host() + " is missing, but " + what +
                    ": mount its disk or bring that file back; if nobody "
                    "needs what is here, move " +
                    (traces ? *traces : places_.state) + " away");
}

// The disk of the state directory may be mounted, or the file brought back; what else is here may go.
Task<void> Node::keep_looking_for_identity() {
  ++running_;
  while (co_await pause_before_next_try()) {
    co_await membership_turn_.acquire();
    bool is_over = cluster_ != nullptr || is_stopping_ || open_problem_.empty();
    Result<std::optional<Identity>> identity;
    if (!is_over) identity = co_await load_identity(machine_, places_);
    if (!is_over && identity && *identity) {
      lock_.reset();  // that of another directory, when a disk was mounted over it
      Result<void> opened = co_await open_directory();
      if (opened) opened = co_await open_cluster(std::move(**identity));
      if (!opened) tell_open_problem(opened.error().text);
      if (opened) events_.add("", "the cluster is open now");
      is_over = opened.has_value();
    } else if (!is_over && !identity) {
      tell_open_problem(identity.error().text);
    } else if (!is_over) {
      co_await look_for_traces();
      is_over = open_problem_.empty();
    }
    membership_turn_.release(1);
    if (is_over) break;
  }
  if (--running_ == 0) idle_.notify();
}

// False: marsd stops, or the cluster is open.
Task<bool> Node::pause_before_next_try() {
  const io::Instant next = machine_.now() + open_pause;
  while (!is_stopping_ && machine_.now() < next) co_await io::wait_until(machine_, changed_, next);
  co_return !is_stopping_ && cluster_ == nullptr;
}

Task<Result<void>> Node::become_member(Identity identity) {
  CHECK(cluster_ == nullptr);
  Result<void> stored = co_await store_identity(machine_, places_, identity);
  if (!stored) co_return stored;
  Identity again = identity;
  Result<void> opened = co_await open_cluster(std::move(identity));
  if (!opened) carrying_.spawn(keep_opening(std::move(again)));
  co_return opened;
}

// What is in the way may go: a port that is taken, a disk that is full.
Task<void> Node::keep_opening(Identity identity) {
  ++running_;
  while (co_await pause_before_next_try()) {
    co_await membership_turn_.acquire();
    if (cluster_ == nullptr && !is_stopping_) {
      Identity mine = identity;
      Result<void> opened = co_await open_cluster(std::move(mine));
      if (opened) events_.add("", "the cluster is open now");
    }
    membership_turn_.release(1);
  }
  if (--running_ == 0) idle_.notify();
}

uint64_t Node::written_bytes() const { return cluster_ == nullptr ? 0 : cluster_->written_bytes(); }

Task<void> Node::stop() {
  is_stopping_ = true;
  changed_.notify();
  if (cluster_ != nullptr) co_await cluster_->resources().prepare_stop();
  // A command may wait for a disk that does not answer: the replicas' stop says so.
  const io::Instant deadline = machine_.now() + options_.stop_wait + std::chrono::seconds(20);
  while (running_ > 0 && machine_.now() < deadline) co_await io::wait_until(machine_, idle_, deadline);
  if (cluster_ != nullptr) {
    co_await cluster_->stop();
    was_cut_off_ = cluster_->was_cut_off();
    is_stuck_ = cluster_->is_stuck();
  }
  const io::Instant limit = machine_.now() + disk_patience;
  while (running_ > 0 && machine_.now() < limit && !is_stuck_) co_await io::wait_until(machine_, idle_, limit);
  if (running_ > 0) is_stuck_ = true;
  if (!is_stuck_) {
    const bool is_pool_needed = cluster_ == nullptr ? !open_problem_.empty() : cluster_->resources().needs_pool();
    cluster_.reset();
    if (!is_pool_needed) give_pool_back();
  }
  if (are_events_open_) {
    events_.add("", is_stuck_ ? "marsd ends as it is" : "marsd has stopped");
    auto is_closed = std::make_shared<bool>(false);
    ending_.spawn(close_events(is_closed));
    // The state directory may lie on the disk that does not answer.
    const io::Instant limit = machine_.now() + std::chrono::seconds(2);
    while (!*is_closed && (!is_stuck_ || machine_.now() < limit)) {
      co_await io::wait_until(machine_, idle_, machine_.now() + std::chrono::milliseconds(100));
    }
  }
  if (!is_stuck_) lock_.reset();
}

Task<void> Node::close_events(std::shared_ptr<bool> is_closed) {
  co_await events_.close();
  *is_closed = true;
  idle_.notify();
}

// After a clean end nobody misses it; the next start makes one of the size that is configured then.
void Node::give_pool_back() {
  if (pool_ == nullptr || !pool_->is_persistent() || !pool_->is_empty()) return;
  pool_.reset();
  static_cast<void>(machine_.remove_pool(pool_name));
}

Task<control::Answer> Node::run(control::Command command, Listener listener) {
  return run(std::move(command), std::move(listener), {});
}

// A command looks at its --timeout where it waits for something to change. Where a disk does not answer it cannot: then
// it goes on alone, and the caller is told so.
Task<control::Answer> Node::run(control::Command command, Listener listener, Caller caller) {
  auto carried = std::make_shared<Carried>(machine_.ready());
  const io::Duration limit = time_of(command);
  const bool has_limit = limit > io::Duration{};
  const io::Instant end = machine_.now() + limit + disk_patience;
  const std::string name = command.name;
  const Event* const gone = std::exchange(caller.gone, &carried->gone);
  Listener guarded = [carried, to = std::move(listener)](const control::Progress& progress) {
    if (to && !carried->gone.is_set()) to(progress);
  };
  carrying_.spawn(carry(carried, std::move(command), std::move(guarded), std::move(caller)));
  while (!carried->answer && !(has_limit && machine_.now() >= end)) {
    if (gone != nullptr && gone->is_set() && !carried->gone.is_set()) {
      carried->gone.set();
      changed_.notify();
    }
    const io::Instant soon = machine_.now() + std::chrono::seconds(1);
    co_await io::wait_until(machine_, changed_, has_limit ? std::min(end, soon) : soon);
  }
  carried->gone.set();
  if (carried->answer) co_return std::move(*carried->answer);
  control::Answer answer{
      control::ExitCode::timed_out,
      name + " is not done yet: there is much to do, or a disk or the state directory does not answer",
      "`marsadm status` and `marsadm events` say whether it goes on; look at them, and at the "
      "kernel's log, before you repeat the command",
      {}};
  co_return answer;
}

Task<void> Node::carry(std::shared_ptr<Carried> carried, control::Command command, Listener listener, Caller caller) {
  ++running_;
  carried->answer = co_await run_command(*this, std::move(command), std::move(listener), std::move(caller));
  if (--running_ == 0) idle_.notify();
  changed_.notify();
}

control::ClusterView Node::status() { return status_of(*this); }

}  // namespace mars::node
