// Device: how a resource shows itself on its primary: a front end with one export. Implemented above (daemon/, sim/).
#pragma once

#include <string>

#include "base/status.h"
#include "base/task.h"
#include "xio/request.h"

namespace mars::replication {

class Device {
 public:
  virtual ~Device() = default;  // closed
  // Shows `top` as a device. On failure nothing is left behind.
  virtual Task<Result<void>> open(xio::Output& top) = 0;
  // Takes it away: afterwards no request is in flight and none can come (T3). busy: in use; the text names the users,
  // and the device stays as it was. ok when it is not open.
  virtual Task<Result<void>> close() = 0;
  // From now on nobody new gets in, and it is not opened again; who is in stays. The process is about to end.
  virtual Task<void> bar() = 0;
  // Without asking: users get errors. For a process that must end.
  virtual Task<void> force_close() = 0;
  virtual bool is_open() const = 0;
  virtual bool is_in_use() const = 0;
  // "mounted on /srv, ..." as it was seen a moment ago; empty when nobody is known.
  virtual std::string users() const = 0;
  virtual std::string path() const = 0;       // "/dev/mars/mydata", "nbd+unix:///mydata?socket=..."; empty when closed
  virtual std::string front_end() const = 0;  // "fuse", "nbd"
};

}  // namespace mars::replication
