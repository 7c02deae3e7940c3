// A device at host b that is served to host a: the vocabulary of the tests of client, server and copy.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bricks/check.h"
#include "bricks/client.h"
#include "bricks/delay.h"
#include "bricks/memory.h"
#include "bricks/server.h"
#include "net/hosts_test.h"
#include "xio/port.h"

namespace mars::bricks {

using namespace std::chrono_literals;

inline constexpr net::ServiceId xio_service = 20;
inline constexpr net::ServiceId liar_service = 21;  // keeps the channel, so that the test may say anything

inline std::vector<std::byte> letters(size_t bytes, char letter) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(letter));
}

// Bytes that look like data: every block of 512 is another one.
inline std::vector<std::byte> noise(size_t bytes, uint64_t seed) {
  std::vector<std::byte> made(bytes);
  Prng prng(seed);
  for (std::byte& byte : made) byte = static_cast<std::byte>(prng.below(256));
  return made;
}

// At b: server above check above delay above memory. At a: a client with a port.
class RemoteHosts : public net::testing::TwoHosts {
 protected:
  static constexpr uint64_t device_bytes = 4u << 20;

  RemoteHosts() {
    b->services.add(
        xio_service,
        [this](std::unique_ptr<net::Channel> channel, const net::Bytes&) { return serve(std::move(channel)); },
        remote_window_bytes);
    b->services.add(
        liar_service,
        [this](std::unique_ptr<net::Channel> channel, const net::Bytes&) { return keep(std::move(channel)); },
        remote_window_bytes);
  }
  void TearDown() override {
    delay.press(false);
    client.force_off();
    EXPECT_TRUE(world.run_until([&] { return client.led_off() && delay.led_off(); }));
    liar.reset();
    a->stop();
    b->stop();
    EXPECT_EQ(check.in_flight(), 0u);
    EXPECT_EQ(check.faults(), 0u) << check.report();
  }

  std::unique_ptr<net::Channel> dial(net::ServiceId service = xio_service) {
    return open(service, {}, remote_window_bytes);
  }
  void connect(net::ServiceId service = xio_service) {
    client.use(dial(service));
    client.press(true);
  }
  void connect_and_wait() {
    connect();
    ASSERT_TRUE(world.run_until([&] { return client.led_on(); }));
  }
  void slow_down() {
    delay.press(true);
    ASSERT_TRUE(world.run_until([&] { return delay.led_on(); }));
  }

  static Task<Status> await_write(xio::Port& through, uint64_t offset, ByteView from) {
    co_return co_await through.write(offset, from);
  }
  static Task<Status> await_read(xio::Port& through, uint64_t offset, ByteSpan into) {
    co_return co_await through.read(offset, into);
  }
  static Task<Status> await_digest(xio::Port& through, uint64_t offset, uint64_t bytes, Hash128& into) {
    co_return co_await through.digest(offset, bytes, into);
  }
  static Task<Status> await_flush(xio::Port& through) { co_return co_await through.flush(); }
  static Task<Status> await_zeroes(xio::Port& through, uint64_t offset, uint64_t bytes) {
    co_return co_await through.write_zeroes(offset, bytes);
  }
  static Task<void> note(Task<Status> task, std::vector<Status>& outcomes) { outcomes.push_back(co_await task); }

  template <class T>
  T at_a(Task<T> task) {
    return world.run(a->machine, std::move(task));
  }
  Status write(uint64_t offset, const std::vector<std::byte>& bytes) { return at_a(await_write(port, offset, bytes)); }
  Status flush() { return at_a(await_flush(port)); }
  std::vector<std::byte> read(uint64_t offset, size_t bytes) {
    std::vector<std::byte> into(bytes);
    return at_a(await_read(port, offset, into)) == Status::ok ? into : std::vector<std::byte>();
  }
  // Starts it and goes on; the outcome comes to `outcomes`.
  void begin(Task<Status> task) { a->machine.scope().spawn(note(std::move(task), outcomes)); }
  bool wait_for(size_t count) {
    return world.run_until([&] { return outcomes.size() == count; });
  }
  std::vector<std::byte> content(uint64_t offset, size_t bytes) {
    const auto part = memory.bytes().subspan(offset, bytes);
    return {part.begin(), part.end()};
  }

  Ready& at_b() { return b->machine.ready(); }

  Memory memory{at_b(), {.bytes = device_bytes, .block_bytes = 512}};
  Delay delay{b->machine, memory, {.shortest = 1ms, .longest = 20ms, .seed = 3}};
  Check check{at_b(), delay, {.compare = true}};
  xio::Output* served = &check;
  ServerOptions server_options;
  Server* server = nullptr;
  Error server_ended = Status::ok;
  std::unique_ptr<net::Channel> liar;
  std::vector<Status> outcomes;
  Client client{a->machine.ready(), {}};
  xio::Port port{client};

 private:
  Task<void> serve(std::unique_ptr<net::Channel> channel) {
    Server mine(at_b(), *served, std::move(channel), server_options);
    server = &mine;
    server_ended = co_await mine.serve();
    if (server == &mine) server = nullptr;
  }
  Task<void> keep(std::unique_ptr<net::Channel> channel) {
    liar = std::move(channel);
    co_return;
  }
};

}  // namespace mars::bricks
