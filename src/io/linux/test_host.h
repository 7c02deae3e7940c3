// What the tests of io/linux share: a machine, a directory of its own, and a way to run a coroutine to its end.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "base/check.h"
#include "io/linux/linux_machine.h"

namespace mars::io {

class TestHost {
 public:
  explicit TestHost(DiskEngineChoice engine = DiskEngineChoice::automatic) : directory_(make_directory()) {
    LinuxOptions options;
    options.run_dir = directory_;
    options.io = engine;
    machine_ = std::make_unique<LinuxMachine>(options);
  }
  ~TestHost() {
    machine_.reset();
    std::filesystem::remove_all(directory_);
  }

  LinuxMachine& machine() { return *machine_; }
  Storage& storage() { return machine_->storage(); }
  Network& network() { return machine_->network(); }
  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  // Turns the reactor until the coroutine has ended. The body, and so what it captures, stays alive as long.
  template <class Body>
  void run(Body&& body) {
    Scope scope(machine_->ready());
    scope.spawn(stop_after(body()));
    machine_->run();
  }

 private:
  static std::string make_directory() {
    std::string name = testing::TempDir() + "mars-io-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    return name;
  }
  Task<void> stop_after(Task<void> task) {
    co_await task;
    machine_->stop();
  }

  std::string directory_;
  std::unique_ptr<LinuxMachine> machine_;
};

// For coroutines, where ASSERT_ cannot return.
template <class T>
T must(Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().text;
  CHECK(result.has_value());
  return std::move(*result);
}

}  // namespace mars::io
