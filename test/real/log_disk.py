#!/usr/bin/env python3
"""The log disk: full for real (a small ext4 on a loop device), and not mounted."""

import os
import time

from cases import lab, run_cases
from common import expect, poll, run
from nbd import Nbd, NbdError

MIB = 1 << 20
VOLUME = 256 * MIB


def mount_log_disk(host, size):
    """A filesystem of its own for the log of one host."""
    image = host.base / "log-image"
    if not image.exists():
        with open(image, "wb") as file:
            file.truncate(size)
        run("mkfs.ext4", "-q", "-m", "0", image)
    host.logs = host.base / "mnt" / "log"
    host.logs.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, host.logs)


def make_disk(host):
    with open(host.disk, "wb") as file:
        file.truncate(VOLUME)
    return host.disk


def write_all(host, count, seed, seconds=120):
    """Writes `count` MiB of random data over the volume, with a flush after each; every one must be acknowledged."""
    deadline = time.monotonic() + seconds
    with Nbd(host.device("r"), timeout=60) as nbd:
        for number in range(count):
            nbd.write((number * MIB) % VOLUME, os.urandom(MIB))
            nbd.flush()
            expect(time.monotonic() < deadline, f"only {number} of {count} MiB were written in {seconds} s", [host])


def a_full_log_disk_costs_the_worst_replica_its_log(can):
    """B is cut off and the log disk fills: the application goes on, and B comes back by digests (P9)."""
    with lab(can, "abc", fuse=False) as the_lab:
        a, b, c = the_lab.hosts.values()
        mount_log_disk(a, 192 * MIB)
        a.flags = ["--log-reserve", "0"]
        the_lab.start_cluster()
        a.do("create-resource", "r", make_disk(a))
        for host in (b, c):
            host.do("join-resource", "r", make_disk(host))
        the_lab.wait_equal("r")
        the_lab.network.cut("a", "b")
        the_lab.network.cut("b", "c")
        poll("B is silent", lambda: not any(h["name"] == "b" and h["is_connected"] for h in a.status()["hosts"]), 30)
        write_all(a, 320, 1)
        print("    320 MiB were written through a log disk of 192 MiB while B was cut off")
        events = a.do("events", "r").out
        expect("is not kept any longer for b" in events, f"no event says that B's log was given up: {events}", [a])
        the_lab.network.restore("a", "b")
        the_lab.network.restore("b", "c")
        the_lab.wait_equal("r", 180)
        expect(open(a.disk, "rb").read() == open(b.disk, "rb").read(), "B differs although it says it is up to date")
        print("    B came back by itself and is equal")


def with_nobody_left_to_drop_writes_wait(can):
    """No replica, and the disk is filled by somebody else: writes wait in a state that says so, and go on with room."""
    with lab(can, fuse=False) as the_lab:
        a = the_lab.host("a")
        mount_log_disk(a, 96 * MIB)
        a.flags = ["--log-reserve", "0"]
        a.start()
        a.do("create-cluster")
        a.do("create-resource", "r", make_disk(a))
        write_all(a, 16, 1)
        hog = a.logs / "hog"
        with open(hog, "wb") as file:
            try:
                while True:
                    file.write(bytes(MIB))
                    file.flush()
            except OSError:
                pass
        write_all(a, 128, 2)
        print("    with the log disk full, 128 MiB went on through recycled segments")
        expect(a.replica("r")["state"] in ("up-to-date", "waiting-for-space"), f"state {a.replica('r')}", [a])
        hog.unlink()
        write_all(a, 16, 3)
        a.wait_state("r", "up-to-date")


def an_unmounted_log_disk_is_no_empty_log(can):
    with lab(can, fuse=False) as the_lab:
        a = the_lab.host("a")
        mount_log_disk(a, 96 * MIB)
        a.start()
        a.do("create-cluster")
        a.do("create-resource", "r", make_disk(a))
        write_all(a, 8, 1)
        expect(a.stop() == 0, "marsd did not stop cleanly", [a])
        run("umount", a.logs)
        a.start()
        replica = a.wait_state("r", "log-missing")
        print(f"    {replica['state']}: {replica.get('reason')}")
        print(f"    what to do: {replica.get('next_step')}")
        expect("mount" in replica.get("reason", "") + replica.get("next_step", ""), f"no next step: {replica}", [a])
        expect(not any(a.logs.iterdir()), "something was written where the log disk should be mounted", [a])
        a.stop()
        run("mount", "-o", "loop", a.base / "log-image", a.logs)
        a.start()
        a.wait_state("r", "up-to-date")
        with Nbd(a.device("r")) as nbd:
            expect(any(nbd.read(0, 4096)), "the data is not there", [a])


run_cases([a_full_log_disk_costs_the_worst_replica_its_log, with_nobody_left_to_drop_writes_wait,
           an_unmounted_log_disk_is_no_empty_log])
