// The table of commands and nothing else; it may be longer than other files because it is read, not followed.
#include <algorithm>

#include "base/check.h"
#include "control/command.h"

namespace mars::control {

namespace {

using enum ArgumentType;

const Argument any_resource = {
    .name = "resource", .type = resource, .help = "name of the resource", .is_required = true};
const Argument maybe_resource = {.name = "resource", .type = resource, .help = "only this resource"};
const Argument dry_run = {
    .name = "dry-run",
    .type = flag,
    .help = "say what would be done, change nothing; not all checks are made, so the command itself may still refuse"};
const Argument accept_loss = {
    .name = "accept-loss",
    .type = flag,
    .help = "open although acknowledged writes are gone (states writes-lost, log-damaged): check the data afterwards"};
const Argument force_disk = {
    .name = "force",
    .type = flag,
    .help = "with --accept-disk: also on the primary, and where the log here has what no other replica has"};
const Argument timeout = {.name = "timeout",
                          .type = duration,
                          .help = "give up waiting after this time; 0 waits for ever",
                          .default_value = "60s"};
const Argument wait_timeout = {.name = "timeout",
                               .type = duration,
                               .help = "give up waiting after this time; 0 waits for ever",
                               .default_value = "0"};

constexpr ExitCode refused = ExitCode::refused;
constexpr ExitCode timed_out = ExitCode::timed_out;
constexpr ExitCode unreachable = ExitCode::unreachable;
constexpr ExitCode not_found = ExitCode::not_found;
constexpr ExitCode fork = ExitCode::fork;

void add_cluster(std::vector<CommandSpec>& table) {
  table.push_back({"create-cluster",
                   Group::cluster,
                   "make a new cluster with this host as its first member",
                   "Makes the cluster's own certificate authority and this host's key and certificate. Refused when "
                   "this host is already a member of a cluster. Other hosts join with a token from `marsadm invite`.",
                   {},
                   {dry_run},
                   {refused}});
  table.push_back(
      {"invite",
       Group::cluster,
       "print a one-time token with which another host can join",
       "The token carries the addresses of this member, and of no other, the fingerprint of the cluster's authority "
       "and a secret. It can be used by one host, once. Give it to that host by a way that you trust, and run "
       "`marsadm join-cluster TOKEN` there.",
       {},
       {{"expires", duration, "the token is worth nothing after this time", false, "1h", {}}},
       {refused}});
  table.push_back({"join-cluster",
                   Group::cluster,
                   "make this host a member of the cluster that the token is from",
                   "The token is checked before anything is sent: the cluster's authority must be the one whose "
                   "fingerprint it carries. With - as token it is read from standard input, so that it does not appear "
                   "in the list of processes. Repeating the command with the same token on the same host is safe. "
                   "With --dry-run nothing is sent: whether the token was used or has expired only a member knows.",
                   {{"token", token, "what `marsadm invite` printed; - reads it from standard input", true, {}, {}}},
                   {dry_run, timeout},
                   {refused, timed_out, unreachable}});
  table.push_back(
      {"issue-client",
       Group::cluster,
       "write key and certificates for an NBD client of this cluster",
       "Makes ca-cert.pem, client-cert.pem and client-key.pem in DIR, the names that QEMU, nbdkit and libnbd "
       "look for. Whoever has the key may connect to any device that is open on a marsd with --nbd-listen; it "
       "gives no right to administer. Refused when DIR has such files already.",
       {{"name", text, "what the certificate calls the client", true, {}, {}},
        {"dir", path, "absolute path of a directory on this host; it is made", true, {}, {}}},
       {dry_run},
       {refused}});
  table.push_back({"version",
                   Group::cluster,
                   "print the versions of marsadm, of the marsd that answers, and of those of the other hosts",
                   "Use `marsadm --version` for marsadm alone, when no marsd is running.",
                   {},
                   {},
                   {}});
}

void add_resources(std::vector<CommandSpec>& table) {
  table.push_back(
      {"create-resource",
       Group::resource,
       "make a resource from a disk of this host, which becomes primary",
       "The disk's content is adopted as it is and nothing is written onto it by this command. The disk is "
       "a block device or a regular file, given by its absolute path, and used by nobody else. The size is "
       "that of the disk, or --size, rounded down to 4 KiB. Other hosts add their copies with `marsadm "
       "join-resource`.",
       {{"resource", resource, "name of the new resource; also of the device", true, {}, {}, true},
        {"disk", path, "block device or regular file that holds the data", true, {}, {}}},
       {{"size", size, "use only this much of the disk", false, {}, {}},
        {"create-file", flag, "make the file, sparse, with --size bytes; it must not be there", false, {}, {}},
        dry_run,
        timeout},
       {refused, timed_out}});
  table.push_back(
      {"join-resource",
       Group::resource,
       "add a replica of a resource on a disk of this host",
       "What is on the disk is replaced by the resource's content. A disk that carries a filesystem, LVM or "
       "a partition table is refused unless --overwrite is given. The sync begins by itself; watch it with "
       "`marsadm status`.",
       {any_resource, {"disk", path, "block device or regular file, at least as large as the resource", true, {}, {}}},
       {{"overwrite", flag, "the disk may carry something that is recognised; it is lost", false, {}, {}},
        dry_run,
        timeout},
       {refused, timed_out, unreachable, not_found}});
  table.push_back({"leave-resource",
                   Group::resource,
                   "give up this host's replica of a resource",
                   "The log of this host is removed, the data disk keeps what it has. Refused on the primary; hand the "
                   "role over first with `marsadm primary RESOURCE` on another host, or delete the resource.",
                   {any_resource},
                   {dry_run, timeout},
                   {refused, timed_out, not_found}});
  table.push_back(
      {"delete-resource",
       Group::resource,
       "remove a resource from all hosts",
       "The data disks keep what they have; logs and state are removed on every host as soon as it hears of "
       "it. Refused while the device is in use, and while other hosts still have replicas unless --force is "
       "given.",
       {any_resource},
       {{"force", flag, "also when other hosts still have replicas", false, {}, {}}, dry_run, timeout},
       {refused, timed_out, unreachable, not_found}});
  table.push_back(
      {"attach",
       Group::resource,
       "open this host's data disk of a resource",
       "The disk must be the one that was detached, with the content it had; otherwise the state is "
       "disk-changed and nothing is replayed onto it. --accept-disk takes the disk, not what is on it: the "
       "replica counts as new and is synced from another one. On the host that is wanted as primary it needs --force: "
       "the device stays closed until the sync is done. If its content shall count, make the resource anew from it.",
       {any_resource},
       {{"accept-disk", flag, "the disk may have changed while it was detached", false, {}, {}},
        accept_loss,
        force_disk,
        dry_run,
        timeout},
       {refused, timed_out, not_found}});
  table.push_back({"detach",
                   Group::resource,
                   "close this host's data disk of a resource",
                   "On the primary the device is closed first; refused while somebody uses it. The host stays the "
                   "primary and opens again after `marsadm attach`.",
                   {any_resource},
                   {dry_run, timeout},
                   {refused, timed_out, not_found}});
  table.push_back({"up",
                   Group::resource,
                   "attach, and switch fetch, replay and sync on",
                   "The same as `attach` and the three `resume-` commands.",
                   {any_resource},
                   {dry_run, timeout},
                   {refused, timed_out, not_found}});
  table.push_back({"down",
                   Group::resource,
                   "detach, and switch fetch, replay and sync off",
                   "The same as `detach` and the three `pause-` commands; refused while the device is in use.",
                   {any_resource},
                   {dry_run, timeout},
                   {refused, timed_out, not_found}});
  table.push_back(
      {"invalidate",
       Group::resource,
       "give up this host's own version of a resource and follow the others",
       "This is how a fork (split brain) ends: run it on the host whose writes are to be given up. Its log "
       "is kept aside under branch/, its data disk is brought back to the others' version by comparing "
       "digests. Refused while the device is in use here, and while no other host has a consistent replica.",
       {any_resource},
       {dry_run, timeout},
       {refused, timed_out, unreachable, not_found}});
  table.push_back({"set",
                   Group::resource,
                   "set an option of a resource, on all hosts",
                   "`marsadm get RESOURCE` lists the options with their values.",
                   {any_resource,
                    {"key", text, "name of the option", true, {}, {}},
                    {"value", text, "its new value", true, {}, {}}},
                   {},
                   {not_found}});
  table.push_back({"get",
                   Group::resource,
                   "print the options of a resource",
                   "With a key only its value is printed, in the form that `set` takes.",
                   {any_resource, {"key", text, "name of one option", false, {}, {}}},
                   {},
                   {not_found}});
}

void add_roles(std::vector<CommandSpec>& table) {
  table.push_back(
      {"primary",
       Group::roles,
       "make this host the primary of a resource",
       "A planned handover: the old primary closes its device (refused while it is in use there), ships the rest of "
       "its "
       "log and passes the right to write on; nothing is lost. A failure before the right has left the old primary "
       "leaves it in charge; after that this host completes by itself. With --force this host takes the right without "
       "asking, for when the old primary is lost: what is known to be missing then is said when it is done, and before "
       "by --dry-run. If the old primary has written more, a fork (split brain) exists when it comes back. --force is "
       "refused while the old primary answers.",
       {any_resource},
       {{"force", flag, "take over although the primary does not answer; prints what is lost", false, {}, {}},
        {"now", flag, "with --force: do not fetch first what other hosts have beyond this one", false, {}, {}},
        dry_run,
        timeout},
       {refused, timed_out, unreachable, fork, not_found}});
  table.push_back(
      {"secondary",
       Group::roles,
       "no host shall be the primary of a resource",
       "Whichever host is primary closes its device; it does not matter where this is run. Refused while the device "
       "is in use. The replicas catch up and the right to write stays parked where it is, until `marsadm primary` is "
       "run somewhere. To move the role to another host, run `marsadm primary` there instead.",
       {any_resource},
       {dry_run, timeout},
       {refused, timed_out, unreachable, not_found}});
}

void add_switches(std::vector<CommandSpec>& table) {
  struct Switch {
    std::string_view pause, pause_help, resume, resume_help, long_help;
  };
  static constexpr Switch switches[] = {
      {"pause-fetch", "stop fetching the log on this host", "resume-fetch", "fetch the log again on this host",
       "What is already here can still be replayed. The switch is kept over restarts."},
      {"pause-replay", "stop replaying on this host", "resume-replay", "replay again on this host",
       "The log is still fetched, so nothing is lost with the primary. The switch is kept over restarts."},
      {"pause-sync", "stop syncing on this host", "resume-sync", "sync again on this host",
       "The replica is not consistent until its sync has ended. The switch is kept over restarts."},
  };
  for (const Switch& row : switches) {
    table.push_back({row.pause, Group::switches, row.pause_help, row.long_help, {any_resource}, {}, {not_found}});
    table.push_back({row.resume, Group::switches, row.resume_help, row.long_help, {any_resource}, {}, {not_found}});
  }
}

void add_watching(std::vector<CommandSpec>& table) {
  table.push_back(
      {"status",
       Group::watching,
       "one row for each resource and host: role, state, lag, last contact",
       "Running transfers are shown with a progress bar below their row. With --json the same for programs.",
       {maybe_resource},
       {},
       {not_found}});
  table.push_back({"view",
                   Group::watching,
                   "all that is known about one resource",
                   "Every replica with its positions in the log, its switches, its disk and device, the reason for its "
                   "state and the next step.",
                   {any_resource},
                   {},
                   {not_found}});
  table.push_back(
      {"wait-resource",
       Group::watching,
       "wait until a resource is in a certain condition",
       "synced: the replica has applied everything that was durable on the primary when the command began; with "
       "`--host "
       "B` it answers the question `may I switch this host off, has B everything?`. consistent: the replica can become "
       "primary. attached, detached: the data disk is open, closed. primary: it is the primary and its device is open; "
       "secondary: it is not. Without --host: primary means any host; synced, consistent, attached, detached and "
       "secondary mean "
       "all hosts with a replica.",
       {any_resource,
        {"condition", choice, "what to wait for", false, "synced",
         "synced|consistent|attached|detached|primary|secondary"}},
       {{"host", host, "only the replica of this host", false, {}, {}}, wait_timeout},
       {timed_out, fork, not_found}});
  table.push_back({"events",
                   Group::watching,
                   "what happened here: who did what, and why states changed",
                   "The history is kept in memory and on disk up to a bound; the newest come last.",
                   {maybe_resource},
                   {{"count", count, "how many, counted from the newest", false, "50", {}}},
                   {not_found}});
}

void add_instruments(std::vector<CommandSpec>& table) {
  const Argument deadline = {.name = "deadline",
                             .type = duration,
                             .help = "if requests are still under way after this time, change nothing; at most 60s",
                             .default_value = "5s"};
  table.push_back({"graph",
                   Group::instruments,
                   "print the bricks of a resource on this host and how they are wired",
                   "Each brick with what it promises, each edge with what is in flight through it, and what the "
                   "instruments that were put in with `marsadm insert` have seen. For those who look for the cause of "
                   "something; the form may change.",
                   {any_resource},
                   {},
                   {refused, not_found}});
  table.push_back(
      {"insert",
       Group::instruments,
       "put an instrument into an edge of a running resource",
       "The edge is closed, drained, re-wired and opened again while users go on; their requests wait for that moment "
       "and none fails. trace remembers the last requests (events=256). stats counts and measures them. check counts "
       "them in and out and finds lost ones. delay holds each for a random time (shortest=1ms,longest=20ms). throttle "
       "lets only so much pass in a second (bytes=10M,requests=100). fault makes requests of one kind fail, the n-th "
       "or "
       "one in N by chance (op=write,nth=1 or op=read,one-in=100; answer-lost=on does the work and loses the answer): "
       "users get I/O errors, or the disk counts as failed, so it is for tests. An instrument stays until `marsadm "
       "remove`, and goes by itself when the resource is detached, and from above the device when this host is no "
       "longer primary.",
       {any_resource, {"instrument", choice, "what to put in", true, {}, "check|delay|fault|stats|throttle|trace"}},
       {{"at",
         text,
         "which edge, by its name in `marsadm graph`: device (all that users do; the default on the primary), data "
         "(all "
         "that reaches the disk; the default elsewhere), or another",
         false,
         {},
         {}},
        {"set", text, "its settings, as KEY=VALUE,KEY=VALUE", false, {}, {}},
        deadline,
        dry_run},
       {refused, not_found}});
  table.push_back({"remove",
                   Group::instruments,
                   "take an instrument out of a running resource",
                   "By its name in `marsadm graph`. What it holds back goes on at once; otherwise it is done as by "
                   "`marsadm insert`.",
                   {any_resource, {"instrument", text, "its name, for example trace or delay-2", true, {}, {}}},
                   {deadline, dry_run},
                   {refused, not_found}});
}

// Nothing that names a path or carries a secret (P12); and nothing that any host can do as well.
constexpr std::string_view forwardable[] = {
    "leave-resource", "attach",      "detach",       "up",           "down",          "invalidate",
    "primary",        "pause-fetch", "resume-fetch", "pause-replay", "resume-replay", "pause-sync",
    "resume-sync",    "events",      "graph",        "insert",       "remove"};

void let_forward(std::vector<CommandSpec>& table) {
  for (CommandSpec& spec : table) {
    if (std::ranges::find(forwardable, spec.name) == std::end(forwardable)) continue;
    spec.is_forwardable = true;
    spec.options.push_back({"host", host, "let this member do it, as if it were typed there", false, {}, {}});
    if (std::ranges::find(spec.exit_codes, unreachable) == spec.exit_codes.end())
      spec.exit_codes.push_back(unreachable);
  }
}

std::vector<CommandSpec> make_table() {
  std::vector<CommandSpec> table;
  add_cluster(table);
  add_resources(table);
  add_roles(table);
  add_switches(table);
  add_watching(table);
  add_instruments(table);
  let_forward(table);
  return table;
}

}  // namespace

std::string_view title(Group group) {
  switch (group) {
    case Group::cluster:
      return "Cluster";
    case Group::resource:
      return "Resources";
    case Group::roles:
      return "Roles";
    case Group::switches:
      return "Switches";
    case Group::watching:
      return "Watching";
    case Group::instruments:
      return "Instruments";
  }
  return "Other";
}

std::span<const CommandSpec> command_table() {
  static const std::vector<CommandSpec> table = make_table();
  return table;
}

}  // namespace mars::control
