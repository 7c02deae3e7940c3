// Film: the words in which the scenarios of this folder are written. A scenario is the story of one cluster with one
// resource, mydata, and it asserts what a user notices: contents, exit codes, state words, the next step. Above each
// scenario stands a line "// Attacks: F1, P3, NW1" with the promises (doc/architecture.md), the rules (doc/protocol.md)
// and the entries of the list of failures (doc/testing.md) that it tries to break; tools/scenarios.py reads these
// lines.
//
//   // Attacks: F1, P3
//   TEST_F(NetworkFilm, an_outage_needs_nobody) {
//     cast({"a", "b"});                        // a is primary, all is up to date
//     isolate("b");
//     save("a", 0, 40, 'x');                   // blocks 0 to 39, flushed
//     rest(1h);
//     rejoin("b");
//     expect_equal();                          // all disks have what the model has
//   }
//
// The film keeps a model of what was written, acknowledged and flushed, and looks all the time whether two hosts may
// write (P4); from force() on this is allowed until expect_equal(). Each film has its seed from its name.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/cluster/cluster.h"

namespace mars::sim {

using namespace std::chrono_literals;
using control::Answer;
using control::ExitCode;
using control::State;

// What the blocks of the resource may contain.
class FilmModel {
 public:
  void tried(uint64_t block, char value);         // not acknowledged: it may be there or not
  void acknowledged(uint64_t block, char value);  // it is there, unless power is lost before a flush
  void flushed();
  void power_lost();
  bool allows(uint64_t block, char value) const;
  std::string describe(uint64_t block) const;
  std::vector<uint64_t> blocks() const;

 private:
  struct Block {
    char kept = 0;
    std::vector<char> since;   // since the last flush, in order
    bool is_certain = true;    // the last of them, or else kept, is what must be there
    bool is_flushable = true;  // the last of them was acknowledged and no power was lost since
  };
  std::map<uint64_t, Block> blocks_;
};

class Film : public testing::Test {
 protected:
  using Hosts = std::vector<std::string>;
  using Duration = io::Duration;

  // What the stage looks like; to be changed before cast().
  struct Stage {
    uint64_t segment_bytes = 256 << 10;          // holds a burst of 48 blocks
    uint64_t log_disk_bytes = 0;                 // of a log disk of its own under /log; 0: the log lies on "/"
    Hosts log_disks;                             // who has one; empty: all
    std::string size;                            // of the resource; empty: the whole disk
    std::map<std::string, DeviceOptions> disks;  // by host, where they are not the usual ones
  };
  Stage stage;

  void TearDown() override;

  // ---- the cast. Hosts in one cluster, mydata on all of them, the first is primary, all up to date.
  void cast(Hosts hosts);
  void cast_without_resource(Hosts hosts);
  Cluster& cluster() { return *cluster_; }
  Disks& disks(const std::string& host) { return cluster_->host(host).disks(); }

  // ---- the application
  void write(const std::string& host, uint64_t first, uint64_t last, char value);
  void discard(const std::string& host, uint64_t first, uint64_t last);
  void flush(const std::string& host);
  void save(const std::string& host, uint64_t first, uint64_t last, char value);  // write and flush
  // On a side that will be given up: the model does not hear of it.
  void save_apart(const std::string& host, uint64_t first, uint64_t last, char value);
  // Writes and flushes go on by themselves on whichever host has the device, until end_load(). What was written stands
  // in the model. `pause` between two writes.
  void begin_load(uint64_t first, uint64_t last, Duration pause = 4ms);
  uint64_t end_load();  // how many writes were acknowledged
  void mount(const std::string& host) { cluster_->set_in_use(host, "mydata", true); }
  void unmount(const std::string& host) { cluster_->set_in_use(host, "mydata", false); }

  // ---- the life of hosts
  void kill(const std::string& host);
  void power_loss(const std::string& host);
  void stop(const std::string& host) { cluster_->stop(host); }
  void boot(const std::string& host);
  void restart(const std::string& host);
  // The host dies at its n-th change of a disk from now on; revive() buries and boots it when that has come.
  void kill_at(const std::string& host, uint64_t op) { cluster_->host(host).kill_at_disk_op(op); }
  void power_loss_at(const std::string& host, uint64_t op) { cluster_->host(host).power_loss_at_disk_op(op); }
  void revive(const std::string& host);
  bool is_dead(const std::string& host) { return !cluster_->host(host).is_running(); }

  // ---- the network
  void cut(const std::string& x, const std::string& y) { cluster_->cut(x, y); }
  void heal(const std::string& x, const std::string& y) { cluster_->heal(x, y); }
  void isolate(const std::string& host) { cluster_->isolate(host); }
  void rejoin(const std::string& host) { cluster_->rejoin(host); }
  Fabric& network() { return cluster_->world().network(); }
  void await_silence(const std::string& asked, const std::string& host);  // until `asked` knows that it does not answer

  // ---- commands
  Answer run(const std::string& host, const std::string& line);  // it is done
  // It ends with this code, and text or next step contain `words`.
  void expect_exit(const std::string& host, const std::string& line, ExitCode code, const std::string& words);
  std::shared_ptr<Running> begin(const std::string& host, const std::string& line);
  Answer end(Running& running, Duration limit = 180s);
  void hand_over(const std::string& to);  // when it sees the primary; it is done
  void force(const std::string& host);    // after the others' silence is known; it is done
  void model_lost_power() { model_.power_lost(); }
  void allow_two_primaries() { may_be_two_ = true; }
  void invalidate(const std::string& host);  // unmounted; it is done

  // ---- what users notice
  void rest(Duration time);
  bool until(const std::function<bool()>& predicate, Duration limit = 60s, Duration pause = 10ms);
  void expect_state(const std::string& host, State state, Duration limit = 60s);
  void expect_next_step(const std::string& host, const std::string& words);
  void expect_event(const std::string& host, const std::string& words);
  void expect_no_event(const std::string& host, const std::string& words);
  void expect_primary(const std::string& host);  // within a minute, and nobody else
  void expect_nobody_primary();
  void expect_read(const std::string& host, uint64_t first, uint64_t last, char value);
  void expect_on_disk(const std::string& host, uint64_t first, uint64_t last, char value);
  bool is_on_disk(const std::string& host, uint64_t first, uint64_t last, char value);
  // Blocks written in this order, each once: what the disk has is a prefix of them (P1). Returns its length.
  uint64_t expect_prefix(const std::string& host, uint64_t first, uint64_t last, char value);
  void expect_up_to_date();
  void expect_up_to_date_among(const std::string& first, const std::string& second);
  // All that run are up to date, their disks and the primary's device contain what the model says.
  void expect_equal();
  State state(const std::string& host) { return cluster_->state(host, "mydata"); }
  control::ReplicaView view(const std::string& host, const std::string& asked = "");
  std::string primary();  // whose device is open; "" when nobody's is
  uint64_t durable(const std::string& host) { return view(host).durable_lsn.value_or(0); }
  uint64_t applied(const std::string& host) { return view(host).applied_lsn.value_or(0); }
  uint64_t moved(const std::string& from, const std::string& to) { return network().bytes_delivered(from, to); }

  // ---- damage, to hosts that do not run
  std::string resource_directory(const std::string& host);  // state and life
  std::string log_directory(const std::string& host);       // log/ and branch/
  Hosts segments(const std::string& host);                  // paths, in the order of the log
  void rot_log(const std::string& host, uint64_t lsn);
  void truncate_log(const std::string& host, uint64_t lsn);
  void rot_whole_log(const std::string& host);
  void erase_log(const std::string& host);  // log/ and branch/
  // The blocks 0 to 399 of a host that runs: they have to come from elsewhere.
  void forget_disk(const std::string& host);

  std::string describe();

 private:
  struct Load;
  static Task<void> write_on(std::shared_ptr<Load> load, SimDevice* device);
  bool is_known_to_all();
  void look();
  void step_load();
  std::string wrong_content(const std::string& host);
  std::string wrong_on_device(const std::string& host);
  std::pair<std::string, uint64_t> place_in_log(const std::string& host, uint64_t lsn);

  std::unique_ptr<Cluster> cluster_;
  Hosts hosts_;
  FilmModel model_;
  std::string uuid_;
  bool may_be_two_ = false;
  bool were_two_ = false;
  std::shared_ptr<Load> load_;
};

}  // namespace mars::sim
