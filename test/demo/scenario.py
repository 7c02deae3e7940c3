"""The main job, as a film script: three hosts, a bad network, a handover, a forced one, a fork and its end."""

import time

import harness
from common import expect, ms_text, poll, run, size_text, table
from load import Load, percentile
from volumes import MIB

RESOURCE = "mydata"
DISK_BYTES = 2 << 30
DIRTY_MAX = 12 * MIB  # of --memory 64M
BEFORE, SLOW, CUT, AFTER = 6, 4, 14, 6  # seconds of the load's parts


class Scenario:
    """Holds what is found for the summary; each step is a verb."""

    def __init__(self, lab, volume):
        self.lab = lab
        self.volume = volume
        self.a, self.b, self.c = (lab.host(name) for name in "abc")
        self.summary = {}
        self.began = time.monotonic()

    def title(self, text):
        print(f"\n[{time.monotonic() - self.began:5.1f} s] {text}", flush=True)

    def tell(self, text):
        print(f"    {text}", flush=True)

    def note(self, what, figure):
        self.summary[what] = figure

    def show_status(self, host):
        for line in host.do("status").out.splitlines():
            print(f"    | {line}", flush=True)

    def run(self):
        self.make_cluster()
        self.make_data()
        self.cut_one_link()
        self.cut_the_primary()
        self.hand_over()
        self.fork()
        self.fail_over_without_cut()
        self.show_summary()

    # ---- set-up

    def make_cluster(self):
        self.title(f"Three hosts A, B and C, each with its own marsd ({self.lab.network.kind})")
        self.lab.start_cluster()
        self.tell("A made the cluster; B and C joined with one-time tokens. All three are connected by TLS.")
        self.a.do("create-resource", RESOURCE, self.a.disk, "--size", str(DISK_BYTES), "--create-file")
        for host in (self.b, self.c):
            with open(host.disk, "wb") as file:
                file.truncate(DISK_BYTES)
            host.do("join-resource", RESOURCE, host.disk)
        self.a.do("set", RESOURCE, "open-wait", "3s")
        self.tell(f"A made the resource {RESOURCE} on {size_text(DISK_BYTES)}; B and C joined it.")

    def make_data(self):
        self.title(f"Real data goes onto {self.a.device(RESOURCE)} on A ({self.volume.kind})")
        self.volume.make(self.a)
        self.volume.open(self.a)
        began = time.monotonic()
        files, total = self.volume.fill(self.a)
        taken = time.monotonic() - began
        self.tell(f"{files} files with {size_text(total)} from /usr/share, written and made durable in {taken:.1f} s.")
        self.lab.wait_equal(RESOURCE)
        self.tell("B and C have applied all of it.")
        self.show_status(self.a)
        self.note("real data replicated", f"{files} files, {size_text(total)}")

    # ---- bad network

    def cut_one_link(self):
        self.title("The link between A and B is cut; A-C and B-C stay")
        self.lab.network.cut("a", "b")
        poll("B notices that A is silent", lambda: not self.is_connected(self.b, "a"), 30, 0.2, self.lab.hosts.values())
        self.volume.prepare_scribble(self.a)
        before, deadline = self.b.replica(RESOURCE)["durable_lsn"], time.monotonic() + 60
        sources = set()

        def is_shown():
            b = self.b.replica(RESOURCE)
            sources.update(found["source"] for found in b.get("transfers", []) if found["kind"] == "fetch")
            expect(time.monotonic() < deadline, "B does not go on through C", self.lab.hosts.values())
            return b["durable_lsn"] - before > 32 * MIB

        self.volume.scribble(self.a, is_shown)
        end = self.lab.wait_equal(RESOURCE)
        expect(not self.is_connected(self.b, "a"), "A and B are connected although their link is cut")
        expect("a" not in sources, "B says that it fetches from A although their link is cut")
        source = ", ".join(found.upper() for found in sources) or "C"
        self.tell(f"B is not connected with A, but it has everything: {size_text(end[1] - before)} of log "
                  f"came from {source}.")
        self.lab.network.restore("a", "b")
        poll("A and B are connected again", lambda: self.is_connected(self.b, "a"), 60, 0.2, self.lab.hosts.values())
        self.note("A-B cut alone", "B went on through C")

    def is_connected(self, host, peer):
        return any(found["name"] == peer and found["is_connected"] for found in host.status()["hosts"])

    def cut_the_primary(self):
        self.title(f"Under load A's links become slow (10 Mbit/s) for {SLOW} s and are then cut for {CUT} s")
        load = Load(self.a, self.volume.job(self.a), BEFORE + SLOW + CUT + AFTER, self.a.base)
        load.start()
        syncs = self.count_syncs()
        self.pass_time(load, "before", BEFORE)
        for peer in ("b", "c"):
            self.lab.network.shape("a", peer, 10)
        self.pass_time(load, "during", SLOW)
        self.lab.cut_off("a")
        cut_began = time.monotonic()
        ahead = self.pass_time(load, None, CUT)
        self.lab.restore("a")
        for peer in ("b", "c"):
            self.lab.network.unshape("a", peer)
        cut_seconds = time.monotonic() - cut_began
        load.mark("after")
        self.tell(f"links restored; A is {size_text(ahead)} of log ahead of B, and its application noticed nothing:")
        expect(ahead > 4 * DIRTY_MAX, f"A ran ahead by {size_text(ahead)} only, that is no more than 4 x dirty-max",
               self.lab.hosts.values())
        job = load.finish()
        self.show_latency(load, cut_seconds)
        began = time.monotonic()
        self.lab.wait_equal(RESOURCE)
        expect(self.count_syncs() == syncs, "B or C was synced instead of catching up by log", self.lab.hosts.values())
        self.tell(f"B and C have caught up by log (fio's verification of {size_text(load.bytes)} ended "
                  f"{time.monotonic() - began:.1f} s before that).")
        expect(job["read"]["total_ios"] > 0, "fio did not read back what it wrote")
        self.volume.note_job(self.a)
        self.note("A's log ahead of B's at the end of the cut",
                  f"{size_text(ahead)} = {ahead / DIRTY_MAX:.1f} x dirty-max")

    def count_syncs(self):
        return [host.do("events", RESOURCE, "--count", "1000").out.count("syncing") for host in (self.b, self.c)]

    def pass_time(self, load, mark, seconds):
        """Lets the load run and shows that it does, once a second. Returns how far A is ahead of B."""
        if mark:
            load.mark(mark)
        end = time.monotonic() + seconds
        ahead = 0
        while time.monotonic() < end:
            time.sleep(min(1, max(0, end - time.monotonic())))
            load.expect_running()
            theirs = self.b.replica(RESOURCE)["durable_lsn"]  # asked first: A's is never older than it
            mine = self.a.replica(RESOURCE)["durable_lsn"]
            ahead = max(0, mine - theirs)
            self.tell(f"{mark or 'during':>6}: A's log is durable to {size_text(mine)}, B is {size_text(ahead)} behind")
        return ahead

    def show_latency(self, load, cut_seconds):
        rows = [("write latency", "writes", "p50", "p99", "longest")]
        for name, values in load.parts().items():
            rows.append((name, len(values), ms_text(percentile(values, 0.5)), ms_text(percentile(values, 0.99)),
                         ms_text(values[-1] if values else 0)))
            self.note(f"write p50 / p99 {name} the cut", f"{rows[-1][2]} / {rows[-1][3]}")
        print(table(rows, "    "), flush=True)
        longest = max(values[-1] for values in load.parts().values() if values)
        expect(longest < cut_seconds / 2 * 1000, f"a write took {ms_text(longest)}, more than half of the cut",
               [self.a])
        gap, disk = load.longest_gap(), load.probe.longest
        alone = f"beside it, a small write to the same disk took {disk:.2f} s at most"
        self.tell(f"No write took longer than {ms_text(longest)}; the longest time without progress is {gap:.2f} s.")
        self.tell(f"{alone.capitalize()}.")
        # Each waits for the host's disk, and for nothing else: not for the peers, which count as silent after 6 s.
        expect(gap < 1 + disk, f"fio made no progress for {gap:.2f} s; {alone}", [self.a])
        expect(longest < (4 + disk) * 1000, f"a write took {ms_text(longest)}; {alone}", [self.a])
        self.note("longest write", ms_text(longest))

    # ---- planned handover

    def hand_over(self):
        self.title("Planned handover: A lets go, B becomes primary")
        refused = self.b.adm("primary", RESOURCE, "--timeout", "20s") if self.volume.is_mounted else None
        if refused:
            expect(refused.code == harness.REFUSED, f"`marsadm primary` on B ended with {refused.code} although the "
                   f"device is mounted on A: {refused.text}", self.lab.hosts.values())
            self.tell(f"While it is mounted on A, B is refused:")
            self.tell(f"  {refused.message()}")
        self.volume.close(self.a)
        began = time.monotonic()
        self.b.do("primary", RESOURCE)
        taken = time.monotonic() - began
        self.tell(f"Unmounted on A; `marsadm primary {RESOURCE}` on B took {taken:.1f} s.")
        self.volume.open(self.b, read_only=True)
        count = self.volume.check(self.b)
        self.volume.close(self.b)
        self.volume.check_structure(self.b)
        self.tell(f"B: {self.volume.how_read}: {count} of {count} checksums are equal; fsck finds nothing.")
        self.compare_disks()
        self.a.do("primary", RESOURCE)
        self.volume.open(self.a)
        self.tell("Back to A.")
        self.note("planned handover A to B", f"{taken:.1f} s, {count} checksums equal, fsck clean")

    def compare_disks(self):
        before = self.lab.wait_equal(RESOURCE)
        for other in (self.b, self.c):
            expect(run("cmp", "-s", self.a.disk, other.disk, check=False).returncode == 0,
                   f"the data disks of A and {other.name.upper()} differ at the same position {before}",
                   self.lab.hosts.values())
        after = self.lab.wait_equal(RESOURCE)
        expect(after == before, f"the position moved from {before} to {after} while the disks were compared",
               self.lab.hosts.values())
        self.tell(f"The data disks of A, B and C are equal byte for byte at position {before[1]}.")
        self.note("data disks of A, B and C", "equal byte for byte, three times")

    # ---- forced failover and fork

    def fork(self):
        self.title("A is lost with writes that nobody else has: B is forced primary")
        agreed, lost = b"durable before the cut", b"durable on A only"
        self.volume.prepare_scribble(self.a)
        self.volume.put(self.a, "before-the-cut", agreed)
        self.volume.note("before-the-cut", agreed)
        self.lab.wait_equal(RESOURCE)
        for peer in ("b", "c"):
            self.lab.network.shape("a", peer, 10)
        self.put_while_slow()
        deadline = time.monotonic() + 60

        def is_known_ahead():
            b, a = self.b.replica(RESOURCE), self.b.replica(RESOURCE, "a")
            ahead = a.get("durable_lsn", 0) - b.get("durable_lsn", 0)
            expect(time.monotonic() < deadline, "B never hears that A is ahead of it", self.lab.hosts.values())
            return ahead > 8 * MIB  # more than what is still on its way arrives within the moment of the cut

        written = self.volume.scribble(self.a, is_known_ahead)
        self.lab.cut_off("a")
        self.volume.put(self.a, "only-on-A", lost)
        self.a.kill()
        self.tell(f"Links at 10 Mbit/s, {size_text(written)} written without {self.volume.flush_name}; then A cut off, "
                  f"`only-on-A` written with {self.volume.flush_name}, and A's marsd killed.")
        self.volume.drop(self.a)
        self.force()
        self.volume.open(self.b)
        count = self.volume.check(self.b)
        expect(not self.volume.has(self.b, "only-on-A", lost), "`only-on-A` is on B: where does it come from?")
        self.tell(f"B: fsck clean, {count} checksums equal: everything that was written with {self.volume.flush_name} "
                  f"before the cut is there, `only-on-A` is not.")
        self.come_back(lost)

    def put_while_slow(self):
        """Made durable on A over slow links, and kept in mind: B has their position before it is left behind."""
        for number in range(4):
            name, data = f"while-slow-{number}", f"durable while the links were slow: {number}".encode()
            self.volume.put(self.a, name, data)
            self.volume.note(name, data)
        time.sleep(1)  # a status may be half a second old
        position = self.a.replica(RESOURCE)["durable_lsn"]
        poll("B has what was written on the slow links",
             lambda: self.b.replica(RESOURCE)["durable_lsn"] >= position, 60, 0.2, self.lab.hosts.values())

    def force(self):
        poll("B sees that A is silent", lambda: not self.is_connected(self.b, "a"), 30, 0.2, self.lab.hosts.values())
        self.b.wait_state(RESOURCE, "up-to-date", "waiting-for-peer", timeout=60)
        dry = self.b.do("primary", RESOURCE, "--force", "--dry-run")
        self.tell(f"`primary --force --dry-run` on B: {dry.out}")
        forced = self.b.do("primary", RESOURCE, "--force", "--json").json()
        loss = forced["data"]["loss_bytes"]
        expect(loss > 0, f"the printed loss is {loss} bytes, but A had more: {forced}", self.lab.hosts.values())
        self.tell(f"B is forced: {forced['text']}")
        self.volume.check_structure(self.b, after_crash=True)
        self.note("forced failover: printed loss", f"at least {size_text(loss)}")

    def come_back(self, lost):
        self.title("A comes back")
        for peer in ("b", "c"):
            self.lab.network.unshape("a", peer)
        self.a.start()
        self.a.device(RESOURCE)
        self.volume.open(self.a, read_only=True)
        expect(self.volume.has(self.a, "only-on-A", lost), "`only-on-A` is not readable on A", [self.a])
        self.tell("Still cut off, A opened its own version again: `only-on-A` is readable there.")
        self.lab.restore("a")
        self.a.wait_state(RESOURCE, "fork")
        expect(self.volume.has(self.a, "only-on-A", lost), "`only-on-A` is not readable on A any more", [self.a])
        alarms = poll("B shows the alarm", lambda: self.b.alarms(RESOURCE), 30, 0.2, self.lab.hosts.values())
        self.tell("Links restored: both sides say that there is a fork, and both are kept.")
        self.tell(f"B: {alarms[0]}")
        self.show_status(self.a)
        self.volume.close(self.a)
        began = time.monotonic()
        self.a.do("invalidate", RESOURCE)
        self.a.wait_state(RESOURCE, "up-to-date", timeout=120)
        taken = time.monotonic() - began
        expect(not self.b.alarms(RESOURCE), f"alarms stay on B: {self.b.alarms(RESOURCE)}", self.lab.hosts.values())
        self.tell(f"`marsadm invalidate` on A: it compared digests and follows B after {taken:.1f} s.")
        self.volume.close(self.b)
        self.compare_disks()
        self.a.do("primary", RESOURCE)
        self.volume.open(self.a)
        self.note("fork", f"both sides kept; ended by invalidate in {taken:.1f} s")

    def fail_over_without_cut(self):
        self.title("The same without a cut: A's marsd is killed, but B has everything")
        last = b"the last words of A"
        self.volume.put(self.a, "last-words", last)
        self.volume.note("last-words", last)
        self.lab.wait_equal(RESOURCE)
        self.a.kill()
        self.volume.drop(self.a)
        poll("B sees that A is silent", lambda: not self.is_connected(self.b, "a"), 30, 0.2, self.lab.hosts.values())
        forced = self.b.do("primary", RESOURCE, "--force", "--json").json()
        self.tell(f"B is forced: {forced['text']}")
        self.volume.check_structure(self.b, after_crash=True)
        self.volume.open(self.b)
        count = self.volume.check(self.b)
        self.a.start()
        self.a.wait_state(RESOURCE, "up-to-date", timeout=60)
        expect(not self.a.alarms(RESOURCE), f"there are alarms: {self.a.alarms(RESOURCE)}", self.lab.hosts.values())
        self.tell(f"B has all {count}; A came back and follows by itself: no fork, nothing to decide.")
        self.volume.close(self.b)
        self.compare_disks()
        self.show_status(self.b)
        self.note("failover with everything shipped", "A follows by itself")

    # ---- the end

    def show_summary(self):
        for host in self.lab.hosts.values():
            self.note(f"memory of marsd on {host.name.upper()} at most", size_text(host.peak_bytes()))
        taken = time.monotonic() - self.began
        self.note("time", f"{taken:.0f} s")
        print("\nSummary")
        width = max(map(len, self.summary))
        for what, figure in self.summary.items():
            print(f"  {what.ljust(width)}  {figure}")
        print(f"\nThis ran on: {self.lab.network.kind}; {self.volume.kind}.")


def invitation(lab):
    """What --keep says."""
    host = lab.host("b")
    lines = ["\nThe three hosts go on running. To play with them:"]
    for name, one in lab.hosts.items():
        lines.append(f"  alias {name}='{lab.bin}/marsadm --socket {one.socket}'")
    use = f"mount {host.devices}/{RESOURCE} /mnt" if lab.has_fuse else f"nbdinfo '{host.device(RESOURCE)}'"
    lines += [f"  b status; c view {RESOURCE}; a events", f"  {use}",
              f"  a primary {RESOURCE}   # refused while it is in use on b"]
    if lab.has_netns:
        lines += [f"  ip -n {lab.network.name('a')} link set to-b down   # pull a cable; up puts it back",
                  f"  {' '.join(lab.network.prefix('a'))} ss -tn   # the connections of a"]
        lines.append("The next ./demo removes it all, and ./demo --clean does only that.")
    else:
        lines.append("The relays between them end with this program: Ctrl-C removes it all.")
    return "\n".join(lines)
