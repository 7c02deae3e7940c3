// What a Node is told once, at its construction.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/machine.h"
#include "net/session.h"
#include "node/events.h"
#include "replication/device.h"

namespace mars::node {

struct Options {
  std::string name;  // of this host
  std::string state_directory;
  std::string log_directory;     // empty: the state directory
  std::string device_directory;  // no disk of a resource may lie in it
  io::Address listen = "[::]:7790";
  std::vector<io::Address> advertise;  // what others dial; empty: derived from `listen` and the name
  uint64_t pool_bytes = 32u << 20;
  uint64_t segment_bytes = 0;                 // 0: by the size of the volume
  std::optional<uint64_t> log_reserve_bytes;  // kept free on the log disk; nothing: 5 % of it, at least 64 MiB
  std::string version;
  std::vector<std::string> warnings;  // what this host could not have, for status
  net::SessionTimes times;
  io::Duration stop_wait = {};  // how long a stop waits for users of devices before it takes them away
  EventLog log;                 // each event, for the log; may be empty
};

// A device of one resource is to be made; closed at first.
struct DeviceOrder {
  Uuid resource;
  std::string name;
  std::function<std::string()> front_end;  // what is wanted at the moment of open(): "auto", "fuse", "nbd", "none"
};

// Whoever has front ends: daemon/ on Linux, sim/ in a simulated world.
class DeviceMaker {
 public:
  virtual ~DeviceMaker() = default;
  virtual std::unique_ptr<replication::Device> make(DeviceOrder order) = 0;
  // Whether this disk is one of the devices made here, under whatever name, or lies on one.
  virtual Task<bool> is_own(std::string /*disk*/) { co_return false; }
};

}  // namespace mars::node
