// What a host does with its replica at start and at every new fact: the table of protocol.md section 2, first matching
// row. A pure function on values; whoever calls it executes and decides nothing.
#pragma once

#include <cstdint>
#include <string_view>

#include "bricks/branch.h"
#include "replication/life.h"
#include "replication/report.h"

namespace mars::replication {

// The control batch at the end of my durable log (T2).
enum class Tail : uint8_t {
  none,               // no epoch at all
  foreign,            // an epoch of another host, not released to me
  released_to_other,  // by a release, whoever gave it
  mine,               // my epoch, no release behind it
  granted,            // a release to me is the last batch
};

// What others begin at or in my tail.
enum class Rival : uint8_t {
  none,
  at_end,       // at my end, or my tail behind its start has no data
  before_data,  // before the end of my data: two histories
};

enum class Wish : uint8_t { me, other, none };  // the register "designated"

struct StartFacts {
  Tail tail = Tail::none;
  bool is_gone = false;           // the state block says that I released (T3)
  bool is_gone_lost = false;      // and the log ends before that release
  bool is_outremembered = false;  // others know more of my own epochs than I do (T10)
  Rival rival = Rival::none;
  bool is_damaged = false;  // at or above applied (D10)
  bool has_heard = false;   // enough peers answered, or open-wait is over
  Wish wish = Wish::none;
};

enum class StartAction : uint8_t {
  rolled_back,     // 1: closed; fetch my own bytes back, else follow on rung 3
  recreate_gone,   // 2: write the release again that the state block has, then follow
  follow,          // 3
  drop_tail,       // 4: the token is void; the tail without data goes, then follow
  fork,            // 5: no epoch; wait for the operator
  log_damaged,     // 6: closed until somebody has the bytes
  open_recovered,  // 7: a new epoch (recover), open
  keep_closed,     // 8: keep the token; hand it over when another is wanted, else park
  open_granted,    // 9: replay, a new epoch (grant), open
  null_reign,      // 10: a new epoch, open nothing, hand it on
  wait,            // rows 7, 9 and 10 before open-wait is over
};

std::string_view name(StartAction action);

StartAction decide_start(const StartFacts& facts);

// The facts that follow from logs alone.
// `life`: where my log began when it was synced last, and what I gave up. Of a reign that lies before that, or that I
// gave up, I know only what others had: I may have released it, or used a grant.
Tail tail_of(const bricks::Branch& branch, Lsn durable_end, const Uuid& self, const Life& life);
// Against one peer's branch. `my_data_end` is the end of the last batch with data,
// or with a forced epoch, of my log.
Rival rival_of(const bricks::Branch& mine, Lsn my_end, Lsn my_data_end, const Report& peer);
// Where the two part, `one` goes on by force, and nobody was forced on the side of `other`: that is the verdict for who
// is on neither (T9). So is it that the other was left behind.
bool overrules(const Report& one, const Report& other);
// The right with which the log of `one`, of `host`, ends has gone to another reign in `other`, and not back.
bool is_superseded(const Report& one, const Uuid& host, const Report& other);
// The peer remembers a position of my own epoch that my log does not reach, and that I have not given up.
bool is_outremembered(const bricks::Branch& mine, Lsn my_end, const Uuid& self, const Life& life, const Report& peer);

}  // namespace mars::replication
