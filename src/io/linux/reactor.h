// Reactor: one thread's waiting room. It owns the run queue and Asio's io_context (readiness of descriptors, alarm,
// signals), and is the only door by which other threads reach the run queue.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "base/ready.h"
#include "io/linux/descriptor.h"
#include "io/time.h"

namespace mars::io {

class Reactor {
 public:
  Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;
  ~Reactor();

  Ready& ready() { return ready_; }

  // From any thread: the job runs at the reactor's next turn. It stays the caller's and must outlive its run.
  void hand_over(Job& job);
  // From any thread; allocates.
  void post(std::move_only_function<void()> function);
  // Calls f from the reactor whenever the process receives the signal; for the reactor's whole life.
  void on_signal(int number, std::move_only_function<void()> function);

  // An eventfd that ends wait(); the ring's completions ring it as well.
  int doorbell() const { return doorbell_.get(); }

  // The parts of a turn, in the reactor's thread. Moves what other threads handed over into the run queue.
  void collect();
  // Runs what descriptors and signals have ready, at most so much; does not block. False: there was nothing.
  bool poll(size_t most);
  bool has_handed_over() const { return has_handed_over_; }
  // Tells other threads that they have to ring from now on; false: something was handed over meanwhile, do not wait.
  bool prepare_to_wait();
  // Blocks until something happens, at most until the instant.
  void wait(std::optional<Instant> until);

  struct Asio;
  Asio& asio() { return *asio_; }

 private:
  void listen_to_doorbell();
  void ring_doorbell();

  Ready ready_;
  Descriptor doorbell_;
  std::mutex mutex_;  // guards the list of handed over jobs, which other threads fill
  Job* handed_over_ = nullptr;
  Job** handed_over_tail_ = &handed_over_;
  std::atomic<bool> has_handed_over_ = false;
  std::atomic<bool> is_waiting_ = false;
  std::unique_ptr<Asio> asio_;
};

Instant monotonic_now();

}  // namespace mars::io
