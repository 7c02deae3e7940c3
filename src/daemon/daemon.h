// Daemon: marsd as a whole: machine, front ends, node, control server, in the order in which they start and stop.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "daemon/devices.h"
#include "daemon/http_server.h"
#include "front/nbd/nbd_server.h"
#include "io/linux/linux_machine.h"
#include "node/node.h"

namespace mars::daemon {

class Daemon {
 public:
  // `warnings`: what this process could not have; shown in status.
  Daemon(Config config, std::vector<std::string> warnings);
  ~Daemon();

  // Until SIGTERM or SIGINT, or until the start has failed; returns the exit code of marsd.
  int run();

 private:
  Task<void> live();
  Task<Error> start();
  Task<void> shut_down();
  Task<void> ask_for_time(Event& has_stopped);
  Task<Error> prepare_directories();
  Task<Error> open_nbd_port();
  static std::string why_not(const control::ClusterView& view, std::string_view device);
  Error start_control();
  void submit(Submission submission);
  Task<void> carry_out(std::shared_ptr<Submission> submission);
  Task<void> try_nbd_port();
  Task<void> publish();
  Task<void> publish_stop(Event& has_stopped);
  void take_snapshot();
  DevicesOptions devices_options() const;
  node::Options node_options() const;

  const Config config_;
  std::vector<std::string> warnings_;
  io::LinuxMachine machine_;
  Event stop_;
  Scope scope_;
  std::unique_ptr<io::DirectoryLock> run_lock_;
  std::unique_ptr<nbd::NbdServer> nbd_;
  std::unique_ptr<Devices> devices_;
  std::unique_ptr<node::Node> node_;
  std::unique_ptr<HttpServer> control_;
  fuse::Places places_;
  std::shared_ptr<const std::string> snapshot_;  // by std::atomic_load and std::atomic_store
  bool is_nbd_port_open_ = false;
  std::string nbd_problem_;  // of the last attempt to open it
  int exit_code_ = 0;
};

}  // namespace mars::daemon
