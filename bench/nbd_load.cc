// nbd_load: a load on an NBD server, with the latency of every request. One connection, a fixed number of requests in
// flight. (fio's nbd engine shows exactly 1000 flushes a second on every server, which cannot be.)
//
//   nbd_load URI OP BLOCK DEPTH (COUNT | SECONDS"s") [SPAN]
//   OP: randwrite | write | randread | flush (a random write, then a FLUSH: both together are one request)
//
// Prints one line of JSON: operations, seconds, operations per second, and p50, p99 and the longest in microseconds.
#include <libnbd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "nbd_load: %s: %s\n", what, nbd_get_error() == nullptr ? "" : nbd_get_error());
  std::exit(1);
}

struct Options {
  std::string uri;
  std::string operation;
  uint64_t block = 4096;
  unsigned depth = 1;
  uint64_t count = 0;  // 0: by time
  double seconds = 0;
  uint64_t span = 0;
};

class Load;

struct Slot {
  Load* load = nullptr;
  char* buffer = nullptr;
  Clock::time_point began;
  bool is_flushing = false;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options), random_(0x9E3779B97F4A7C15) {
    nbd_ = nbd_create();
    if (nbd_ == nullptr || nbd_connect_uri(nbd_, options.uri.c_str()) != 0) die("cannot connect");
    const uint64_t size = static_cast<uint64_t>(nbd_get_size(nbd_));
    span_ = options.span == 0 ? size : std::min(size, options.span);
    slots_.resize(options.depth);
    for (Slot& slot : slots_) {
      slot.load = this;
      slot.buffer = static_cast<char*>(std::aligned_alloc(4096, options.block));
      for (uint64_t i = 0; i + 8 <= options.block; i += 8) {
        const uint64_t word = next_random();
        std::memcpy(slot.buffer + i, &word, 8);
      }
    }
    latencies_.reserve(1 << 22);
  }

  void run() {
    began_ = Clock::now();
    for (Slot& slot : slots_) begin(slot);
    while (in_flight_ > 0) {
      if (nbd_poll(nbd_, -1) < 0) die("the connection failed");
      // Slots that completed inside the poll begin anew outside of it.
      std::vector<Slot*> idle;
      idle.swap(idle_);
      for (Slot* slot : idle) proceed(*slot);
    }
    elapsed_ = std::chrono::duration<double>(Clock::now() - began_).count();
    nbd_shutdown(nbd_, 0);
  }

  void print() {
    std::sort(latencies_.begin(), latencies_.end());
    const size_t n = latencies_.size();
    if (n == 0) die("nothing was done");
    std::printf(R"({"operations":%zu,"seconds":%.3f,"per_second":%.1f,"mib_per_second":%.1f,)", n, elapsed_,
                static_cast<double>(n) / elapsed_, static_cast<double>(n * options_.block) / elapsed_ / (1 << 20));
    std::printf(R"("p50_us":%.1f,"p99_us":%.1f,"max_us":%.1f})"
                "\n",
                latencies_[n / 2], latencies_[n * 99 / 100], latencies_[n - 1]);
  }

 private:
  uint64_t next_random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }

  bool is_over() const {
    if (options_.count > 0) return begun_ >= options_.count;
    return std::chrono::duration<double>(Clock::now() - began_).count() >= options_.seconds;
  }

  uint64_t next_offset() {
    const uint64_t blocks = span_ / options_.block;
    const bool is_random = options_.operation != "write";
    return (is_random ? next_random() % blocks : sequence_++ % blocks) * options_.block;
  }

  void begin(Slot& slot) {
    if (is_over()) return;
    ++begun_;
    ++in_flight_;
    slot.began = Clock::now();
    slot.is_flushing = false;
    nbd_completion_callback done = {&Load::on_done, &slot, nullptr};
    const int64_t cookie = options_.operation == "randread"
                               ? nbd_aio_pread(nbd_, slot.buffer, options_.block, next_offset(), done, 0)
                               : nbd_aio_pwrite(nbd_, slot.buffer, options_.block, next_offset(), done, 0);
    if (cookie < 0) die("a request is refused");
  }

  static int on_done(void* user, int* error) {
    if (*error != 0) die("a request failed");
    Slot& slot = *static_cast<Slot*>(user);
    slot.load->idle_.push_back(&slot);
    return 1;
  }

  void proceed(Slot& slot) {
    if (options_.operation == "flush" && !slot.is_flushing) {
      slot.is_flushing = true;
      nbd_completion_callback done = {&Load::on_done, &slot, nullptr};
      if (nbd_aio_flush(nbd_, done, 0) < 0) die("a flush is refused");
      return;
    }
    latencies_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - slot.began).count());
    --in_flight_;
    begin(slot);
  }

  const Options options_;
  nbd_handle* nbd_ = nullptr;
  uint64_t random_;
  uint64_t span_ = 0;
  uint64_t sequence_ = 0;
  uint64_t begun_ = 0;
  unsigned in_flight_ = 0;
  Clock::time_point began_;
  double elapsed_ = 0;
  std::vector<Slot> slots_;
  std::vector<Slot*> idle_;
  std::vector<double> latencies_;
};

Options parse(int count, char** words) {
  if (count < 6 || count > 7) {
    std::fprintf(stderr, "usage: nbd_load URI randwrite|write|randread|flush BLOCK DEPTH COUNT|SECONDSs [SPAN]\n");
    std::exit(2);
  }
  Options options;
  options.uri = words[1];
  options.operation = words[2];
  options.block = std::strtoull(words[3], nullptr, 10);
  options.depth = static_cast<unsigned>(std::strtoul(words[4], nullptr, 10));
  const std::string amount = words[5];
  if (amount.ends_with("s")) {
    options.seconds = std::strtod(amount.c_str(), nullptr);
  } else {
    options.count = std::strtoull(amount.c_str(), nullptr, 10);
  }
  if (count == 7) options.span = std::strtoull(words[6], nullptr, 10);
  if (options.block == 0 || options.block % 512 != 0 || options.depth == 0) die("BLOCK and DEPTH must be sensible");
  return options;
}

}  // namespace

int main(int count, char** words) {
  Load load(parse(count, words));
  load.run();
  load.print();
  return 0;
}
