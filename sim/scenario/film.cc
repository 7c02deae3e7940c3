#include "sim/scenario/film.h"

#include <algorithm>
#include <cstring>

#include "base/aligned.h"
#include "format/segment.h"

namespace mars::sim {

// ---- the model

void FilmModel::tried(uint64_t block, char value) {
  Block& its = blocks_[block];
  its.since.push_back(value);
  its.is_certain = false;
  its.is_flushable = false;
}

void FilmModel::acknowledged(uint64_t block, char value) {
  Block& its = blocks_.at(block);
  CHECK(its.since.back() == value);
  its.is_certain = true;
  its.is_flushable = true;
}

void FilmModel::flushed() {
  for (auto& [block, its] : blocks_) {
    if (its.since.empty() || !its.is_flushable) continue;
    its.kept = its.since.back();
    its.since.clear();
    its.is_certain = true;
  }
}

void FilmModel::power_lost() {
  for (auto& [block, its] : blocks_) {
    if (its.since.empty()) continue;
    its.is_certain = false;
    its.is_flushable = false;
  }
}

bool FilmModel::allows(uint64_t block, char value) const {
  const Block& its = blocks_.at(block);
  if (its.since.empty()) return value == its.kept;
  if (its.is_certain) return value == its.since.back();
  return value == its.kept || std::find(its.since.begin(), its.since.end(), value) != its.since.end();
}

std::string FilmModel::describe(uint64_t block) const {
  const Block& its = blocks_.at(block);
  std::string text = its.kept == 0 ? "nothing" : std::string(1, its.kept);
  for (const char value : its.since) text += std::string(" or ") + value;
  return its.is_certain && !its.since.empty() ? std::string(1, its.since.back()) : text;
}

std::vector<uint64_t> FilmModel::blocks() const {
  std::vector<uint64_t> written;
  for (const auto& [block, its] : blocks_) written.push_back(block);
  return written;
}

// ---- the cast

namespace {

uint64_t seed_of_name() {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  uint64_t seed = 1469598103934665603u;
  for (const char* letter = info->name(); *letter != 0; ++letter) {
    seed = (seed ^ static_cast<unsigned char>(*letter)) * 1099511628211u;
  }
  return seed;
}

bool contains(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

}  // namespace

void Film::TearDown() {
  if (load_) end_load();
  EXPECT_FALSE(were_two_) << "two hosts might write at once";
}

void Film::cast_without_resource(Hosts hosts) {
  hosts_ = std::move(hosts);
  const auto prepare = [this](Host& host, node::Options& options) {
    options.segment_bytes = stage.segment_bytes;
    if (const auto disk = stage.disks.find(host.name()); disk != stage.disks.end()) {
      host.disks().remove_device("/dev/sdb");
      host.disks().add_device("/dev/sdb", Cluster::disk_bytes, disk->second);
    }
    const bool has_disk = stage.log_disks.empty() || std::find(stage.log_disks.begin(), stage.log_disks.end(),
                                                               host.name()) != stage.log_disks.end();
    if (stage.log_disk_bytes == 0 || !has_disk) return;
    host.disks().mount("/log", FileSystemOptions{.capacity = stage.log_disk_bytes});
    options.log_directory = "/log";
    options.log_reserve_bytes = 0;
  };
  cluster_ = std::make_unique<Cluster>(seed_of_name(), hosts_, prepare);
  cluster_->form();
}

void Film::cast(Hosts hosts) {
  cast_without_resource(std::move(hosts));
  const std::string size = stage.size.empty() ? "" : " --size " + stage.size;
  run(hosts_.front(), "create-resource mydata /dev/sdb" + size);
  for (const std::string& host : hosts_) {
    if (host == hosts_.front()) continue;
    EXPECT_TRUE(until([&] { return cluster_->status(host).resources.size() == 1; }));
    run(host, "join-resource mydata /dev/sdb");
  }
  expect_up_to_date();
  EXPECT_TRUE(until([&] { return is_known_to_all(); })) << describe();
}

bool Film::is_known_to_all() {
  for (const std::string& asked : hosts_) {
    for (const std::string& host : hosts_) {
      if (view(host, asked).state != State::up_to_date) return false;
    }
  }
  return true;
}

// ---- the application

namespace {

// More between two flushes might not fit into one segment of these small logs.
constexpr uint64_t burst_blocks_max = 48;

}  // namespace

void Film::write(const std::string& host, uint64_t first, uint64_t last, char value) {
  CHECK(last - first <= burst_blocks_max);
  for (uint64_t block = first; block < last; ++block) {
    model_.tried(block, value);
    ASSERT_EQ(cluster_->write(host, "mydata", block, value), Status::ok) << describe();
    model_.acknowledged(block, value);
  }
}

void Film::discard(const std::string& host, uint64_t first, uint64_t last) {
  for (uint64_t block = first; block < last; ++block) model_.tried(block, '\0');
  auto done =
      cluster_->device(host, "mydata")->discard(first * Cluster::block_bytes, (last - first) * Cluster::block_bytes);
  ASSERT_EQ(cluster_->world().run(cluster_->host(host).machine(), std::move(done)), Status::ok) << describe();
  for (uint64_t block = first; block < last; ++block) model_.acknowledged(block, '\0');
}

void Film::flush(const std::string& host) {
  ASSERT_EQ(cluster_->flush(host, "mydata"), Status::ok) << describe();
  model_.flushed();
}

void Film::save(const std::string& host, uint64_t first, uint64_t last, char value) {
  for (uint64_t block = first; block < last; block += burst_blocks_max) {
    write(host, block, std::min(last, block + burst_blocks_max), value);
    flush(host);
  }
}

void Film::save_apart(const std::string& host, uint64_t first, uint64_t last, char value) {
  for (uint64_t block = first; block < last; ++block) {
    ASSERT_EQ(cluster_->write(host, "mydata", block, value), Status::ok) << describe();
    if ((block - first) % burst_blocks_max == burst_blocks_max - 1) {
      ASSERT_EQ(cluster_->flush(host, "mydata"), Status::ok);
    }
  }
  ASSERT_EQ(cluster_->flush(host, "mydata"), Status::ok) << describe();
}

struct Film::Load {
  FilmModel& model;
  uint64_t first = 0;
  uint64_t last = 0;
  Duration pause = {};
  uint64_t count = 0;  // tried
  uint64_t acknowledged = 0;
  bool must_end = false;
  bool is_running = false;
  SimMachine* machine = nullptr;
};

Task<void> Film::write_on(std::shared_ptr<Load> load, SimDevice* device) {
  AlignedBuffer buffer(Cluster::block_bytes);
  Status status = Status::ok;
  while (!load->must_end && status == Status::ok) {
    const uint64_t block = load->first + load->count % (load->last - load->first);
    const char value = static_cast<char>('A' + load->count / (load->last - load->first) % 26);
    ++load->count;
    std::memset(buffer.data(), value, buffer.size());
    load->model.tried(block, value);
    status = co_await device->write(block * Cluster::block_bytes, buffer.span());
    if (status != Status::ok || !load->machine->is_alive()) break;  // what a dead process says does not count
    load->model.acknowledged(block, value);
    ++load->acknowledged;
    if (load->count % 8 == 0) {
      status = co_await device->flush();
      if (status == Status::ok && load->machine->is_alive()) load->model.flushed();
    }
    Event never(load->machine->ready());
    co_await io::sleep_for(*load->machine, load->pause, never);
  }
  load->is_running = false;
}

void Film::begin_load(uint64_t first, uint64_t last, Duration pause) {
  CHECK(load_ == nullptr);
  load_ = std::shared_ptr<Load>(new Load{model_, first, last, pause});
  step_load();
}

void Film::step_load() {
  if (load_ == nullptr || load_->is_running || load_->must_end) return;
  const std::string host = primary();
  if (host.empty()) return;
  load_->is_running = true;
  load_->machine = &cluster_->host(host).machine();
  cluster_->host(host).machine().scope().spawn(write_on(load_, cluster_->device(host, "mydata")));
}

uint64_t Film::end_load() {
  load_->must_end = true;
  const auto load = load_;
  EXPECT_TRUE(until([&] { return !load->is_running; }));
  load_.reset();
  return load->acknowledged;
}

// ---- the life of hosts

void Film::kill(const std::string& host) { cluster_->kill(host); }

void Film::power_loss(const std::string& host) {
  const std::string holder = primary();
  if (holder.empty() || holder == host) model_.power_lost();
  cluster_->is_up(host) ? cluster_->power_loss(host) : cluster_->host(host).power_loss();
}

void Film::boot(const std::string& host) {
  const Result<void> started = cluster_->start(host);
  ASSERT_TRUE(started.has_value()) << started.error().text;
}

void Film::restart(const std::string& host) {
  stop(host);
  boot(host);
}

void Film::revive(const std::string& host) {
  disks(host).on_change({});
  if (!is_dead(host)) return;
  if (primary().empty()) model_.power_lost();
  cluster_->bury(host);
  boot(host);
}

void Film::await_silence(const std::string& asked, const std::string& host) {
  EXPECT_TRUE(until([&] { return !cluster_->connected(asked, host); })) << describe();
}

// ---- commands

Answer Film::run(const std::string& host, const std::string& line) {
  const auto running = begin(host, line);
  Answer answer = end(*running);
  EXPECT_EQ(answer.code, ExitCode::done) << host << "# marsadm " << line << "\n" << answer.text << describe();
  return answer;
}

void Film::expect_exit(const std::string& host, const std::string& line, ExitCode code, const std::string& words) {
  const auto running = begin(host, line);
  const Answer answer = end(*running);
  EXPECT_EQ(answer.code, code) << host << "# marsadm " << line << "\n" << answer.text << describe();
  EXPECT_TRUE(contains(answer.text, words) || contains(answer.next_step, words)) << host << "# marsadm " << line << "\n"
                                                                                 << answer.text << "\n"
                                                                                 << answer.next_step;
}

std::shared_ptr<Running> Film::begin(const std::string& host, const std::string& line) {
  return cluster_->begin(host, line);
}

Answer Film::end(Running& running, Duration limit) {
  EXPECT_TRUE(until([&] { return running.answer.has_value(); }, limit)) << "a command does not end" << describe();
  return running.answer.value_or(Answer{ExitCode::failed, "it does not end", {}, {}});
}

void Film::hand_over(const std::string& to) {
  EXPECT_TRUE(until([&] { return primary().empty() || primary() == to || cluster_->connected(to, primary()); }));
  run(to, "primary mydata");
}

void Film::force(const std::string& host) {
  allow_two_primaries();
  run(host, "primary mydata --force");
}

void Film::invalidate(const std::string& host) { run(host, "invalidate mydata"); }

// ---- what users notice

void Film::look() {
  if (cluster_ == nullptr) return;
  if (hosts_with_device(*cluster_, hosts_, "mydata").size() > 1) were_two_ = were_two_ || !may_be_two_;
  step_load();
}

void Film::rest(Duration time) {
  const io::Instant end = cluster_->world().now() + time;
  while (cluster_->world().now() < end) {
    const Duration left = end - cluster_->world().now();
    cluster_->run_for(std::min<Duration>(left, time > 60s ? 1s : 20ms));
    look();
  }
}

// A film that has failed is not watched to its end.
bool Film::until(const std::function<bool()>& predicate, Duration limit, Duration pause) {
  if (HasFailure()) limit = std::min<Duration>(limit, 2s);
  const io::Instant end = cluster_->world().now() + limit;
  while (!predicate()) {
    if (cluster_->world().now() >= end) return false;
    cluster_->run_for(pause);
    look();
  }
  return true;
}

void Film::expect_state(const std::string& host, State wanted, Duration limit) {
  EXPECT_TRUE(until([&] { return state(host) == wanted; }, limit))
      << host << " is " << control::name(state(host)) << " and not " << control::name(wanted) << describe();
  const control::Weight weight = control::row(wanted).weight;
  const bool needs_somebody = weight == control::Weight::attention || weight == control::Weight::broken;
  if (needs_somebody) EXPECT_NE(view(host).next_step, "") << control::name(wanted) << " says no next step (P13)";
}

void Film::expect_next_step(const std::string& host, const std::string& words) {
  EXPECT_TRUE(contains(view(host).next_step, words)) << view(host).next_step;
}

void Film::expect_event(const std::string& host, const std::string& words) {
  EXPECT_TRUE(until([&] { return contains(cluster_->events(host), words); }, 20s)) << words << describe();
}

void Film::expect_no_event(const std::string& host, const std::string& words) {
  EXPECT_FALSE(contains(cluster_->events(host), words)) << words << describe();
}

void Film::expect_primary(const std::string& host) {
  EXPECT_TRUE(until([&] { return primary() == host; })) << "not " << host << " but " << primary() << describe();
}

void Film::expect_nobody_primary() { EXPECT_EQ(primary(), "") << describe(); }

void Film::expect_read(const std::string& host, uint64_t first, uint64_t last, char value) {
  for (uint64_t block = first; block < last; ++block) {
    EXPECT_EQ(cluster_->read(host, "mydata", block), value) << "block " << block << " of " << host;
  }
}

bool Film::is_on_disk(const std::string& host, uint64_t first, uint64_t last, char value) {
  const io::Bytes bytes =
      disks(host).peek(cluster_->disk_path(host), first * Cluster::block_bytes, (last - first) * Cluster::block_bytes);
  return bytes == io::Bytes(bytes.size(), static_cast<std::byte>(value));
}

void Film::expect_on_disk(const std::string& host, uint64_t first, uint64_t last, char value) {
  EXPECT_TRUE(until([&] { return is_on_disk(host, first, last, value); }, 30s))
      << "blocks " << first << " to " << last << " of " << host << describe();
}

uint64_t Film::expect_prefix(const std::string& host, uint64_t first, uint64_t last, char value) {
  uint64_t end = first;
  while (end < last && is_on_disk(host, end, end + 1, value)) ++end;
  for (uint64_t block = end; block < last; ++block) {
    EXPECT_FALSE(is_on_disk(host, block, block + 1, value))
        << "block " << block << " is there, and block " << end << ", which was written before, is not (P1)";
  }
  return end - first;
}

void Film::expect_up_to_date() {
  EXPECT_TRUE(until([&] { return cluster_->is_up_to_date("mydata"); }, 120s)) << describe();
}

void Film::expect_up_to_date_among(const std::string& first, const std::string& second) {
  EXPECT_TRUE(until([&] { return applied(second) == durable(first); })) << describe();
}

std::string Film::wrong_content(const std::string& host) {
  for (const uint64_t block : model_.blocks()) {
    const char value = cluster_->on_disk(host, block);
    if (model_.allows(block, value) && is_on_disk(host, block, block + 1, value)) continue;
    return "block " + std::to_string(block) + " on the disk of " + host + " has " + std::string(1, value) +
           " and not " + model_.describe(block);
  }
  return {};
}

std::string Film::wrong_on_device(const std::string& host) {
  for (const uint64_t block : model_.blocks()) {
    const std::optional<char> value = cluster_->read(host, "mydata", block);
    if (value && model_.allows(block, *value)) continue;
    return "block " + std::to_string(block) + " of the device of " + host + " has " +
           (value ? std::string(1, *value) : "an error") + " and not " + model_.describe(block);
  }
  return {};
}

void Film::expect_equal() {
  expect_up_to_date();
  std::string wrong;
  const auto are_equal = [&] {
    std::string first;
    wrong.clear();
    for (const std::string& host : hosts_) {
      if (!cluster_->is_up(host) || view(host).state != State::up_to_date) continue;
      wrong = wrong_content(host);
      if (!first.empty() && !cluster_->disks_equal(first, host)) wrong = first + " and " + host + " differ";
      if (!wrong.empty()) return false;
      first = host;
    }
    return true;
  };
  EXPECT_TRUE(until(are_equal, 60s, 200ms)) << wrong << describe();
  if (!primary().empty()) EXPECT_EQ(wrong_on_device(primary()), "") << describe();
  may_be_two_ = false;
}

control::ReplicaView Film::view(const std::string& host, const std::string& asked) {
  return cluster_->replica(asked.empty() ? host : asked, "mydata", host).value_or(control::ReplicaView{});
}

std::string Film::primary() {
  const Hosts open = hosts_with_device(*cluster_, hosts_, "mydata");
  return open.empty() ? "" : open.front();
}

std::string Film::describe() { return "\n" + all_events(*cluster_, hosts_); }

}  // namespace mars::sim
