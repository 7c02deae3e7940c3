// Devices: the front ends that this marsd has, as node::DeviceMaker: a real block device by FUSE and loop, or an export
// of the NBD server. "auto" tries the first and falls back to the second, and says why.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "front/fuse/device.h"
#include "front/nbd/nbd_server.h"
#include "io/machine.h"
#include "node/options.h"

namespace mars::daemon {

struct DevicesOptions {
  fuse::Places places;      // resolved
  std::string keeper_path;  // of mars-keeper
  std::string nbd_socket;
  std::string front_end = "auto";  // of this host; the resource's option wins unless it says auto
  std::function<void(const std::string&)> log;
};

class Devices final : public node::DeviceMaker {
 public:
  // `nbd` must outlive the devices.
  Devices(io::Machine& machine, nbd::NbdServer& nbd, DevicesOptions options);

  std::unique_ptr<replication::Device> make(node::DeviceOrder order) override;
  Task<bool> is_own(std::string disk) override;

 private:
  io::Machine& machine_;
  nbd::NbdServer& nbd_;
  const DevicesOptions options_;
};

}  // namespace mars::daemon
