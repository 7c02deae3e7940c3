// Vocabulary of the tests of this folder: hosts of a simulated world with a store each.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "meta/exchange.h"
#include "meta/registers.h"
#include "sim/world.h"

namespace mars::meta {

class MetaTest : public testing::Test {
 protected:
  static Uuid uuid_of(const std::string& host) { return Uuid::from_random({static_cast<uint8_t>(host[0])}); }

  ~MetaTest() override {
    for (auto& [name, store] : stores_) close(store);
  }

  Result<std::unique_ptr<Registers>> try_open(const std::string& host) {
    Registers::Options options{"/meta.db", uuid_of(host)};
    sim::SimMachine& machine = world.host(host).machine();
    return world.run(machine, Registers::open(machine, options));
  }
  Registers& at(const std::string& host) {
    Store& store = stores_[host];
    if (store.registers == nullptr) {
      store.machine = &world.host(host).machine();
      auto opened = try_open(host);
      EXPECT_TRUE(opened) << opened.error().text;
      store.registers = std::move(*opened);
    }
    return *store.registers;
  }
  sim::SimMachine& machine(const std::string& host) { return world.host(host).machine(); }
  void close(const std::string& host) { close(stores_[host]); }

  Status try_wish(const std::string& host, const std::string& key, std::string_view value) {
    return world.run(*machine_of(host), at(host).set_wish("r", key, bytes_from(value)));
  }
  Status try_fact(const std::string& host, const std::string& name, std::string_view value) {
    return world.run(*machine_of(host), at(host).set_fact("r", name, bytes_from(value)));
  }
  void wish(const std::string& host, const std::string& key, std::string_view value) {
    EXPECT_EQ(try_wish(host, key, value), Status::ok);
  }
  void fact(const std::string& host, const std::string& name, std::string_view value) {
    EXPECT_EQ(try_fact(host, name, value), Status::ok);
  }
  std::string read(const std::string& host, const std::string& key) {
    auto value = at(host).find("r", key);
    return value ? text_of(*value) : "-";
  }
  std::string read_fact(const std::string& host, const std::string& name, const std::string& owner) {
    return read(host, fact_key(name, uuid_of(owner)));
  }
  // Everything that both have to say to each other, as over a channel that begins and ends with it.
  void meet(const std::string& a, const std::string& b) {
    Conversation from_a(at(a)), from_b(at(b));
    for (bool is_silent = false; !is_silent;) {
      is_silent = true;
      while (auto message = from_a.next_message()) deliver(b, from_b, std::move(*message), is_silent);
      while (auto message = from_b.next_message()) deliver(a, from_a, std::move(*message), is_silent);
    }
  }
  sim::SimMachine* machine_of(const std::string& host) {
    at(host);
    return stores_[host].machine;
  }

  sim::World world{1};

 private:
  struct Store {
    sim::SimMachine* machine = nullptr;
    std::unique_ptr<Registers> registers;
  };
  void close(Store& store) {
    if (store.registers == nullptr) return;
    world.run(*store.machine, store.registers->close());
    store.registers = nullptr;
  }
  void deliver(const std::string& to, Conversation& conversation, Bytes message, bool& is_silent) {
    is_silent = false;
    Error error = world.run(*machine_of(to), conversation.on_message(std::move(message)));
    EXPECT_EQ(error.status, Status::ok) << error.text;
  }

  std::map<std::string, Store> stores_;
};

}  // namespace mars::meta
