#include "front/nbd/nbd_server_test.h"

namespace mars::nbd::testing {
namespace {

TEST_F(NbdServerTest, what_is_written_is_read) {
  for (const bool structured : {false, true}) {
    Client client(world, machine);
    client.open("disk", structured);
    for (const uint32_t size : {512u, 4096u, 65536u, mib + 512, structured ? 3 * mib : 32 * mib}) {
      const Bytes data = pattern(size, structured ? 1 : 2);
      EXPECT_EQ(client.write(512, data), Errno::none) << size;
      EXPECT_EQ(client.read(512, size), data) << size;
    }
    EXPECT_EQ(client.plain(Command::flush, 0, 0), Errno::none);
  }
}

TEST_F(NbdServerTest, trim_and_zeroes_read_as_zeroes) {
  Client client(world, machine);
  client.open();
  EXPECT_EQ(client.write(0, pattern(mib, 1)), Errno::none);
  EXPECT_EQ(client.plain(Command::write_zeroes, 512, 4096, command_no_hole), Errno::none);
  EXPECT_EQ(client.read(512, 4096), Bytes(4096));
  EXPECT_EQ(client.plain(Command::trim, 8192, 8192), Errno::none);
  EXPECT_EQ(client.read(8192, 8192), Bytes(8192));
  EXPECT_EQ(client.plain(Command::write_zeroes, 0, 64 * mib), Errno::none);
  EXPECT_EQ(client.plain(Command::write_zeroes, 0, 4096, command_fast_zero), Errno::none);
  EXPECT_EQ(client.read(0, 512), Bytes(512));
}

TEST_F(NbdServerTest, fua_reaches_the_brick_below) {
  Client client(world, machine);
  client.open();
  EXPECT_EQ(client.write(0, pattern(512, 1)), Errno::none);
  EXPECT_EQ(trace->dump().find("fua"), std::string::npos);
  EXPECT_EQ(client.write(0, pattern(512, 1), command_fua), Errno::none);
  EXPECT_NE(trace->dump().find("in write 0+512 fua"), std::string::npos) << trace->dump();
}

TEST_F(NbdServerTest, over_tcp_every_write_is_durable_first) {
  ASSERT_EQ(world.run(machine, server->listen("[::]:10809")).status, Status::ok);
  Client client(world, world.host("b").machine(), "a:10809");
  client.open();
  EXPECT_EQ(client.write(0, pattern(512, 1)), Errno::none);
  EXPECT_NE(trace->dump().find("in write 0+512 fua"), std::string::npos) << trace->dump();
}

class TlsServerTest : public NbdServerTest {
 protected:
  TlsServerTest() : ca(*keys().make_ca("c")) {
    EXPECT_EQ(world.run(machine, server->listen("[::]:10809", 0600, tls_of("mars:c/host/a", "host"))).status,
              Status::ok);
  }
  io::Keys& keys() { return machine.keys(); }
  io::TlsConfig tls_of(const std::string& uri, const std::string& role) {
    io::TlsConfig tls;
    tls.key_pem = *keys().make_key();
    tls.certificate_pem = *keys().sign(ca, *keys().make_request(tls.key_pem, uri), uri, role);
    tls.ca_pem = ca.certificate_pem;
    return tls;
  }
  io::KeyPair ca;
};

TEST_F(TlsServerTest, a_client_with_a_certificate_of_its_role_is_served) {
  Client client(world, world.host("b").machine(), "a:10809");
  client.begin();
  EXPECT_EQ(client.go("disk"), OptionReply::tls_required);
  ASSERT_TRUE(client.secure(tls_of("mars:c/client/me", "client")));
  EXPECT_EQ(client.go("disk"), OptionReply::ack);
  EXPECT_EQ(client.write(0, pattern(mib, 1)), Errno::none);
  EXPECT_EQ(client.read(0, mib), pattern(mib, 1));
}

TEST_F(TlsServerTest, a_host_is_no_client) {
  Client client(world, world.host("b").machine(), "a:10809");
  client.begin();
  static_cast<void>(client.secure(tls_of("mars:c/host/b", "host")));
  EXPECT_TRUE(client.has_ended());
}

TEST_F(TlsServerTest, nothing_comes_in_clear_behind_starttls) {
  Client client(world, world.host("b").machine(), "a:10809");
  client.begin();
  Bytes both = Big().put(uint64_t{0x49484156454f5054}).put(5u).put(0u).bytes;
  const Bytes injected = Big().put(uint64_t{0x49484156454f5054}).put(3u).put(0u).bytes;
  both.insert(both.end(), injected.begin(), injected.end());
  client.send(both);
  EXPECT_EQ(client.option_reply(), OptionReply::ack);
  EXPECT_TRUE(client.has_ended());
}

TEST_F(NbdServerTest, errors_are_told_and_the_connection_goes_on) {
  for (const bool structured : {false, true}) {
    Client client(world, machine);
    client.open("disk", structured);
    client.send_request(Command::read, 64 * mib, 512, 0, 77);
    const Client::Answer answer = client.answer();
    EXPECT_EQ(answer.error, Errno::invalid);
    EXPECT_EQ(answer.cookie, 77u);
    EXPECT_EQ(answer.is_chunk, structured);
    EXPECT_EQ(client.write(64 * mib, pattern(1024, 1)), Errno::no_space);
    EXPECT_EQ(client.write(100, pattern(1024, 1)), Errno::invalid);
    EXPECT_EQ(client.plain(static_cast<Command>(99), 0, 0), Errno::invalid);
    EXPECT_EQ(client.plain(Command::flush, 0, 0), Errno::none);
  }
}

TEST_F(NbdServerTest, a_disk_error_is_an_io_error) {
  for (const bool structured : {false, true}) {
    for (const xio::Op op : {xio::Op::read, xio::Op::write, xio::Op::flush}) {
      fault->add({.op = op, .parts = 1});
      Client client(world, machine);
      client.open("disk", structured);
      if (op == xio::Op::write) {
        EXPECT_EQ(client.write(0, pattern(2 * mib, 1)), Errno::io);
      } else if (op == xio::Op::flush) {
        EXPECT_EQ(client.plain(Command::flush, 0, 0), Errno::io);
      } else {
        client.send_request(Command::read, 0, 512);
        EXPECT_EQ(client.answer().error, Errno::io);
      }
      fault->clear();
      EXPECT_EQ(client.plain(Command::flush, 0, 0), Errno::none);
    }
  }
}

TEST_F(NbdServerTest, one_bad_piece_of_a_whole_read_is_an_error) {
  delay();
  fault->add({.op = xio::Op::read, .nth = 2});
  Client client(world, machine);
  client.open();
  client.send_request(Command::read, 0, 3 * mib);
  EXPECT_EQ(client.answer(3 * mib).error, Errno::io);
  EXPECT_EQ(client.plain(Command::flush, 0, 0), Errno::none);
}

TEST_F(NbdServerTest, one_bad_piece_of_a_structured_read_is_one_bad_chunk) {
  delay();
  fault->add({.op = xio::Op::read, .nth = 2});
  Client client(world, machine);
  client.open("disk", true);
  client.send_request(Command::read, 0, 3 * mib);
  int good = 0, bad = 0;
  for (bool is_last = false; !is_last;) {
    const Client::Answer part = client.answer();
    ASSERT_TRUE(part.is_there);
    (part.error == Errno::none ? good : bad) += 1;
    is_last = part.is_last;
  }
  EXPECT_EQ(good, 2);
  EXPECT_EQ(bad, 1);
}

TEST_F(NbdServerTest, a_bad_piece_in_a_stream_disconnects) {
  fault->add({.op = xio::Op::read, .nth = 9});
  Client client(world, machine);
  client.open();
  client.send_request(Command::read, 0, 16 * mib);
  EXPECT_FALSE(client.receive(16 + 16 * mib).has_value());
  EXPECT_TRUE(world.run_until([&] { return !disk->is_in_use(); }));
}

TEST_F(NbdServerTest, many_requests_are_in_flight_at_once) {
  Client client(world, machine);
  client.open();
  ASSERT_EQ(client.write(0, pattern(4 * mib, 1)), Errno::none);
  delay();
  Bytes all;
  for (uint64_t i = 0; i < 1000; ++i) {
    const Bytes head = Client::request(Command::read, i * 4096, 4096, 0, i);
    all.insert(all.end(), head.begin(), head.end());
  }
  const io::Instant begun = world.now();
  client.send(all);
  std::vector<bool> seen(1000);
  for (int i = 0; i < 1000; ++i) {
    const Client::Answer answer = client.answer(4096);
    ASSERT_EQ(answer.error, Errno::none);
    ASSERT_FALSE(seen.at(answer.cookie));
    seen[answer.cookie] = true;
  }
  EXPECT_LT(world.now() - begun, 1000 * 2550us / 100);  // more than a hundred at a time
}

TEST_F(NbdServerTest, many_writes_are_in_flight_at_once) {
  Client client(world, machine);
  client.open();
  Bytes all;
  for (uint64_t i = 0; i < 500; ++i) {
    const Bytes head = Client::request(Command::write, i * 4096, 4096, 0, i);
    const Bytes data = pattern(4096, static_cast<uint8_t>(i));
    all.insert(all.end(), head.begin(), head.end());
    all.insert(all.end(), data.begin(), data.end());
  }
  client.send(all);
  for (int i = 0; i < 500; ++i) ASSERT_EQ(client.answer().error, Errno::none);
  for (uint64_t i = 0; i < 500; i += 50) {
    EXPECT_EQ(client.read(i * 4096, 4096), pattern(4096, static_cast<uint8_t>(i)));
  }
}

TEST_F(NbdServerTest, long_simple_reads_do_not_mix_with_other_replies) {
  delay();
  Client client(world, machine);
  client.open();
  const Bytes data = pattern(32 * mib, 9);
  ASSERT_EQ(client.write(0, data), Errno::none);
  Bytes all;
  for (uint64_t i = 0; i < 30; ++i) {
    const uint32_t length = i % 10 == 0 ? 16 * mib : i % 3 == 0 ? 2 * mib : 4096;
    const Bytes head = Client::request(Command::read, i * 4096, length, 0, i);
    all.insert(all.end(), head.begin(), head.end());
  }
  client.send(all);
  for (int i = 0; i < 30; ++i) {
    ASSERT_EQ(client.number(4), 0x67446698u);
    ASSERT_EQ(client.number(4), 0u);
    const uint64_t cookie = client.number(8);
    const uint32_t length = cookie % 10 == 0 ? 16 * mib : cookie % 3 == 0 ? 2 * mib : 4096;
    const auto part = client.receive(length);
    ASSERT_TRUE(part.has_value());
    EXPECT_TRUE(std::equal(part->begin(), part->end(), data.begin() + static_cast<ptrdiff_t>(cookie * 4096)));
  }
}

TEST_F(NbdServerTest, a_client_that_does_not_read_holds_only_its_own_memory) {
  Client greedy(world, machine);
  greedy.open("disk", true);
  for (uint64_t i = 0; i < 20; ++i) greedy.send_request(Command::read, 0, 32 * mib, 0, i);
  world.run_for(1s);
  Client other(world, machine);
  other.open();
  EXPECT_EQ(other.write(0, pattern(mib, 1)), Errno::none);
  EXPECT_EQ(other.read(0, mib), pattern(mib, 1));
  greedy.close();
  EXPECT_TRUE(world.run_until([&] { return disk->connection_count() == 1; }));
}

TEST_F(NbdServerTest, sixteen_clients_work_at_once) {
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(std::make_unique<Client>(world, machine));
    clients.back()->open("disk", i % 2 == 0);
  }
  EXPECT_EQ(disk->connection_count(), 16u);
  for (uint8_t i = 0; i < 16; ++i) EXPECT_EQ(clients[i]->write(i * mib, pattern(mib, i)), Errno::none);
  for (uint8_t i = 0; i < 16; ++i) EXPECT_EQ(clients[15 - i]->read(i * mib, mib), pattern(mib, i));
}

TEST_F(NbdServerTest, a_clean_disconnect_waits_for_the_answers) {
  delay();
  Client client(world, machine);
  client.open();
  Bytes all = Client::request(Command::flush, 0, 0, 0, 5);
  const Bytes bye = Client::request(Command::disconnect, 0, 0);
  all.insert(all.end(), bye.begin(), bye.end());
  client.send(all);
  EXPECT_EQ(client.answer().cookie, 5u);
  EXPECT_TRUE(client.has_ended());
  EXPECT_TRUE(world.run_until([&] { return !disk->is_in_use(); }));
}

TEST_F(NbdServerTest, a_client_that_vanishes_leaves_nothing_behind) {
  delay();
  Client client(world, machine);
  client.open();
  Bytes all;
  for (int i = 0; i < 50; ++i) {
    const Bytes head = Client::request(Command::read, 0, 4096);
    all.insert(all.end(), head.begin(), head.end());
  }
  const Bytes half = Client::request(Command::write, 0, 4096);  // its payload never comes
  all.insert(all.end(), half.begin(), half.end());
  client.send(all);
  client.close();
  EXPECT_TRUE(world.run_until([&] { return !disk->is_in_use(); }));
}

TEST_F(NbdServerTest, a_client_that_is_gone_does_not_use_it_although_its_requests_are_under_way) {
  delay();
  Client client(world, machine);
  client.open();
  client.send(Client::request(Command::read, 0, 4096));
  world.run_for(1ms);
  client.close();
  EXPECT_TRUE(world.run_until([&] { return !disk->is_in_use(); }, 100ms));
  EXPECT_EQ(disk->connection_count(), 1u);
  EXPECT_TRUE(world.run_until([&] { return disk->connection_count() == 0; }));
}

TEST_F(NbdServerTest, it_is_in_use_until_the_last_client_has_gone) {
  Client one(world, machine), two(world, machine);
  one.open();
  two.open();
  EXPECT_TRUE(server->is_in_use("disk"));
  one.close();
  EXPECT_TRUE(world.run_until([&] { return disk->client_count() == 1; }));
  EXPECT_TRUE(server->is_in_use("disk"));
  two.close();
  EXPECT_TRUE(world.run_until([&] { return !server->is_in_use("disk"); }));
}

TEST_F(NbdServerTest, switched_off_takes_no_new_client_and_leaves_the_old) {
  Client old(world, machine);
  old.open();
  disk->press(false);
  world.run_for(1ms);
  EXPECT_FALSE(disk->led_off());
  EXPECT_EQ(old.write(0, pattern(512, 1)), Errno::none);
  Client late(world, machine);
  late.begin();
  EXPECT_EQ(late.go("disk"), OptionReply::unknown);
  EXPECT_EQ(late.text, "disk is primary on host b");
  old.close();
  EXPECT_TRUE(world.run_until([&] { return disk->led_off(); }));
}

TEST_F(NbdServerTest, forced_off_closes_its_clients) {
  delay();
  Client client(world, machine);
  client.open();
  client.send_request(Command::read, 0, 4096);
  disk->force_off();
  EXPECT_TRUE(world.run_until([&] { return disk->led_off(); }, 1s));
  EXPECT_FALSE(client.receive(16 + 4096 + 1).has_value());
}

TEST_F(NbdServerTest, exports_come_and_go) {
  NbdExport second(*server, "second", *memory, {"a view", true});
  second.press(true);
  Client client(world, machine);
  client.begin();
  world.run_for(1ms);
  client.send_option(3, {});
  EXPECT_EQ(client.option_reply(), OptionReply::server);
  EXPECT_EQ(client.option_reply(), OptionReply::server);
  EXPECT_EQ(client.text.substr(4), "second");
  EXPECT_EQ(client.option_reply(), OptionReply::ack);
  EXPECT_EQ(client.go("second"), OptionReply::ack);
  EXPECT_EQ(client.write(0, pattern(512, 1)), Errno::perm);
  client.close();
  second.press(false);
  EXPECT_TRUE(world.run_until([&] { return second.led_off(); }));
}

TEST_F(NbdServerTest, export_name_opens_too) {
  Client client(world, machine);
  client.begin(flag_fixed_newstyle);
  client.send_option(1, Big().text("disk").bytes);
  EXPECT_EQ(client.number(8), 64u * mib);
  EXPECT_TRUE(client.receive(126).has_value());
  EXPECT_EQ(client.write(0, pattern(512, 1)), Errno::none);
}

TEST_F(NbdServerTest, who_says_nothing_is_put_out) {
  Client client(world, machine);
  const io::Instant begun = world.now();
  EXPECT_TRUE(client.receive(greeting_bytes).has_value());
  EXPECT_TRUE(client.has_ended());
  EXPECT_LT(world.now() - begun, 31s);
}

TEST_F(NbdServerTest, malformed_handshakes_end_the_connection) {
  for (const Bytes& bytes :
       {pattern(100, 7), Big().put(uint32_t{255}).bytes, Big().put(uint32_t{3}).put(uint64_t{7}).put(uint64_t{7}).bytes,
        Big().put(uint32_t{3}).put(uint64_t{0x49484156454f5054}).put(7u).put(1u << 30).bytes}) {
    Client client(world, machine);
    ASSERT_TRUE(client.receive(greeting_bytes).has_value());
    client.send(bytes);
    EXPECT_TRUE(client.has_ended());
  }
}

TEST_F(NbdServerTest, malformed_requests_end_the_connection) {
  for (const Bytes& bytes : {pattern(28, 7), Client::request(Command::write, 0, request_bytes_max + 512)}) {
    Client client(world, machine);
    client.open();
    client.send(bytes);
    EXPECT_TRUE(client.has_ended());
  }
}

TEST_F(NbdServerTest, random_bytes_never_do_more_than_end_it) {
  Prng prng(7);
  for (int round = 0; round < 200; ++round) {
    Client client(world, machine);
    client.open("disk", prng.chance(1, 2));
    for (int i = 0; i < 10; ++i) {
      Bytes request = Client::request(static_cast<Command>(prng.below(10)), prng.below(4) << 25,
                                      static_cast<uint32_t>(prng.below(8) << 9), static_cast<uint16_t>(prng.below(40)));
      if (prng.chance(1, 10)) request[prng.below(request.size())] ^= std::byte{1};
      client.send(request);
    }
    client.close();
    ASSERT_TRUE(world.run_until([&] { return !disk->is_in_use(); }));
  }
}

}  // namespace
}  // namespace mars::nbd::testing
