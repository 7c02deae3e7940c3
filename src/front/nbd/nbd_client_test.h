// An NBD client by hand, for tests: sends what the test wants, right or wrong, over a stream of the simulated world.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "bricks/fault.h"
#include "bricks/memory.h"
#include "front/nbd/nbd_server.h"
#include "sim/world.h"

namespace mars::nbd::testing {

using namespace std::chrono_literals;

inline constexpr uint32_t mib = 1u << 20;
inline constexpr const char* socket_address = "unix:/run/nbd.sock";

inline Bytes pattern(size_t size, uint8_t seed) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 13 + i / 4096 + seed);
  return bytes;
}

class Big {
 public:
  template <class T>
  Big& put(T value) {
    for (int shift = 8 * (sizeof value - 1); shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<std::byte>(static_cast<uint64_t>(value) >> shift));
    }
    return *this;
  }
  Big& text(std::string_view text) {
    for (char c : text) bytes.push_back(static_cast<std::byte>(c));
    return *this;
  }
  Bytes bytes;
};

class Client {
 public:
  struct Answer {
    bool is_there = false;  // false: the connection ended
    Errno error = Errno::none;
    uint64_t cookie = 0;
    bool is_chunk = false;
    bool is_last = true;
    uint64_t offset = 0;
    Bytes data;
  };

  Client(sim::World& world, sim::SimMachine& machine, const std::string& address = socket_address)
      : world_(world), machine_(machine) {
    auto connected = world.run(machine, machine.network().connect(address));
    EXPECT_TRUE(connected.has_value());
    stream_ = std::move(*connected);
  }

  void send(const Bytes& bytes) { static_cast<void>(world_.run(machine_, io::write_all(*stream_, bytes))); }
  // So many bytes, or none when the connection ended.
  std::optional<Bytes> receive(size_t count) {
    Bytes bytes(count);
    if (world_.run(machine_, io::read_all(*stream_, bytes)) != Status::ok) return std::nullopt;
    return bytes;
  }
  uint64_t number(size_t count) {
    uint64_t value = 0;
    const auto bytes = receive(count);
    if (!bytes) return ~0ull;
    for (std::byte byte : *bytes) value = value << 8 | static_cast<uint64_t>(byte);
    return value;
  }
  bool has_ended() { return !receive(1).has_value(); }
  void close() { stream_->close(); }

  void begin(uint32_t flags = flag_fixed_newstyle | flag_no_zeroes) {
    ASSERT_TRUE(receive(greeting_bytes).has_value());
    send(Big().put(flags).bytes);
  }
  void send_option(uint32_t option, const Bytes& data) {
    Big big;
    big.put(uint64_t{0x49484156454f5054}).put(option).put(static_cast<uint32_t>(data.size()));
    big.bytes.insert(big.bytes.end(), data.begin(), data.end());
    send(big.bytes);
  }
  // Type of the next reply to an option; its data in `text`.
  OptionReply option_reply() {
    if (number(8) != 0x3e889045565a9) return OptionReply{0};
    static_cast<void>(number(4));
    const auto type = static_cast<OptionReply>(number(4));
    text = text_of(*receive(static_cast<size_t>(number(4))));
    return type;
  }
  OptionReply go(std::string_view name) {
    send_option(7, Big().put(static_cast<uint32_t>(name.size())).text(name).put(uint16_t{0}).bytes);
    OptionReply type = option_reply();
    while (type == OptionReply::info) type = option_reply();
    return type;
  }
  bool secure(io::TlsConfig tls) {
    send_option(5, {});
    EXPECT_EQ(option_reply(), OptionReply::ack);
    return world_.run(machine_, stream_->secure(std::move(tls), io::Side::client)).has_value();
  }
  // Ready for requests.
  void open(std::string_view name = "disk", bool structured = false) {
    begin();
    is_structured = structured;
    if (structured) {
      send_option(8, {});
      ASSERT_EQ(option_reply(), OptionReply::ack);
    }
    ASSERT_EQ(go(name), OptionReply::ack);
  }

  static Bytes request(Command command, uint64_t offset, uint32_t length, uint16_t flags = 0, uint64_t cookie = 1) {
    return Big()
        .put(0x25609513u)
        .put(flags)
        .put(static_cast<uint16_t>(command))
        .put(cookie)
        .put(offset)
        .put(length)
        .bytes;
  }
  void send_request(Command command, uint64_t offset, uint32_t length, uint16_t flags = 0, uint64_t cookie = 1) {
    send(request(command, offset, length, flags, cookie));
  }
  // `read_bytes`: of the data that a good simple reply brings.
  Answer answer(size_t read_bytes = 0) {
    Answer result;
    const auto magic = receive(4);
    if (!magic) return result;
    result.is_there = true;
    result.is_chunk = (*magic)[1] == std::byte{0x8e};
    if (!result.is_chunk) {
      result.error = static_cast<Errno>(number(4));
      result.cookie = number(8);
      if (result.error == Errno::none && read_bytes > 0) result.data = *receive(read_bytes);
      return result;
    }
    result.is_last = number(2) == chunk_done;
    const uint64_t type = number(2);
    result.cookie = number(8);
    const uint64_t length = number(4);
    if (type == chunk_offset_data) {
      result.offset = number(8);
      result.data = *receive(length - 8);
    } else {
      result.error = static_cast<Errno>(number(4));
      EXPECT_EQ(number(2), 0u);
      result.offset = number(8);
    }
    return result;
  }

  Errno write(uint64_t offset, const Bytes& data, uint16_t flags = 0) {
    Bytes all = request(Command::write, offset, static_cast<uint32_t>(data.size()), flags);
    all.insert(all.end(), data.begin(), data.end());
    send(all);
    return answer().error;
  }
  // The bytes of a read, put together from its chunks.
  Bytes read(uint64_t offset, uint32_t length) {
    send_request(Command::read, offset, length);
    Bytes result(length);
    for (bool is_last = false; !is_last;) {
      Answer part = answer(length);
      EXPECT_TRUE(part.is_there);
      EXPECT_EQ(part.error, Errno::none);
      if (!part.is_there || part.error != Errno::none) break;
      std::copy(part.data.begin(), part.data.end(),
                result.begin() + static_cast<ptrdiff_t>(part.is_chunk ? part.offset - offset : 0));
      is_last = part.is_last;
    }
    return result;
  }
  Errno plain(Command command, uint64_t offset, uint32_t length, uint16_t flags = 0) {
    send_request(command, offset, length, flags);
    return answer().error;
  }

  std::string text;
  bool is_structured = false;

 private:
  sim::World& world_;
  sim::SimMachine& machine_;
  std::unique_ptr<io::Stream> stream_;
};

}  // namespace mars::nbd::testing
