// Client: the application. Gives the open device of a host writes, zeroes, flushes and reads, many at once, tells the
// reference of them, and checks what it reads (P2) and how long it waits (P3).
#pragma once

#include <memory>

#include "base/prng.h"
#include "sim/storm/stage.h"

namespace mars::sim {

class Client {
 public:
  explicit Client(Stage& stage) : stage_(stage) {}

  // Some operations on one device that is open; returns when they are done, or after some time.
  void burst(Prng prng);
  // All sectors, on each device that is open.
  void read_back(Prng prng);
  // Nothing is under way any more, or it is on a machine that will not answer.
  size_t in_flight() const { return in_flight_; }
  uint64_t operations() const { return operations_; }

 private:
  enum class Kind : uint8_t { write, fua, zeroes, discard, flush, read };
  struct Order {
    std::string host;
    uint64_t opening = 0;  // of the device
    uint32_t reign = 0;
    Kind kind = Kind::write;
    unsigned first = 0;
    unsigned count = 0;
  };
  std::optional<Order> order_for(const std::string& host);
  void begin(Order order, SimMachine& machine);
  Order draw(Order order, Prng& prng) const;
  Task<void> perform(Order order, SimMachine& machine);
  Task<Status> write(SimDevice& device, const Order& order, SimMachine& machine);
  Task<Status> flush(SimDevice& device, const Order& order, SimMachine& machine);
  Task<Status> read(SimDevice& device, const Order& order, SimMachine& machine);

  Stage& stage_;
  size_t in_flight_ = 0;
  uint64_t operations_ = 0;
};

}  // namespace mars::sim
