#include "daemon/daemon.h"

#include "control/version.h"

#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <csignal>
#include <cstdlib>

#include <filesystem>

#include <systemd/sd-daemon.h>

#include "daemon/log.h"

namespace mars::daemon {

using namespace std::chrono_literals;

namespace {

io::LinuxOptions machine_options(const Config& config) {
  io::LinuxOptions options;
  options.run_dir = config.run_dir;
  if (config.io == "uring") options.io = io::DiskEngineChoice::uring;
  if (config.io == "threads") options.io = io::DiskEngineChoice::threads;
  return options;
}

// The keeper lies beside marsd, in the build tree and when it is installed.
std::string keeper_path() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / "mars-keeper").string();
}

// Three eighths of the memory are for dirty blocks; the rest is for windows, buffers, programs and libraries, which
// take up to 50 MiB (doc/performance.md).
uint64_t dirty_bytes_max(uint64_t memory_bytes) {
  constexpr uint64_t rest_bytes = 52u << 20;
  return std::min(memory_bytes / 8 * 3, memory_bytes - rest_bytes);
}

}  // namespace

Daemon::Daemon(Config config, std::vector<std::string> warnings)
    : config_(std::move(config)),
      warnings_(std::move(warnings)),
      machine_(machine_options(config_)),
      stop_(machine_.ready()),
      scope_(machine_.ready()) {}

Daemon::~Daemon() = default;

int Daemon::run() {
  for (const int number : {SIGTERM, SIGINT}) {
    machine_.on_signal(number, [this] { stop_.set(); });
  }
  // Whoever rotates logs sends it by habit. It must not take a device away.
  machine_.on_signal(SIGHUP, [] { log_line(LogLevel::info, "SIGHUP: settings are read at the start; restart marsd"); });
  scope_.spawn(live());
  machine_.run();
  return exit_code_;
}

Task<void> Daemon::live() {
  const Error problem = co_await start();
  if (problem.status != Status::ok) {
    log_line(LogLevel::error, "marsd cannot start: " + problem.text);
    exit_code_ = 1;
  } else {
    sd_notify(0, "READY=1");
    log_line(LogLevel::info, "marsd is running");
    co_await publish();
  }
  co_await shut_down();
  machine_.stop();
}

namespace {

// Adds rights to a directory that is made anew at each boot; the files in it have modes of their own.
void open_to_others(const std::string& directory, mode_t rights) {
  struct stat found = {};
  if (::stat(directory.c_str(), &found) != 0 || (found.st_mode & rights) == rights) return;
  if (::chmod(directory.c_str(), (found.st_mode | rights) & 07777) != 0) {
    log_line(LogLevel::warning, "others cannot reach what is in " + directory + ": its mode cannot be changed");
  }
}

}  // namespace

Task<Error> Daemon::prepare_directories() {
  for (const std::string& directory : {config_.state_dir, config_.run_dir, config_.device_dir}) {
    if (Status status = co_await machine_.storage().make_directory(directory); status != Status::ok) {
      co_return Error(status, "cannot make the directory " + directory + " (" + std::string(name(status)) + ")");
    }
  }
  open_to_others(config_.device_dir, 0055);
  if ((config_.nbd_socket_mode & 0077) != 0) open_to_others(config_.run_dir, 0011);
  // Before the sweep: whoever else serves devices from this directory must not lose them.
  auto lock = co_await machine_.storage().lock_directory(config_.run_dir);
  if (status_of(lock) == Status::busy) {
    co_return Error(Status::busy, "another marsd uses the run directory " + config_.run_dir +
                                      "; stop it, or give this one its own --run-dir, --state-dir and --device-dir");
  }
  if (!lock) co_return lock.error();
  run_lock_ = std::move(*lock);
  places_.run_directory = config_.run_dir;
  places_.device_directory = config_.device_dir;
  fuse::Swept swept;
  co_await machine_.off_load([&] {
    places_ = fuse::resolved(places_);
    swept = fuse::sweep(places_);
  });
  for (const std::string& line : swept.done) log_line(LogLevel::info, "swept: " + line);
  for (const std::string& line : swept.left) log_line(LogLevel::warning, "left behind: " + line);
  co_return Status::ok;
}

DevicesOptions Daemon::devices_options() const {
  DevicesOptions options;
  options.places = places_;
  options.keeper_path = keeper_path();
  options.nbd_socket = config_.run_dir + "/nbd.sock";
  options.front_end = config_.front_end;
  options.log = [](const std::string& line) { log_line(LogLevel::info, line); };
  return options;
}

node::Options Daemon::node_options() const {
  node::Options options;
  options.name = config_.name;
  options.state_directory = config_.state_dir;
  options.log_directory = config_.log_dir;
  options.device_directory = config_.device_dir;
  options.listen = config_.listen;
  options.advertise = config_.advertise;
  options.pool_bytes = dirty_bytes_max(config_.memory_bytes);
  options.version = control::version;
  options.stop_wait = std::chrono::milliseconds(config_.stop_wait_ms);
  if (config_.log_reserve_bytes != Config::by_rule) options.log_reserve_bytes = config_.log_reserve_bytes;
  options.warnings = warnings_;
  if (!machine_.disk_engine_note().empty()) options.warnings.emplace_back(machine_.disk_engine_note());
  options.log = [](const std::string& resource, const std::string& text) { log_line(LogLevel::info, text, resource); };
  return options;
}

// What an NBD client reads that asked for a device which is not open here.
std::string Daemon::why_not(const control::ClusterView& view, std::string_view device) {
  for (const control::ResourceView& resource : view.resources) {
    if (resource.name != device) continue;
    for (const control::ReplicaView& replica : resource.replicas) {
      if (replica.role == control::Role::primary)
        return resource.name + " is not open here: " + replica.host + " is primary";
    }
    return resource.name + " is not open here: no host is primary";
  }
  return "there is no resource " + std::string(device);
}

Task<Error> Daemon::start() {
  if (Error error = co_await prepare_directories(); error.status != Status::ok) co_return error;
  nbd::NbdOptions nbd;
  nbd.memory_bytes = config_.memory_bytes / 8;
  nbd.why_not = [this](std::string_view name) { return node_ ? why_not(node_->status(), name) : "marsd is starting"; };
  nbd.tell = [this](const std::string& event) {
    if (node_) node_->events().add("", event);
  };
  nbd_ = std::make_unique<nbd::NbdServer>(machine_, std::move(nbd));
  devices_ = std::make_unique<Devices>(machine_, *nbd_, devices_options());
  node_ = std::make_unique<node::Node>(machine_, node_options(), *devices_);
  if (auto started = co_await node_->start(); !started) co_return started.error();
  // After the node: it has the lock on the state directory, so nobody else's socket is replaced.
  Error listening = co_await nbd_->listen("unix:" + config_.run_dir + "/nbd.sock", config_.nbd_socket_mode);
  if (listening.status != Status::ok) co_return listening;
  co_await try_nbd_port();
  take_snapshot();
  co_return start_control();
}

// NBD over TCP needs the cluster's authority: on a host that is in no cluster yet it opens when it has become a member.
Task<Error> Daemon::open_nbd_port() {
  const bool is_wanted = !config_.nbd_listen.empty() && !is_nbd_port_open_ && !stop_.is_set();
  if (!is_wanted || node_->cluster() == nullptr) co_return Status::ok;
  const node::Identity& identity = node_->cluster()->identity();
  Result<io::KeyPair> own = node::issue_key(machine_.keys(), identity.cluster, identity.ca, "nbd", identity.name);
  if (!own) co_return own.error();
  io::TlsConfig tls;
  tls.key_pem = own->key_pem;
  tls.certificate_pem = own->certificate_pem;
  tls.ca_pem = identity.ca.certificate_pem;
  is_nbd_port_open_ = true;
  Error error = co_await nbd_->listen(config_.nbd_listen, 0, std::move(tls));
  if (error.status == Status::ok) co_return error;
  is_nbd_port_open_ = false;
  co_return error;
}

Error Daemon::start_control() {
  HttpServer::Options options;
  options.socket_path = config_.run_dir + "/control.sock";
  options.submit = [this](Submission submission) {
    machine_.post([this, one = std::move(submission)]() mutable { submit(std::move(one)); });
  };
  options.snapshot = [this] { return std::atomic_load(&snapshot_); };
  control_ = std::make_unique<HttpServer>(std::move(options));
  return control_->start();
}

// ---- commands and status

void Daemon::submit(Submission submission) {
  if (stop_.is_set()) {
    return submission.on_answer(control::Answer::of({Status::stopped, "marsd is stopping"}));
  }
  scope_.spawn(carry_out(std::make_shared<Submission>(std::move(submission))));
}

Task<void> Daemon::carry_out(std::shared_ptr<Submission> submission) {
  node::Node::Listener listener = [submission](const control::Progress& progress) {
    submission->on_progress(progress);
  };
  // The word comes from a thread of the server, perhaps when this has ended: hence shared.
  auto gone = std::make_shared<Event>(machine_.ready());
  std::stop_callback on_abandoned(submission->abandoned, [this, gone] {
    machine_.post([this, gone] {
      gone->set();
      if (node_) node_->changed().notify();
    });
  });
  node::Node::Caller caller;
  caller.gone = gone.get();
  control::Answer answer = co_await node_->run(submission->command, std::move(listener), std::move(caller));
  if (nbd_problem_.empty()) co_await try_nbd_port();  // else publish() tries
  take_snapshot();
  submission->on_answer(answer);
}

void Daemon::take_snapshot() {
  if (stop_.is_set() && snapshot_) return;  // see publish_stop()
  control::ClusterView view = node_->status();
  if (!nbd_problem_.empty()) view.warnings.push_back("nbd-listen: " + nbd_problem_);
  std::atomic_store(&snapshot_, std::make_shared<const std::string>(control::to_json(view)));
}

Task<void> Daemon::try_nbd_port() {
  const Error error = co_await open_nbd_port();
  const std::string problem = error.status == Status::ok ? "" : error.text;
  if (!problem.empty() && problem != nbd_problem_) log_line(LogLevel::error, problem);
  nbd_problem_ = problem;
}

Task<void> Daemon::publish() {
  io::Instant next_try = machine_.now();
  for (bool goes_on = true; goes_on;) {
    take_snapshot();
    // A cluster that could not be opened at once may be open by now.
    if (!config_.nbd_listen.empty() && !is_nbd_port_open_ && machine_.now() >= next_try) {
      scope_.spawn(try_nbd_port());
      next_try = machine_.now() + 10s;
    }
    goes_on = co_await io::sleep_for(machine_, 250ms, stop_);
  }
}

// What was known last, while nothing is asked any more.
Task<void> Daemon::publish_stop(Event& has_stopped) {
  control::ClusterView view = node_->status();
  view.warnings.emplace_back("marsd is stopping; this is what it knew when that began");
  do {
    view.time_ns = static_cast<uint64_t>(machine_.wall_now().count());
    std::atomic_store(&snapshot_, std::make_shared<const std::string>(control::to_json(view)));
  } while (co_await io::sleep_for(machine_, 1s, has_stopped));
}

// A stop takes as long as the disks move (Resources::stop); systemd must not end it before.
Task<void> Daemon::ask_for_time(Event& has_stopped) {
  uint64_t written = 0;
  // Commands have stop-wait, then users of devices, and each phase some seconds for disks that do not answer.
  io::Instant last = machine_.now() + 2 * std::chrono::milliseconds(config_.stop_wait_ms) + 120s;
  for (bool goes_on = true; goes_on && machine_.now() < last;) {
    sd_notify(0, "EXTEND_TIMEOUT_USEC=60000000");
    goes_on = co_await io::sleep_for(machine_, 10s, has_stopped);
    if (node_->written_bytes() == written) continue;
    written = node_->written_bytes();
    last = std::max(last, machine_.now() + 60s);
  }
}

// Commands first, then what they act on, then the front ends.
Task<void> Daemon::shut_down() {
  sd_notify(0, "STOPPING=1");
  stop_.set();
  if (node_) {
    Scope beside(machine_.ready());
    Event has_stopped(machine_.ready());
    beside.spawn(ask_for_time(has_stopped));
    beside.spawn(publish_stop(has_stopped));
    co_await node_->stop();
    has_stopped.set();
    co_await beside.join();
    if (node_->was_cut_off()) exit_code_ = 1;
    if (node_->is_stuck()) {
      log_line(LogLevel::error, "marsd ends without the disks that do not answer; the next start goes on from the log");
      std::_Exit(1);  // what is in flight there refers to memory of this process
    }
  }
  if (control_) co_await machine_.off_load([this] { control_->stop(); });
  if (nbd_) co_await nbd_->stop();
  while (scope_.count() > 1) co_await io::wait_until(machine_, stop_.notifier(), machine_.now() + 10ms);
  node_.reset();
  devices_.reset();
  nbd_.reset();
  log_line(LogLevel::info, exit_code_ == 0 ? "marsd has stopped" : "marsd has stopped, not cleanly");
}

}  // namespace mars::daemon
