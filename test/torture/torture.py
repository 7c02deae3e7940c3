#!/usr/bin/env python3
"""Three hosts, PostgreSQL and fio on a replicated ext4, and a seeded hand that kills, stops, cuts and fails over.

After each round the filesystem is checked, the database recovers where the device is then, and what was committed must
be there: everything after a restart or a planned handover, everything up to the shipped position after a forced one;
and never with a hole. ./check runs it for a short while with a fixed seed; `torture.py --minutes M` goes on with fresh
ones. The seed is printed, and `--seed` repeats its decisions (not the timing of the machine).
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import harness  # noqa: E402
import leftovers  # noqa: E402
from common import Failure, check_ext4, expect, poll, run  # noqa: E402
from database import Database, Ledger, programs  # noqa: E402

RESOURCE = "data"
DISK_BYTES = 1 << 30
FIO_BYTES = 24 << 20


class Shipping:
    """Knows which commits one host certainly has: the position of the primary is taken from a status that was made when
    the commit had been acknowledged, and then that host must have reached it."""

    def __init__(self, primary, secondary, ledger):
        self.primary, self.secondary, self.ledger = primary, secondary, ledger
        self.certain = ledger.acknowledged
        self.is_stopping = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        while not self.is_stopping.is_set():
            committed, since = self.ledger.acknowledged, now()
            if self.is_stopping.wait(0.5):
                return
            try:
                position = durable(self.primary, since)
                while position and durable(self.secondary) < position:
                    if self.is_stopping.wait(0.2):
                        return
                if position:
                    self.certain = committed
            except (Failure, ValueError):
                continue  # one of them is down just now

    def stop(self):
        self.is_stopping.set()
        self.thread.join(60)


def now():
    """As a status writes its time: the later of two is the greater text."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09}Z"


def durable(host, since=""):
    """The end of its own log that it says is durable, or 0: no status later than `since`. A host that was stopped
    begins with one from before."""
    answer = host.adm("status", "--json", timeout=10)
    status = answer.json() if answer.code == harness.DONE else {}
    if status.get("time", "") <= since:
        return 0
    for found in status["resources"]:
        for replica in found["replicas"]:
            if replica["host"] == host.name:
                return replica.get("durable_lsn", 0)
    return 0


class Torture:
    def __init__(self, lab, prng, say=print):
        self.lab, self.prng, self.say = lab, prng, say
        self.hosts = list(lab.hosts.values())
        self.primary = self.hosts[0]
        self.database = Database(lab.base)
        self.ledger = self.fio = self.shipping = self.successor = None
        self.last = 0  # the ledger's end when the round began
        self.shipped = 0  # commits that had to survive a forced failover
        self.counts = {}

    # ---- set-up and end

    def set_up(self):
        self.lab.base.chmod(0o711)  # PostgreSQL does not run as root
        self.lab.start_cluster()
        for host in self.hosts:
            with open(host.disk, "wb") as file:
                file.truncate(DISK_BYTES)
            host.do(*(("create" if host is self.primary else "join") + "-resource", RESOURCE, host.disk))
        self.primary.do("set", RESOURCE, "open-wait", "2s")
        run("mkfs.ext4", "-q", self.primary.device(RESOURCE))
        self.mount()
        run(*self.fio_command("--rw=write", "--bs=4k", "--iodepth=32", "--do_verify=0", "--end_fsync=1"),
            cwd=self.lab.base)
        self.database.make(self.primary.mount_point, 2)
        run("sync", "-f", self.primary.mount_point)
        self.lab.wait_equal(RESOURCE)

    def mount(self):
        run("mount", self.primary.device(RESOURCE), self.primary.mount_point)

    def unmount(self):
        poll(f"{self.primary.mount_point} can be unmounted",
             lambda: run("umount", self.primary.mount_point, check=False).returncode == 0, 30, hosts=self.hosts)

    def finish(self):
        """Everything stands still: checksums of all pages, and the disks of all hosts are equal."""
        self.database.stop()
        self.database.check_checksums()
        self.unmount()
        self.lab.wait_equal(RESOURCE)
        self.primary.do("secondary", RESOURCE)
        self.lab.wait_equal(RESOURCE)
        for other in self.hosts[1:]:
            expect(run("cmp", "-s", self.hosts[0].disk, other.disk, check=False).returncode == 0,
                   f"the disks of {self.hosts[0].name} and {other.name} differ", self.hosts)
        self.primary.do("primary", RESOURCE)
        self.mount()
        self.database.start(self.primary.mount_point)

    # ---- the load

    def fio_command(self, *words):
        return ["fio", "--name=torture", f"--filename={self.primary.mount_point}/fio.data", f"--size={FIO_BYTES}",
                "--ioengine=libaio", "--direct=1", "--verify=crc32c", "--verify_fatal=1", "--eta=never", "--minimal",
                f"--aux-path={self.lab.base}", *words]

    def start_load(self):
        self.successor = self.prng.choice([host for host in self.hosts if host is not self.primary])
        self.database.start_load()
        self.ledger = Ledger(self.database, self.last)
        self.shipping = Shipping(self.primary, self.successor, self.ledger)
        words = self.fio_command("--rw=randwrite", "--bs=4k", "--iodepth=4", "--rate_iops=300", "--do_verify=0",
                                 "--time_based", "--runtime=3600", "--fsync=32", "--norandommap",
                                 f"--randseed={self.prng.getrandbits(31)}")
        self.fio = subprocess.Popen(words, cwd=self.lab.base, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)

    def stop_load(self):
        self.shipping.stop()
        self.fio.kill()
        self.fio.wait(60)
        self.database.stop_load()
        self.ledger.stop()

    def expect_load(self):
        """Nothing that is done to others, and no pause, may end it."""
        expect(self.fio.poll() is None, f"fio ended with {self.fio.poll()}", self.hosts)
        expect(self.ledger.thread.is_alive(), "the ledger's client got an error", self.hosts)

    def slow_down(self):
        """The links of the primary give less than the load needs: the others fall behind."""
        self.count("slow links")
        for other in self.others():
            self.lab.network.shape(self.primary.name, other.name, 8)

    def speed_up(self):
        for host in self.hosts:
            for other in self.hosts:
                if host.name < other.name:
                    self.lab.network.unshape(host.name, other.name)

    # ---- what the hand does while the load runs

    def others(self):
        return [host for host in self.hosts if host is not self.primary]

    def pause(self, host, seconds):
        host.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        host.process.send_signal(signal.SIGCONT)

    def pause_primary(self):
        self.pause(self.primary, self.prng.uniform(0.2, 2.5))

    def pause_secondary(self):
        self.pause(self.prng.choice(self.others()), self.prng.choice((0.5, 2, 7)))

    def kill_secondary(self):
        host = self.prng.choice(self.others())
        host.kill()
        time.sleep(self.prng.uniform(0, 1))
        host.start()

    def kill_keeper(self):
        pid = next(iter(self.keepers()), None)
        if pid:
            os.kill(pid, signal.SIGKILL)
            poll("there is another keeper", lambda: (k := self.keepers()) and pid not in k, 20, hosts=self.hosts)

    def cut_link(self):
        peer = self.prng.choice(self.others()).name
        self.lab.network.cut(self.primary.name, peer)
        time.sleep(self.prng.uniform(0.5, 3))
        self.lab.network.restore(self.primary.name, peer)

    def keepers(self):
        base = f"{self.primary.base}/".encode()
        found = []
        for pid in leftovers.processes_of(self.lab.base):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"mars-keeper") and any(base in word for word in words):
                found.append(pid)
        return found

    DISTURBANCES = ["pause_primary", "pause_secondary", "kill_secondary", "kill_keeper", "cut_link"]

    # ---- how a round ends; each returns the number that the ledger must have reached

    def hand_over(self):
        self.stop_load()
        self.speed_up()
        self.database.stop()
        self.unmount()
        poll(f"{self.successor.name} becomes primary",
             lambda: self.successor.adm("primary", RESOURCE).code == harness.DONE, 90, 1, self.hosts)
        self.primary = self.successor
        return self.ledger.acknowledged

    def lose_device(self):
        """marsd is dead under the mounted filesystem: whoever uses it gets errors, nothing hangs."""
        self.stop_load()
        self.database.crash()
        self.unmount()

    def kill_and_restart(self):
        self.primary.kill()
        self.lose_device()
        self.primary.start()
        return self.ledger.acknowledged

    def kill_both_and_restart(self):
        for pid in self.keepers():
            os.kill(pid, signal.SIGKILL)
        return self.kill_and_restart()

    def fail_over(self):
        """The primary dies with whatever it had not shipped; the successor is forced."""
        former = self.primary
        self.shipping.is_stopping.set()
        former.kill()
        certain = self.shipping.certain
        self.lose_device()
        poll(f"{former.name} is seen to be gone", lambda: not any(
            peer["name"] == former.name and peer["is_connected"] for peer in self.successor.status()["hosts"]), 30,
            hosts=self.hosts)
        forced = self.successor.do("primary", RESOURCE, "--force").out
        self.say(f"    {self.successor.name} is forced: {forced}")
        self.primary = self.successor
        self.primary.device(RESOURCE)
        former.start()
        return certain

    ENDS = ["hand_over", "kill_and_restart", "kill_both_and_restart", "fail_over", "fail_over"]

    # ---- a round

    def round(self, number):
        self.start_load()
        end = self.prng.choice(self.ENDS) if number else "fail_over"
        time.sleep(self.prng.uniform(2.5, 4))
        poll(f"a commit of this round is known to be on {self.successor.name}",
             lambda: self.shipping.certain > self.last, 60, hosts=self.hosts)
        if self.prng.random() < 0.4 or not number:
            self.slow_down()
        for name in self.prng.sample(self.DISTURBANCES, self.prng.randrange(1, 3)):
            self.say(f"    {name}")
            self.count(name)
            getattr(self, name)()
            self.expect_load()
        time.sleep(self.prng.uniform(0, 2))
        before = self.last
        committed, wanted = self.ledger.acknowledged, getattr(self, end)()
        self.count(end)
        check_ext4(self.primary.device(RESOURCE), after_crash=end != "hand_over")
        self.mount()
        self.check_fio()
        self.database.start(self.primary.mount_point)
        self.last = self.database.check()
        self.shipped += wanted - before if end == "fail_over" else 0
        expect(self.last >= wanted, f"{end}: the ledger ends at {self.last}, but {wanted} was committed and had to be "
               f"there on {self.primary.name}", self.hosts)
        self.say(f"    {end}: ledger {before} -> {committed} committed, {wanted} had to be there, {self.last} is; "
                 f"pgbench, fio and the filesystem are whole on {self.primary.name}")
        self.settle()

    def check_fio(self):
        """Every block is some whole version of itself."""
        run(*self.fio_command("--rw=read", "--bs=4k"), cwd=self.lab.base)

    def settle(self):
        """A former primary with more than was shipped is a fork: its side is given up."""
        self.speed_up()
        for host in self.others():
            poll(f"{host.name} follows", lambda: self.follows(host), 120, 0.3, self.hosts)

    def follows(self, host):
        state = host.replica(RESOURCE).get("state")
        if state == "fork":
            self.count("fork")
            host.do("invalidate", RESOURCE)
        return state == "up-to-date"

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="rounds are begun for so long [1]")
    parser.add_argument("--rounds", type=int, help="so many rounds, however long they take")
    parser.add_argument("--seed", type=int, help="repeats the decisions of a run")
    parser.add_argument("--bin", help="folder of the programs [build/release/bin]")
    return parser.parse_args()


def scenario():
    options = arguments()
    leftovers.sweep_all()
    can = harness.choose()
    if not can["fuse"] or not programs():
        print("NOT RUN: " + ("there is no FUSE" if not can["fuse"] else "PostgreSQL is not installed"))
        expect(programs() or not os.environ.get("MARS_REQUIRE"), "MARS_REQUIRE is set and PostgreSQL is not installed")
        return
    seed = options.seed if options.seed is not None else time.time_ns() % 1_000_000_007
    print(f"seed {seed}", flush=True)
    with harness.Lab(harness.programs(options.bin), "abc", memory="96M", **can) as lab:
        torture = Torture(lab, random.Random(seed), lambda text: print(text, flush=True))
        torture.set_up()
        began, number = time.monotonic(), 0
        while number < options.rounds if options.rounds else time.monotonic() < began + options.minutes * 60:
            print(f"round {number + 1}, {time.monotonic() - began:.0f} s, primary: {torture.primary.name}", flush=True)
            torture.round(number)
            number += 1
        torture.finish()
        expect(torture.shipped > 0, "no commit was known to be shipped before a forced failover: this shows nothing")
        print(f"{number} rounds: " + ", ".join(f"{what} {n}" for what, n in sorted(torture.counts.items())))
        torture.database.stop()
        torture.unmount()


if __name__ == "__main__":
    harness.main(scenario)
