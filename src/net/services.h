// Services: what this host answers when a peer opens a channel. Filled before the network starts, read by every
// session.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/task.h"
#include "net/channel.h"

namespace mars::net {

// Runs in a scope of PeerNet until it returns; stop() waits for it, so it must end soon after its channel did.
// The channel closes when the handler drops it. Not a lambda whose captures may die before the task: it is kept in the
// table.
using Handler = std::move_only_function<Task<void>(std::unique_ptr<Channel> channel, Bytes opening)>;

class Services {
 public:
  struct Service {
    Handler handler;
    uint32_t window = window_default;
  };

  // One handler per number. The window bounds what each channel of this service may hold for us.
  void add(ServiceId id, Handler handler, uint32_t window = window_default) {
    CHECK(window >= window_min && window <= window_max);
    CHECK(services_.try_emplace(id, Service{std::move(handler), window}).second);
  }
  Service* find(ServiceId id) {
    auto found = services_.find(id);
    return found == services_.end() ? nullptr : &found->second;
  }

 private:
  std::map<ServiceId, Service> services_;
};

}  // namespace mars::net
