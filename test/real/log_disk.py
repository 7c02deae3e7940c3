#!/usr/bin/env python3
"""The log disk: full for real (a small ext4 on a loop device), and not mounted."""

import os
import threading
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


def write_all(host, count, seed, seconds=120, resource="r"):
    """Writes `count` MiB of random data over the volume, with a flush after each; every one must be acknowledged."""
    deadline = time.monotonic() + seconds
    with Nbd(host.device(resource), timeout=60) as nbd:
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


def of_two_resources_the_longest_log_goes(can):
    """Both lie on one log disk, and B is cut off: what fills it is the log of the other one, and that goes (G4)."""
    with lab(can, "ab", fuse=False) as the_lab:
        a, b = the_lab.hosts.values()
        mount_log_disk(a, 192 * MIB)
        a.flags = ["--log-reserve", "0"]
        the_lab.start_cluster()
        for number, host in enumerate((a, b)):
            second = host.base / "second"
            with open(second, "wb") as file:
                file.truncate(VOLUME)
            command = "join-resource" if number else "create-resource"
            host.do(command, "r", make_disk(host))
            host.do(command, "second", second)
        the_lab.wait_equal("r")
        b.wait_state("second", "up-to-date")
        the_lab.network.cut("a", "b")
        poll("B is silent", lambda: not any(h["name"] == "b" and h["is_connected"] for h in a.status()["hosts"]), 30)
        write_all(a, 120, 1, resource="second")
        write_all(a, 80, 2)
        for resource, is_given_up in (("second", True), ("r", False)):
            said = "is not kept any longer for b" in a.do("events", resource).out
            expect(said == is_given_up, f"the log of {resource} is {'' if said else 'not '}given up", [a])
        print("    the log of the other resource was the longest, and made room for this one")
        the_lab.network.restore("a", "b")
        the_lab.wait_equal("r", 180)
        b.wait_state("second", "up-to-date", timeout=180)
        expect(b.do("events", "r").out.count("sync from") == 1, "r was synced, although its log was kept", [b])
        both = [open(host.base / "second", "rb").read() for host in (a, b)]
        expect(both[0] == both[1], "the second resource differs on B", [b])
        print("    B has both again: one by its log, the other by digests")


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
        fill(hog)
        write_all(a, 128, 2)
        print("    with the log disk full, 128 MiB went on through recycled segments")
        expect(a.replica("r")["state"] in ("up-to-date", "waiting-for-space"), f"state {a.replica('r')}", [a])
        hog.unlink()
        write_all(a, 16, 3)
        a.wait_state("r", "up-to-date")


def mount_data_disk(host):
    """A filesystem of its own for the data disk, so that it can be frozen: then nothing is written back."""
    image, folder = host.base / "data-image", host.base / "mnt" / "disk"
    with open(image, "wb") as file:
        file.truncate(VOLUME + 64 * MIB)
    run("mkfs.ext4", "-q", "-m", "0", image)
    folder.mkdir()
    run("mount", "-o", "loop", image, folder)
    host.disk = folder / "disk"
    return folder


def fill(path):
    """A file that takes all room of its filesystem."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MIB))
        except OSError:
            pass


def writes_wait_and_go_on(can):
    """Full log disk, no replica, and a data disk that takes nothing, so that nothing can be trimmed: writes wait, the
    state says so, and all of them go on as soon as somebody makes room."""
    with lab(can, fuse=False) as the_lab:
        a = the_lab.host("a")
        a.memory = "256M"  # more than fits into what is left of the log disk
        mount_log_disk(a, 128 * MIB)
        folder = mount_data_disk(a)
        a.flags = ["--log-reserve", "0"]
        a.start()
        a.do("create-cluster")
        a.do("create-resource", "r", make_disk(a))
        write_all(a, 8, 1)
        hog = a.logs / "hog"
        fill(hog)
        run("fsfreeze", "-f", folder)
        try:
            blocks, writer = write_in_thread(a, 40)
            found = a.wait_state("r", "waiting-for-space", timeout=60)
            count = len(blocks)
            print(f"    after {count} MiB: {found['state']}: {found['reason']}; what to do: {found['next_step']}")
            expect("waiting-for-space" in a.do("status").out, "status does not say it", [a])
            expect("room" in found["next_step"] and writer.is_alive() and count < 40, f"nothing waits: {found}", [a])
            hog.unlink()
            writer.join(60)
            expect(not writer.is_alive() and len(blocks) == 40, f"only {len(blocks)} of 40 MiB went on with room", [a])
        finally:
            run("fsfreeze", "-u", folder)
        a.wait_state("r", "up-to-date")
        a.kill()  # what was flushed is there even now
        a.start()
        with Nbd(a.device("r"), timeout=60) as nbd:
            for number, data in blocks.items():
                expect(nbd.read(number * MIB, MIB) == data, f"MiB {number} is not as it was written", [a])
        print("    room was made: all 40 MiB went on, and are there after kill -9")


def write_in_thread(host, count):
    """Writes and flushes; {MiB: data} of what was acknowledged, and the thread."""
    blocks = {}

    def work():
        with Nbd(host.device("r"), timeout=180) as nbd:
            for number in range(count):
                data = os.urandom(MIB)
                nbd.write(number * MIB, data)
                nbd.flush()
                blocks[number] = data

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return blocks, thread


def alone_with_a_log_disk(the_lab):
    a = the_lab.host("a")
    mount_log_disk(a, 96 * MIB)
    a.start()
    a.do("create-cluster")
    a.do("create-resource", "r", make_disk(a))
    write_all(a, 8, 1)
    return a


def an_unmounted_log_disk_is_no_empty_log(can):
    with lab(can, fuse=False) as the_lab:
        a = alone_with_a_log_disk(the_lab)
        expect(a.stop() == 0, "marsd did not stop cleanly", [a])
        run("umount", a.logs)
        a.start()
        replica = a.wait_state("r", "log-missing")
        print(f"    {replica['state']}: {replica.get('reason')}")
        print(f"    what to do: {replica.get('next_step')}")
        expect("mount" in replica.get("reason", "") + replica.get("next_step", ""), f"no next step: {replica}", [a])
        expect(not any(a.logs.iterdir()), "something was written where the log disk should be mounted", [a])
        run("mount", "-o", "loop", a.base / "log-image", a.logs)  # marsd looks again by itself
        a.wait_state("r", "up-to-date")
        with Nbd(a.device("r")) as nbd:
            expect(any(nbd.read(0, 4096)), "the data is not there", [a])


def a_read_only_log_disk_takes_nothing_and_loses_nothing(can):
    with lab(can, fuse=False) as the_lab:
        a = alone_with_a_log_disk(the_lab)
        with Nbd(a.device("r")) as nbd:
            before = nbd.read(0, MIB)
        expect(a.stop() == 0, "marsd did not stop cleanly", [a])
        run("mount", "-o", "remount,ro", a.logs)
        a.start()
        replica = a.wait_state("r", "log-missing")
        print(f"    {replica['state']}: {replica.get('reason')}")
        print(f"    what to do: {replica.get('next_step')}")
        expect("Read-only" in replica.get("reason", "") and replica.get("next_step"), f"no next step: {replica}", [a])
        run("mount", "-o", "remount,rw", a.logs)  # it is tried again by itself
        a.wait_state("r", "up-to-date")
        with Nbd(a.device("r")) as nbd:
            expect(nbd.read(0, MIB) == before, "the data is not there", [a])


run_cases([a_full_log_disk_costs_the_worst_replica_its_log, of_two_resources_the_longest_log_goes,
           with_nobody_left_to_drop_writes_wait, writes_wait_and_go_on, an_unmounted_log_disk_is_no_empty_log,
           a_read_only_log_disk_takes_nothing_and_loses_nothing])
