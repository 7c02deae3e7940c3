#include "io/linux/resolver.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>

#include "base/sync.h"
#include "io/machine.h"

namespace mars::io {
namespace {

constexpr size_t threads_max = 4;
constexpr Duration late_answer_lasts = 30s;

}  // namespace

// One name that is being looked up. The answer is the reactor's; a thread only reads the address.
struct Resolver::Question {
  Question(Ready& ready, Address name) : address(std::move(name)), answered(ready) {}

  const Address address;
  std::optional<Result<std::vector<SocketAddress>>> answer;
  Instant answered_at{};
  size_t askers = 0;
  Notifier answered;
};

// What outlives the resolver, as long as a thread is in a lookup.
struct Resolver::Threads : std::enable_shared_from_this<Threads> {
  Threads(Reactor& owner, Lookup function) : reactor(&owner), lookup(std::move(function)) {}

  // False: there is no thread, and none can be made now.
  bool push(std::shared_ptr<Question> question) {
    std::scoped_lock lock(mutex);
    if (queue.size() >= idle && count < threads_max && start_thread()) ++count;
    if (count == 0) return false;
    queue.push_back(std::move(question));
    has_work.notify_one();
    return true;
  }

  // The kernel may have no room for one.
  bool start_thread() {
    try {
      std::thread([self = shared_from_this()] { self->loop(); }).detach();
      return true;
    } catch (const std::system_error&) {
      return false;
    }
  }

  void end() {
    std::scoped_lock lock(mutex);
    reactor = nullptr;
    has_work.notify_all();
  }

  void loop() {
    std::unique_lock lock(mutex);
    while (reactor != nullptr) {
      if (queue.empty()) {
        ++idle;
        has_work.wait(lock);
        --idle;
        continue;
      }
      const std::shared_ptr<Question> question = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      auto answer = lookup(question->address);
      lock.lock();
      if (reactor == nullptr) return;
      reactor->post([self = shared_from_this(), question, answer = std::move(answer)]() mutable {
        question->answer = std::move(answer);
        question->answered_at = monotonic_now();
        // A good one that came too late for all waits for the next who asks: he would give up as early as they did.
        if (question->askers > 0 || !*question->answer) self->open.erase(question->address);
        question->answered.notify();
      });
    }
  }

  std::map<Address, std::shared_ptr<Question>> open;  // the reactor's
  std::mutex mutex;                                   // guards all below
  std::condition_variable has_work;
  Reactor* reactor;  // null: the resolver is gone
  const Lookup lookup;
  std::deque<std::shared_ptr<Question>> queue;  // at most one for each name
  size_t count = 0;
  size_t idle = 0;
};

Resolver::Resolver(Machine& machine, Reactor& reactor, Duration patience, Lookup lookup)
    : machine_(machine), patience_(patience), threads_(std::make_shared<Threads>(reactor, std::move(lookup))) {}

Resolver::~Resolver() { threads_->end(); }

std::shared_ptr<Resolver::Question> Resolver::ask(const Address& address) {
  std::shared_ptr<Question>& question = threads_->open[address];
  const bool is_old = question && question->answer && machine_.now() - question->answered_at > late_answer_lasts;
  if (!question || is_old) {
    question = std::make_shared<Question>(machine_.ready(), address);
    if (!threads_->push(question))
      question->answer = failure(Status::unreachable, "no thread can be made to look up " + address);
  }
  return question;
}

Task<Result<std::vector<SocketAddress>>> Resolver::find(Address address) {
  const std::shared_ptr<Question> question = ask(address);
  if (question->answer) {
    threads_->open.erase(address);
    co_return *question->answer;
  }
  ++question->askers;
  auto answered = wait_until(machine_, question->answered, machine_.now() + patience_);
  co_await answered;
  --question->askers;
  if (!question->answer) co_return failure(Status::unreachable, "no name server answers for " + address);
  co_return *question->answer;
}

}  // namespace mars::io
