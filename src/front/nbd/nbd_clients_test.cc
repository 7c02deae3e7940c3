// Clients that others wrote, over a real Unix socket: nbdinfo and nbdcopy of libnbd.
#include <fstream>
#include <iterator>

#include "bricks/memory.h"
#include "front/nbd/nbd_server.h"
#include "io/linux/test_host.h"

namespace mars::nbd {
namespace {

using namespace std::chrono_literals;

class NbdClientsTest : public ::testing::Test {
 protected:
  void serve(std::function<Task<void>()> body) {
    host.run([&]() -> Task<void> {
      const Error error = co_await server.listen("unix:" + host.path("nbd.sock"));
      EXPECT_EQ(error.status, Status::ok) << error.text;
      disk.press(true);
      co_await body();
      co_await server.stop();
      disk.press(false);
      while (!disk.led_off()) co_await settle();
    });
  }
  Task<void> settle() {
    Event never(host.machine().ready());
    co_await io::sleep_for(host.machine(), 1ms, never);
  }
  // Exit code 0 and its output.
  Task<std::string> client(std::vector<std::string> argv) {
    auto finished = co_await host.machine().exec(std::move(argv), 30s);
    EXPECT_TRUE(finished.has_value() && finished->exit_code == 0) << (finished ? finished->output : "did not run");
    co_return finished ? finished->output : "";
  }
  std::string uri() const { return "nbd+unix:///disk?socket=" + host.path("nbd.sock"); }

  io::TestHost host;
  bricks::Memory memory{host.machine().ready(), {.bytes = 16 << 20, .block_bytes = 512, .buffers = 8}};
  NbdServer server{host.machine(), {}};
  NbdExport disk{server, "disk", memory, {"a test disk"}};
};

TEST_F(NbdClientsTest, nbdinfo_understands_the_export) {
  serve([this]() -> Task<void> {
    std::vector<std::string> argv = {"nbdinfo", "--json", uri()};
    const std::string text = co_await client(std::move(argv));
    for (const char* part : {"\"export-size\": 16777216", "\"structured\": true", "\"can_fua\": true",
                             "\"can_flush\": true", "\"can_trim\": true", "\"can_zero\": true",
                             "\"can_multi_conn\": true", "\"can_fast_zero\": true", "\"is_read_only\": false",
                             "\"block_size_minimum\": 512", "\"block_size_maximum\": 33554432", "a test disk"}) {
      EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
    }
    argv = {"nbdinfo", "--list", "nbd+unix://?socket=" + host.path("nbd.sock")};
    const std::string list = co_await client(std::move(argv));
    EXPECT_NE(list.find("disk"), std::string::npos) << list;
  });
}

TEST_F(NbdClientsTest, nbdcopy_copies_there_and_back_over_several_connections) {
  const std::string there = host.path("there"), back = host.path("back");
  {
    std::ofstream file(there, std::ios::binary);
    for (int i = 0; i < 16 << 20; ++i) file.put(static_cast<char>(i * 31 + i / 4096));
  }
  serve([&]() -> Task<void> {
    std::vector<std::string> argv = {"nbdcopy", "--connections=4", "--requests=64", "--flush", there, uri()};
    co_await client(std::move(argv));
    argv = {"nbdcopy", "--connections=4", "--requests=64", uri(), back};
    co_await client(std::move(argv));
  });
  std::ifstream one(there, std::ios::binary), two(back, std::ios::binary);
  EXPECT_TRUE(std::equal(std::istreambuf_iterator<char>(one), {}, std::istreambuf_iterator<char>(two), {}));
  EXPECT_EQ(memory.buffers_free(), 8u);
}

}  // namespace
}  // namespace mars::nbd
