// Places: where things lie in the state directory and on the log disk (doc/format/host_files.md). Folders of resources
// are named by uuid, never by name. Pure values.
#pragma once

#include <string>
#include <string_view>

#include "format/values.h"

namespace mars::node {

inline constexpr std::string_view unfinished_suffix = ".unfinished";

struct Places {
  std::string state;
  std::string log;

  std::string host() const { return state + "/host.json"; }
  std::string joining() const { return state + "/joining.json"; }
  std::string key() const { return state + "/key.pem"; }
  std::string certificate() const { return state + "/cert.pem"; }
  std::string ca() const { return state + "/ca.pem"; }
  std::string ca_key() const { return state + "/ca-key.pem"; }
  std::string registers() const { return state + "/meta.db"; }
  std::string invitations() const { return state + "/invitations.json"; }
  std::string events() const { return state + "/events.json"; }
  std::string log_id() const { return log + "/log-dir-id"; }

  std::string resources() const { return state + "/resources"; }
  std::string resource(const Uuid& id) const { return resources() + "/" + to_string(id); }
  std::string replica(const Uuid& id) const { return resource(id) + "/replica.json"; }
  // A directory that stands for "nothing of this replica is worth keeping, because it was never made whole".
  std::string unfinished(const Uuid& id) const { return resource(id) + std::string(unfinished_suffix); }
  std::string log_folder(const Uuid& id) const { return log + "/resources/" + to_string(id); }
};

}  // namespace mars::node
