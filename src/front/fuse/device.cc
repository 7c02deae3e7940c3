#include "front/fuse/device.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/check.h"
#include "front/fuse/proc_files.h"
#include "front/fuse/users.h"

namespace mars::fuse {

using namespace std::chrono_literals;

namespace {

constexpr io::Duration ready_limit = 20s;
constexpr io::Duration close_limit = 60s;  // the keeper writes back what is dirty
constexpr io::Duration release_limit = 10s;
constexpr io::Duration dismiss_limit = 5s;
constexpr io::Duration care_pause = 1s;
constexpr io::Duration busy_pause = 100ms;  // a probe of udev or blkid is over by then
constexpr int busy_attempts = 10;
constexpr io::Duration unseen_limit = 10s;

std::string why(Status status) {
  return status == Status::exists ? "something else is in the way; move it away" : std::string(name(status));
}

}  // namespace

FuseDevice::FuseDevice(io::Machine& machine, xio::Output& below, DeviceOptions options)
    : machine_(machine),
      below_(below),
      options_(std::move(options)),
      changed_(machine.ready()),
      verb_(machine.ready(), 1),
      scope_(machine.ready()) {}

FuseDevice::~FuseDevice() { CHECK(is_closed() && scope_.count() == 0); }

void FuseDevice::set(Stage stage) {
  stage_ = stage;
  changed_.notify();
}

// ---- opening

Task<Result<void>> FuseDevice::open() {
  is_hidden_ = false;
  co_await verb_.acquire();
  Result<void> outcome;
  if (stage_ == Stage::detached) outcome = co_await wait_released();
  if (outcome && stage_ == Stage::detached) co_await take_down();
  if (outcome && stage_ == Stage::closed) outcome = co_await build();
  verb_.release(1);
  co_return outcome;
}

Task<Result<void>> FuseDevice::build() {
  if (scope_.count() == 0) scope_.spawn(mind());
  set(Stage::opening);
  Result<void> outcome = co_await assemble();
  if (outcome) {
    set(Stage::open);
  } else {
    co_await give_up();
  }
  co_return outcome;
}

Task<Result<void>> FuseDevice::assemble() {
  std::string directory = mount_directory(options_.places, options_.name);
  Status made = co_await machine_.storage().make_directory(directory);
  if (made != Status::ok) co_return failure(made, "cannot make the directory " + directory + ": " + why(made));
  SessionOptions session{directory, options_.name, options_.requests_max, options_.large_max};
  session_ = std::make_unique<Session>(machine_, below_, changed_, std::move(session));
  Result<void> outcome = co_await session_->mount();
  if (outcome && aborts_ > 0) outcome = failure(Status::gone, "the device was aborted");
  if (outcome) outcome = co_await start_keeper(-1);
  if (outcome) outcome = co_await make_link();
  co_return outcome;
}

// Empty, or the refusal: two marsd with one device directory would take each other's links.
Task<std::string> FuseDevice::name_is_taken() {
  std::string taken;
  auto work = [this, &taken] { taken = device_of_another_marsd(link(), options_.places); };
  co_await machine_.off_load(std::move(work));
  if (taken.empty()) co_return taken;
  co_return link() + " is " + taken +
      " of another marsd; give this one its own --device-dir, or unmount what that one left";
}

// Who hides the device while the link is being made may look for it too early: then it is taken away here.
Task<Result<void>> FuseDevice::make_link() {
  if (std::string taken = co_await name_is_taken(); !taken.empty()) co_return failure(Status::refused, taken);
  Status made = co_await machine_.storage().make_directory(options_.places.device_directory);
  if (made == Status::ok && !is_hidden_) made = co_await machine_.storage().replace_link(link(), loop_path_);
  if (made != Status::ok) co_return failure(made, "cannot make the link " + link() + ": " + why(made));
  if (!is_hidden_) co_return Result<void>{};
  co_await remove_link();
  co_return failure(Status::stopped, link() + " shall not be seen any more");
}

std::vector<std::string> FuseDevice::keeper_command(int adopt_number) const {
  xio::Info info = below_.info();
  std::vector<std::string> argv = {options_.keeper_path,
                                   "--mount",
                                   mount_directory(options_.places, options_.name),
                                   "--file",
                                   Session::file_name,
                                   "--label",
                                   label(options_.places, options_.name),
                                   "--link",
                                   link(),
                                   "--parent",
                                   std::to_string(getpid()),
                                   "--block-size",
                                   std::to_string(info.block_bytes <= 512 ? 512 : 4096)};
  if (!session_->takes_discard()) argv.push_back("--no-discard");
  if (adopt_number >= 0) {
    argv.push_back("--adopt");
    argv.push_back(std::to_string(adopt_number));
  }
  return argv;
}

namespace {

// "FAILED number what: text". What another try would not find otherwise is unsupported.
Error error_of_keeper(const std::string& said) {
  int number = 0;
  int text_at = 0;
  if (std::sscanf(said.c_str(), "FAILED %d %n", &number, &text_at) != 1) return {Status::invalid, said};
  constexpr int lasting[] = {EOPNOTSUPP, ENOENT, ENODEV, ENXIO, EPERM, EACCES, EINVAL, ENOSYS, ENOTTY};
  const bool is_lasting = std::find(std::begin(lasting), std::end(lasting), number) != std::end(lasting);
  return {is_lasting ? Status::unsupported : Status::busy, said.substr(static_cast<size_t>(text_at))};
}

}  // namespace

Task<Result<void>> FuseDevice::start_keeper(int adopt_number) {
  keeper_ = std::make_unique<KeeperProcess>(machine_, changed_);
  is_asked_ = false;
  Result<void> started = co_await keeper_->start(keeper_command(adopt_number));
  if (!started) co_return started;
  Result<std::string> said = co_await keeper_->answer(ready_limit);
  if (said && said->starts_with("READY /dev/loop")) {
    loop_path_ = said->substr(6);
    co_return Result<void>{};
  }
  // Not by hanging up: a keeper that is late would take the device down with it, and this may be one that should
  // adopt.
  keeper_->kill();
  Error problem = said ? error_of_keeper(*said) : said.error();
  co_return failure(problem.status, "no loop device for " + options_.name + ": " + problem.text);
}

// ---- closing

Task<Result<void>> FuseDevice::close() {
  const io::Instant deadline = machine_.now() + close_limit;
  while (!verb_.try_acquire(1)) {
    if (machine_.now() >= deadline) {
      co_return failure(Status::timed_out,
                        in_flight() > 0 ? still_waits() : link() + " is still being opened; ask again");
    }
    co_await io::wait_until(machine_, changed_, std::min(deadline, machine_.now() + busy_pause));
  }
  Result<void> outcome;
  if (stage_ == Stage::open) outcome = co_await detach();
  if (outcome && stage_ == Stage::detached) outcome = co_await wait_released();
  if (outcome && stage_ == Stage::detached) co_await take_down();
  verb_.release(1);
  co_return outcome;
}

// The list of users comes first, because asking makes the keeper write back whatever is dirty. The kernel's answer
// alone decides: a user that opened the device after the list, or that cannot be seen from here, makes it BUSY.
Task<Result<void>> FuseDevice::detach() {
  has_lost_pages_ = false;
  unseen_until_ = {};
  std::vector<std::string> found;
  for (int attempt = 0; attempt < busy_attempts; ++attempt) {
    if (!is_asked_) found = co_await users();
    if (!found.empty() && !may_be_probes(found)) break;
    if (found.empty()) {
      Result<bool> closed = co_await ask_close();
      if (!closed && closed.error().status == Status::gone) co_return co_await keeper_lost_in_close();
      if (!closed) co_return failure(closed.error());
      if (*closed) co_return Result<void>{};
    }
    co_await pause(busy_pause);
  }
  if (found.empty()) unseen_until_ = machine_.now() + unseen_limit;
  const std::string who = found.empty() ? unseen_user : sentence(found);
  co_return failure(Status::busy, link() + " is in use: " + who + "; end that first, or unmount it");
}

// The whole time, whatever changes meanwhile, but for an abort.
Task<void> FuseDevice::pause(io::Duration duration) {
  const io::Instant end = machine_.now() + duration;
  while (machine_.now() < end && aborts_ == 0) co_await io::wait_until(machine_, changed_, end);
}

// True: detached. False: somebody has it open.
Task<Result<bool>> FuseDevice::ask_close() {
  if (!is_asked_ && keeper_->say("close") != Status::ok) co_return failure(Status::gone);
  is_asked_ = true;
  Result<std::string> answer = co_await keeper_->answer(close_limit);
  if (!answer && answer.error().status == Status::timed_out) {
    co_return failure(Status::timed_out, link() + " is still being written back; ask again");
  }
  is_asked_ = false;
  if (!answer) co_return failure(Status::gone);
  if (*answer == "BUSY") co_return false;
  if (!answer->starts_with("CLOSED")) co_return failure(Status::io_error, "cannot close " + link() + ": " + *answer);
  co_await detached(*answer != "CLOSED");
  co_return true;
}

Task<void> FuseDevice::detached(bool is_lossy) {
  has_lost_pages_ = is_lossy;
  set(Stage::detached);
  co_await remove_link();
}

// Its death may have been what detached the device: then there is nothing left to ask.
Task<Result<void>> FuseDevice::keeper_lost_in_close() {
  if (aborts_ > 0) co_return failure(Status::gone, "the device was aborted");
  co_await care();
  if (stage_ != Stage::open) co_return Result<void>{};
  co_return failure(Status::busy, "the keeper of " + link() + " died; ask again");
}

// Only when RELEASE is here, nobody's write can be under way any more (T3). After an abort writes may be: what their
// users were told is EIO, but the disk has not answered yet.
Task<Result<void>> FuseDevice::wait_released() {
  const io::Instant deadline = machine_.now() + release_limit;
  for (;;) {
    const bool is_over = session_->is_released() || session_->is_ended();
    if (is_over && in_flight() == 0) co_return Result<void>{};
    if (machine_.now() >= deadline) {
      const std::string text =
          is_over ? still_waits() : "the kernel has not let go of " + loop_path_ + " yet; ask again";
      co_return failure(Status::timed_out, text);
    }
    const io::Instant again = is_over ? std::min(deadline, machine_.now() + busy_pause) : deadline;
    co_await io::wait_until(machine_, changed_, again);
  }
}

std::string FuseDevice::still_waits() const {
  const size_t count = in_flight();
  return "the former device of " + options_.name + " still waits for " + std::to_string(count) +
         (count == 1 ? " request" : " requests") + " that its disks do not answer; look at the disk";
}

// What nobody can use any more. Taken down here, or by mind() as soon as nothing is in flight: the disks may never
// answer, and whoever waits for the verb waits for them then.
Task<void> FuseDevice::give_up() {
  set(Stage::detached);
  co_await remove_link();
  co_await unmount_now();
  is_given_up_ = in_flight() > 0;
  if (!is_given_up_) co_await take_down();
}

// From any stage. The mount goes before the keeper, so that nothing that the keeper does can wait for the session.
Task<void> FuseDevice::take_down() {
  set(Stage::detached);
  if (session_ != nullptr) co_await session_->unmount();
  if (keeper_ != nullptr) co_await dismiss_keeper();
  session_.reset();
  keeper_.reset();
  loop_path_.clear();
  is_given_up_ = false;
  std::string directory = mount_directory(options_.places, options_.name);
  auto work = [directory] { rmdir(directory.c_str()); };
  co_await machine_.off_load(std::move(work));
  set(Stage::closed);
}

Task<void> FuseDevice::dismiss_keeper() {
  keeper_->hang_up();
  bool is_gone = co_await keeper_->join(dismiss_limit);
  while (!is_gone) {
    keeper_->kill();
    is_gone = co_await keeper_->join(dismiss_limit);
  }
}

Task<void> FuseDevice::hide() {
  is_hidden_ = true;
  co_await remove_link();
}

Task<void> FuseDevice::remove_link() {
  std::string path = link();
  std::string target = loop_path_;
  auto work = [path, target] { fuse::remove_link(path, target); };
  co_await machine_.off_load(std::move(work));
}

Task<void> FuseDevice::unmount_now() {
  std::string directory = mount_directory(options_.places, options_.name);
  auto work = [directory] { unmount_blocking(directory); };
  co_await machine_.off_load(std::move(work));
}

// The kernel first, then the queue for the verb: an open() or close() that waits for the keeper is thrown out by
// it.
Task<void> FuseDevice::abort() {
  if (stage_ == Stage::closed) co_return;
  ++aborts_;
  if (keeper_ != nullptr) keeper_->hang_up();
  co_await unmount_now();
  co_await verb_.acquire();
  if (stage_ != Stage::closed) {
    co_await remove_link();
    co_await take_down();
  }
  --aborts_;
  verb_.release(1);
}

Task<void> FuseDevice::stop() {
  co_await abort();
  is_stopping_ = true;
  changed_.notify();
  co_await scope_.join();
}

// ---- others

Task<Result<void>> FuseDevice::resize() {
  co_await verb_.acquire();
  Result<void> outcome;
  if (stage_ == Stage::open) {
    session_->size_changed();
    outcome = failure(Status::busy, link() + " is being closed, or its keeper is gone; ask again");
    if (!is_asked_ && keeper_->say("resize") == Status::ok) {
      Result<std::string> answer = co_await keeper_->answer(ready_limit);
      std::string said = answer ? *answer : answer.error().text;
      outcome = Result<void>{};
      if (said != "RESIZED") outcome = failure(Status::io_error, "cannot resize " + link() + ": " + said);
    }
  }
  verb_.release(1);
  co_return outcome;
}

Task<std::vector<std::string>> FuseDevice::users() {
  std::vector<std::string> found;
  const int number = loop_number(loop_path_);
  if (number < 0) co_return found;
  const pid_t keeper = keeper_ == nullptr ? -1 : keeper_->pid();
  auto work = [&found, number, keeper] { found = find_users(number, keeper); };
  co_await machine_.off_load(std::move(work));
  co_return found;
}

// ---- what happens by itself

bool FuseDevice::needs_care() const {
  if (is_given_up_) return stage_ == Stage::detached && in_flight() == 0;
  if (stage_ != Stage::open) return false;
  return !keeper_->is_running() || session_->is_released() || session_->is_ended();
}

Task<void> FuseDevice::mind() {
  while (!is_stopping_) {
    if (!needs_care()) {
      co_await changed_.wait();
      continue;
    }
    co_await verb_.acquire();
    if (needs_care()) co_await care();
    verb_.release(1);
    if (needs_care() && !is_stopping_) {
      co_await io::wait_until(machine_, changed_, machine_.now() + care_pause);
    }
  }
}

// The keeper was killed, or somebody aborted the connection. Without a keeper the device lives as long as it is
// used: a new keeper adopts it. If nobody used it, the kernel has detached it with the death of the keeper, or does
// so just now.
Task<void> FuseDevice::care() {
  if (is_given_up_) co_return co_await take_down();
  if (!session_->is_released() && !session_->is_ended()) {
    co_await dismiss_keeper();
    Result<void> adopted = co_await start_keeper(loop_number(loop_path_));
    if (adopted) co_return;
    const io::Instant deadline = machine_.now() + care_pause;
    while (!session_->is_released() && !session_->is_ended() && machine_.now() < deadline) {
      co_await io::wait_until(machine_, changed_, deadline);
    }
  }
  if (!session_->is_released() && !session_->is_ended()) co_return;
  co_await give_up();
}

}  // namespace mars::fuse
