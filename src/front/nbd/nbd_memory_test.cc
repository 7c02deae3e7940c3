// Clients that hold memory which others could use.
#include "front/nbd/nbd_server_test.h"

namespace mars::nbd::testing {
namespace {

class SmallServerTest : public NbdServerTest {
 protected:
  SmallServerTest() : NbdServerTest({.bytes = 64 * mib, .block_bytes = 512}, 8 * mib) {}
  // By one more client; every other one gets structured replies.
  void ask_often(std::vector<std::unique_ptr<Client>>& clients, uint32_t length, uint64_t times) {
    clients.push_back(std::make_unique<Client>(world, machine));
    clients.back()->open("disk", clients.size() % 2 == 1);
    for (uint64_t i = 0; i < times; ++i) clients.back()->send_request(Command::read, 0, length, 0, i);
  }
};

class SupplyingServerTest : public NbdServerTest {
 protected:
  SupplyingServerTest() : NbdServerTest({.bytes = 64 * mib, .block_bytes = 512, .buffers = 4}) {}
};

class ShorteningServerTest : public NbdServerTest {
 protected:
  ShorteningServerTest()
      : NbdServerTest({.bytes = 64 * mib, .block_bytes = 512, .buffers = 16, .get_bytes_max = 4096}) {}
};

// More pieces than a connection may have in flight.
TEST_F(ShorteningServerTest, a_write_goes_below_in_the_pieces_that_get_gives) {
  delay();
  Client client(world, machine);
  client.open();
  const Bytes data = pattern(2 * mib + 512, 5);
  EXPECT_EQ(client.write(512, data, command_fua), Errno::none);
  EXPECT_EQ(client.read(512, 2 * mib + 512), data);
}

TEST_F(SupplyingServerTest, payload_goes_into_supplied_buffers) {
  delay();
  Client client(world, machine);
  client.open();
  for (const uint32_t size : {512u, 4096u, 3 * mib, 9 * mib}) {
    const Bytes data = pattern(size, 3);
    EXPECT_EQ(client.write(0, data), Errno::none);
    EXPECT_EQ(client.read(0, size), data);
  }
  world.run_for(1s);
  EXPECT_EQ(memory->buffers_free(), 4u);
}

TEST_F(SupplyingServerTest, who_announces_a_write_and_sends_nothing_does_not_keep_its_buffer) {
  std::vector<std::unique_ptr<Client>> silent;
  for (size_t i = 0; i < 4; ++i) {
    silent.push_back(std::make_unique<Client>(world, machine));
    silent.back()->open();
    silent.back()->send_request(Command::write, 0, mib);
    silent.back()->send(pattern(1000, 1));
  }
  Client slow(world, machine);
  slow.open();
  slow.send_request(Command::write, 0, 4 * 512);
  world.run_for(29s);
  EXPECT_EQ(disk->connection_count(), 5u);
  world.run_for(2s);
  EXPECT_EQ(disk->connection_count(), 1u);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0], "an NBD client of disk announced a write and sent nothing of it: it is disconnected");
  for (int i = 0; i < 4; ++i) {
    slow.send(pattern(512, 2));
    world.run_for(20s);
  }
  EXPECT_EQ(slow.answer().error, Errno::none);
  EXPECT_EQ(memory->buffers_free(), 4u);
}

// Its reader waits for memory, and reads no end.
TEST_F(SupplyingServerTest, who_leaves_while_its_write_waits_for_memory_is_no_user) {
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < 5; ++i) {
    clients.push_back(std::make_unique<Client>(world, machine));
    clients.back()->open();
    clients.back()->send_request(Command::write, 0, mib);
  }
  world.run_for(1s);
  EXPECT_EQ(memory->buffers_free(), 0u);
  clients.back()->close();
  EXPECT_TRUE(world.run_until([&] { return disk->client_count() == 4; }, 1s));
  EXPECT_EQ(disk->connection_count(), 5u);
}

TEST_F(NbdServerTest, who_has_left_and_reads_no_answer_does_not_keep_the_device) {
  Client client(world, machine);
  client.open();
  for (int i = 0; i < 4; ++i) client.send_request(Command::read, 0, mib);
  client.send_request(Command::disconnect, 0, 0);
  EXPECT_TRUE(world.run_until([&] { return disk->client_count() == 0; }, 1s));
  EXPECT_EQ(disk->connection_count(), 1u);
  disk->press(false);
  EXPECT_TRUE(world.run_until([&] { return disk->led_off(); }, 1s));
}

// With structured replies, simple ones of less than 4 MiB, and longer ones.
TEST_F(SmallServerTest, clients_that_do_not_read_leave_memory_for_the_others) {
  const uint32_t lengths[] = {32 * mib, 3 * mib, 32 * mib, 4 * mib, mib, 2 * mib};
  std::vector<std::unique_ptr<Client>> greedy;
  for (const uint32_t length : lengths) ask_often(greedy, length, 20);
  world.run_for(1s);
  Client other(world, machine);
  other.open();
  EXPECT_EQ(other.write(0, pattern(65536, 1)), Errno::none);
  EXPECT_EQ(other.read(0, 65536), pattern(65536, 1));
  disk->force_off();  // some of them wait for memory
  EXPECT_TRUE(world.run_until([&] { return disk->led_off(); }));
}

TEST_F(SmallServerTest, many_clients_that_share_little_memory_all_come_to_an_end) {
  const Bytes data = pattern(4 * mib, 9);
  std::copy(data.begin(), data.end(), memory->bytes().begin());
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) ask_often(clients, 4 * mib, 4);
  for (auto& client : clients) {
    for (size_t bytes = 0; bytes < 16 * mib;) {
      const Client::Answer part = client->answer(4 * mib);
      ASSERT_TRUE(part.error == Errno::none && !part.data.empty());
      ASSERT_TRUE(std::equal(part.data.begin(), part.data.end(), data.begin() + static_cast<ptrdiff_t>(part.offset)));
      bytes += part.data.size();
    }
  }
}

// Each of them has a sixteenth.
TEST_F(SmallServerTest, who_reads_no_answer_is_disconnected_when_others_have_no_memory_at_all) {
  std::vector<std::unique_ptr<Client>> greedy;
  for (int i = 0; i < 16; ++i) ask_often(greedy, mib / 2, 20);
  world.run_for(100s);
  EXPECT_EQ(disk->connection_count(), 16u) << "nobody needs it";
  Client other(world, machine);
  other.open();
  other.send_request(Command::read, 0, 4096);
  world.run_for(35s);
  EXPECT_EQ(disk->connection_count(), 16u);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0],
            "an NBD client of disk does not take its answers, and others wait for the memory: it is disconnected");
  EXPECT_EQ(other.answer(4096).error, Errno::none);
}

// Small answers wait for the end of a stream, and have memory that only then comes back.
TEST_F(SmallServerTest, what_waits_for_a_stream_does_not_stop_it) {
  delay();
  Client client(world, machine);
  client.open();
  for (uint64_t i = 0; i < 8; ++i) client.send_request(Command::read, 0, 4096, 0, i);
  client.send_request(Command::read, 0, 32 * mib, 0, 8);
  world.run_for(1s);
  std::vector<std::unique_ptr<Client>> greedy;
  for (int i = 0; i < 13; ++i) ask_often(greedy, mib / 2, 20);
  world.run_for(1s);
  for (uint64_t i = 0; i < 9; ++i) {
    ASSERT_EQ(client.number(4), 0x67446698u);
    ASSERT_EQ(client.number(4), 0u);
    ASSERT_TRUE(client.receive(client.number(8) == 8 ? 32 * mib : 4096).has_value());
  }
}

}  // namespace
}  // namespace mars::nbd::testing
