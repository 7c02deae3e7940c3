#include "sim/storm/troubles.h"

#include <algorithm>

#include "format/segment.h"
#include "node/places.h"

namespace mars::sim {

using namespace std::chrono_literals;

namespace {

std::vector<std::string> segments_of(Stage& stage, const std::string& host) {
  const std::string directory = stage.segment_directory(host);
  std::vector<std::string> found;
  if (!stage.cluster.host(host).disks().exists(directory)) return found;
  for (const io::DirectoryEntry& entry : stage.cluster.host(host).disks().list(directory)) {
    if (entry.name.ends_with(".seg")) found.push_back(directory + "/" + entry.name);
  }
  return found;
}

}  // namespace

void Troubles::last(std::string what, std::function<void()> mend) {
  stage_.tell(what);
  lasting_.push_back({std::move(what), std::move(mend)});
}

// A disk that was made bad, and not mended yet.
bool Troubles::has_bad_disk(const std::string& host) const {
  return std::ranges::any_of(lasting_, [&](const Lasting& lasting) {
    const bool is_of_disk =
        lasting.what.find("disk on ") != std::string::npos || lasting.what.starts_with("errors on ");
    return is_of_disk && lasting.what.find(" on " + host) != std::string::npos;
  });
}

void Troubles::begin(Act act, Prng prng) {
  const std::string_view group = row(act).name;
  if (group.starts_with("disk.")) return disk(act, prng);
  if (group.starts_with("network.")) return network(act, prng);
  if (group.starts_with("clock.")) return clock(act, prng);
  host(act, prng);
}

void Troubles::mend_one(Prng prng) {
  if (lasting_.empty() || prng.chance(1, 3)) return start_dead();
  const size_t choice = prng.below(lasting_.size());
  Lasting lasting = std::move(lasting_[choice]);
  lasting_.erase(lasting_.begin() + static_cast<std::ptrdiff_t>(choice));
  stage_.tell("over: " + lasting.what);
  lasting.mend();
}

void Troubles::mend_all() {
  for (Lasting& lasting : std::exchange(lasting_, {})) lasting.mend();
  for (const std::string& host : stage_.hosts) {
    mend_disks(host);
    stage_.cluster.host(host).disks().on_change({});
  }
  stage_.tell("all troubles are over");
  stage_.bury_the_dead();  // who died at its last change, and nobody has looked since
  start_dead();
}

// A disk that gives nothing back would hold the start for ever.
void Troubles::start_dead() {
  for (const std::string& host : stage_.hosts) {
    if (stage_.cluster.is_up(host)) continue;
    mend_disks(host);
    stage_.start(host);
  }
}

void Troubles::mend_disks(const std::string& host) {
  Disks& disks = stage_.cluster.host(host).disks();
  disks.heal();
  disks.file_system("/").set_capacity(log_disk_bytes);
  for (const char* path : {"/", "/dev/sdb"}) {
    disks.drive(path).set_slowness(1);
    if (disks.drive(path).is_stuck()) disks.drive(path).unstick();
  }
  const bool is_paused = stage_.cluster.host(host).is_running() && stage_.cluster.host(host).is_paused();
  if (!is_paused) {
    stage_.frozen.erase(host);
    stage_.forgive(host);
  }
}

// ---- disks

void Troubles::disk(Act act, Prng& prng) {
  const std::string host = stage_.any_host(prng);
  switch (act) {
    case Act::disk_error_once:
      return fail_disk(false, prng);
    case Act::disk_error_lasting:
      return fail_disk(true, prng);
    case Act::disk_full:
      return fill_disk(host, prng);
    case Act::disk_slow:
      stage_.slow_down(host);
      stage_.cluster.host(host).disks().drive(prng.chance(1, 2) ? "/" : "/dev/sdb").set_slowness(prng.between(5, 200));
      return last("slow disk on " + host, [this, host] { mend_disks(host); });
    case Act::disk_stuck:
      return stick(host, prng.chance(1, 3) ? "/dev/sdb" : "/");
    default:
      return damage(act, prng);
  }
}

void Troubles::fail_disk(bool is_lasting, Prng& prng) {
  constexpr DiskOp ops[] = {DiskOp::read, DiskOp::write, DiskOp::flush, DiskOp::change};
  const std::string host = stage_.any_host(prng);
  const std::string& state = stage_.cluster.options(host).state_directory;
  const node::Places places{state, state};
  const std::string paths[] = {"/dev/sdb", stage_.segment_directory(host) + "/", places.resource(stage_.resource) + "/",
                               state + "/"};
  sim::Fault fault;
  fault.path = paths[prng.below(std::size(paths))];
  fault.op = ops[prng.below(std::size(ops))];
  fault.skip = prng.below(20);
  fault.times = is_lasting ? sim::Fault::forever : 1;
  fault.status = prng.chance(1, 4) ? Status::no_space : Status::io_error;
  stage_.slow_down(host);
  stage_.cluster.host(host).disks().fail(fault);
  last("errors on " + host + " " + fault.path, [this, host] { mend_disks(host); });
}

void Troubles::fill_disk(const std::string& host, Prng& prng) {
  FileSystem& files = stage_.cluster.host(host).disks().file_system("/");
  const io::Space space = files.space();
  files.set_capacity(space.total_bytes - space.free_bytes + prng.below(3 << 20));
  stage_.slow_down(host);
  last("full disk on " + host, [this, host] { mend_disks(host); });
}

void Troubles::stick(const std::string& host, const char* path) {
  if (!stage_.is_alive(host)) return;
  stage_.slow_down(host);
  stage_.frozen.insert(host);
  stage_.cluster.host(host).disks().drive(path).stick();
  last("stuck disk on " + host, [this, host] { mend_disks(host); });
}

// The last batches of a log, behind a host that loses its power. Half of them hear nobody when they are back: what
// others remember of it is in its own store at best (T10).
void Troubles::rot_the_end(const std::string& host, Prng& prng) {
  const uint64_t end = stage_.replica(host)->report().durable.position.lsn.value;
  format::SegmentName last;
  std::string newest;
  for (const std::string& path : segments_of(stage_, host)) {
    const auto name = format::parse_segment_name(path.substr(path.rfind('/') + 1));
    if (!name || name->first.value >= end || (!newest.empty() && name->first < last.first)) continue;
    last = *name;
    newest = path;
  }
  if (newest.empty()) return;
  excuse(host, newest);
  const uint64_t used = end - last.first.value;
  const uint64_t offset = format::segment_header_bytes + used - prng.between(1, std::min<uint64_t>(used, 16 << 10));
  stage_.cluster.host(host).disks().flip(newest, offset, 1);
  stage_.power_loss(host);
  if (prng.chance(1, 2)) isolate(host);
  stage_.start(host);
}

void Troubles::excuse(const std::string& host, const std::string& path) {
  stage_.rotten.insert(host);
  stage_.history.excuse(stage_.id(host));
  stage_.tell("damage in " + path + " of " + host);
}

// Of the log only: data disks are covered by verify (P11), metadata by its own checks.
void Troubles::damage(Act act, Prng& prng) {
  const bool is_at_end = act == Act::disk_rot && prng.chance(2, 3);
  const std::vector<std::string> writers = stage_.open_hosts();
  // Of its own writes others remember most.
  const bool is_writer = is_at_end && !writers.empty() && prng.chance(1, 2);
  const std::string host = is_writer ? writers[prng.below(writers.size())] : stage_.any_host(prng);
  if (is_at_end && stage_.is_responsive(host) && stage_.replica(host) != nullptr) return rot_the_end(host, prng);
  const std::vector<std::string> segments = segments_of(stage_, host);
  if (segments.empty()) return;
  Disks& disks = stage_.cluster.host(host).disks();
  const std::string& path = segments[prng.below(segments.size())];
  const uint64_t offset = prng.below(std::max<uint64_t>(disks.file_bytes(path), 1) / (prng.chance(1, 2) ? 1 : 8));
  excuse(host, path);
  if (act == Act::disk_rot) return disks.flip(path, offset, static_cast<unsigned>(prng.below(8)));
  if (act == Act::disk_latent) return disks.break_sector(path, offset);
  sim::Fault fault{.path = path, .op = DiskOp::write, .skip = prng.below(4), .status = Status::ok};
  if (act == Act::disk_misdirected) fault.misdirect = 4096 * prng.between(1, 16);
  disks.fail(fault);
}

// ---- the network

void Troubles::isolate(const std::string& host) {
  stage_.cluster.isolate(host);
  last("nobody reaches " + host, [this, host] { stage_.cluster.rejoin(host); });
}

void Troubles::network(Act act, Prng& prng) {
  const std::string x = stage_.any_host(prng);
  std::string y = stage_.any_host(prng);
  while (y == x) y = stage_.any_host(prng);
  Fabric& fabric = stage_.cluster.world().network();
  switch (act) {
    case Act::network_cut:
      fabric.cut(x, y);
      return last("cut " + x + "-" + y, [&fabric, x, y] { fabric.heal(x, y); });
    case Act::network_cut_one_way:
      fabric.cut_one_way(x, y);
      return last("cut " + x + ">" + y, [&fabric, x, y] { fabric.heal_one_way(x, y); });
    case Act::network_isolate:
      return isolate(x);
    case Act::network_flap:
      return flap(x, y, prng);
    case Act::network_reset:
      stage_.tell("reset " + x + "-" + y);
      return fabric.reset(x, y);
    case Act::network_half_open:
      stage_.tell("half open " + x + "-" + y);
      return fabric.reset_one_end(x, y);
    default:
      return slow_link(act, x, y, prng);
  }
}

void Troubles::flap(const std::string& x, const std::string& y, Prng& prng) {
  stage_.tell("flapping " + x + "-" + y);
  Fabric& fabric = stage_.cluster.world().network();
  for (uint64_t i = prng.between(2, 8); i > 0; --i) {
    fabric.cut(x, y);
    stage_.cluster.run_for(io::Duration(prng.below(200'000'000)));
    fabric.heal(x, y);
    stage_.cluster.run_for(io::Duration(prng.below(200'000'000)));
  }
}

void Troubles::slow_link(Act act, const std::string& x, const std::string& y, Prng& prng) {
  Fabric& fabric = stage_.cluster.world().network();
  LinkOptions options;
  if (act == Act::network_latency) {
    options.latency = io::Duration(prng.between(1'000'000, 1'000'000'000));
    options.jitter = io::Duration(prng.below(300'000'000));
  } else {
    options.bytes_per_second = prng.between(20'000, 500'000);
  }
  fabric.set_link(x, y, options);
  last("slow link " + x + "-" + y, [&fabric, x, y] { fabric.set_link(x, y, LinkOptions{}); });
}

// ---- clocks

void Troubles::clock(Act act, Prng& prng) {
  const std::string host = stage_.any_host(prng);
  Host& its = stage_.cluster.host(host);
  const auto error = std::chrono::seconds(prng.between(1, 31'000'000));
  stage_.tell("the clock of " + host + " goes wrong");
  if (act == Act::clock_skew) return its.set_clock_skew(prng.chance(1, 2) ? error : -error);
  if (act == Act::clock_jump) return its.set_clock_skew(its.clock_skew() + error % 7200 - 3600s);
  its.stop_clock();
  last("clock stands on " + host, [&its] { its.go_on_clock(); });
}

// ---- hosts

void Troubles::host(Act act, Prng& prng) {
  const std::string host = stage_.any_host(prng);
  if (!stage_.is_alive(host)) return;
  Host& its = stage_.cluster.host(host);
  if (!old_stores_.contains(host)) keep_store(host);
  switch (act) {
    case Act::host_kill:
    case Act::host_power_loss:
      return die_at_any_event(host, act == Act::host_power_loss, prng);
    case Act::host_kill_at_disk:
      stage_.tell("to be killed at a change of its disks: " + host);
      return its.kill_at_disk_op(prng.between(1, 40));
    case Act::host_power_loss_at_disk:
      stage_.tell("to lose power at a change of its disks: " + host);
      return its.power_loss_at_disk_op(prng.between(1, 40));
    case Act::host_stop:
      if (!stage_.is_responsive(host)) return;
      stage_.tell("stop " + host);
      mend_disks(host);
      return stage_.stop(host);
    case Act::host_pause:
      return pause(host);
    case Act::host_pool_lost:
      return lose_pool(host);
    case Act::host_store_lost:
      return lose_store(host, prng);
    default:
      return replace_disk(host);
  }
}

void Troubles::die_at_any_event(const std::string& host, bool with_power, Prng& prng) {
  for (uint64_t i = prng.below(2000); i > 0; --i) stage_.cluster.world().step();
  if (!stage_.is_alive(host)) return;
  stage_.tell((with_power ? "power loss of " : "kill ") + host);
  with_power ? stage_.power_loss(host) : stage_.kill(host);
}

void Troubles::pause(const std::string& host) {
  Host& its = stage_.cluster.host(host);
  its.pause();
  stage_.frozen.insert(host);
  stage_.slow_down(host);
  last("paused " + host, [this, host, &its] {
    if (its.is_running() && its.is_paused()) its.resume();
    if (has_bad_disk(host)) return;
    stage_.frozen.erase(host);
    stage_.forgive(host);
  });
}

// As a crash at this moment would leave it.
void Troubles::keep_store(const std::string& host) {
  const std::string& state = stage_.cluster.options(host).state_directory;
  Disks& disks = stage_.cluster.host(host).disks();
  Files& files = old_stores_[host];
  for (const io::DirectoryEntry& entry : disks.list(state)) {
    if (!entry.name.starts_with("meta.db")) continue;
    const std::string path = (state + "/" + entry.name).substr(1);
    const Inode* file = disks.file_system("/").file(path);
    files[path].resize(file->size);
    file->medium.read(0, files[path]);
  }
}

// While the others know all members: somebody has to bring it back. Or it is an older one. Its first start may be cut
// off, and hear nobody.
void Troubles::lose_store(const std::string& host, Prng& prng) {
  if (!stage_.is_responsive(host) || stage_.replica(host) == nullptr) return;
  if (stage_.giving_up.contains(host) || stage_.maybe_left.contains(host)) return;
  for (const std::string& other : stage_.hosts) {
    if (other == host) continue;
    const bool knows_all = stage_.replica(other) != nullptr && stage_.members_known_by(other) == stage_.hosts.size();
    if (!knows_all) return;
  }
  const auto old = old_stores_.find(host);
  const bool is_older = old != old_stores_.end() && prng.chance(2, 3);
  stage_.tell("kill " + host + ", and its metadata store is " + (is_older ? "an older one" : "lost"));
  if (is_older) stage_.reached.count("a metadata store is an older one");
  stage_.kill(host);
  const std::string& state = stage_.cluster.options(host).state_directory;
  Disks& disks = stage_.cluster.host(host).disks();
  FileSystem& files = disks.file_system("/");
  for (const io::DirectoryEntry& entry : disks.list(state)) {
    if (!entry.name.starts_with("meta.db")) continue;
    static_cast<void>(files.remove((state + "/" + entry.name).substr(1), true));
  }
  if (is_older) {
    for (const auto& [path, bytes] : old->second) {
      const auto file = files.create(path, true);
      if (file) static_cast<void>(files.write(**file, 0, bytes, true));
    }
    old_stores_.erase(old);
  }
  if (prng.chance(1, 2)) isolate(host);
  if (prng.chance(1, 2)) stage_.cluster.host(host).kill_at_disk_op(prng.between(1, 60));
  stage_.start(host);
}

void Troubles::lose_pool(const std::string& host) {
  stage_.tell("kill " + host + ", and its pool is lost");
  stage_.kill(host);
  stage_.cluster.host(host).pools().clear();
  stage_.history.forget_unflushed(stage_.id(host));
}

// Of a replica that does not hold the right to write: what it had is elsewhere, and the operator is not just giving
// that up.
void Troubles::replace_disk(const std::string& host) {
  replication::Replica* replica = stage_.replica(host);
  if (replica == nullptr || replica->report().is_holder || !replica->is_attached()) return;
  const bool is_elsewhere = std::ranges::any_of(stage_.hosts, [&](const std::string& other) {
    replication::Replica* its = other == host ? nullptr : stage_.replica(other);
    return its != nullptr && its->report().is_consistent && !stage_.giving_up.contains(other) &&
           !stage_.maybe_left.contains(other);
  });
  if (!is_elsewhere) return;
  stage_.tell("the data disk of " + host + " is replaced by an empty one");
  stage_.kill(host);
  stage_.cluster.host(host).disks().remove_device("/dev/sdb");
  add_disk(stage_.cluster.host(host));
  stage_.replaced.insert(host);
}

}  // namespace mars::sim
