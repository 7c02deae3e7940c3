#!/usr/bin/env python3
"""kill -9 at awkward moments: nothing that was acknowledged is lost, nothing stays stuck, the next start sweeps."""

import errno
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

from cases import lab, run_cases
from common import check_ext4, expect, poll, run
from harness import DONE
from leftovers import loops_below, mounts_below, processes_of
from nbd import Nbd

SIZE = 512 << 20
BLOCK = 4096


def make_resource(host, size=SIZE):
    host.start()
    host.do("create-cluster")
    with open(host.disk, "wb") as file:
        file.truncate(size)
    host.do("create-resource", "r", host.disk)
    return host.device("r")


def every_acknowledged_write_survives_marsd(can):
    """Plain writes over NBD, never flushed, marsd killed in the middle: what was acknowledged is there (P2, D6)."""
    with lab(can, fuse=False) as the_lab:
        a = the_lab.host("a")
        make_resource(a)
        prng = random.Random(20140601)
        written = {}
        for round_number in range(4):
            doubtful = write_until_killed(a, prng, written, 0.4 + 0.3 * round_number)
            a.start()
            with Nbd(a.device("r")) as nbd:
                for at, stamp in written.items():
                    block = nbd.read(at * BLOCK, BLOCK)
                    seen = block[:8]
                    expect(block == seen * (BLOCK // 8), f"block {at} is a mixture", [a])
                    allowed = {stamp} | ({doubtful[1]} if doubtful and doubtful[0] == at else set())
                    expect(seen in allowed, f"block {at} has {seen}, acknowledged was {stamp}", [a])
                    written[at] = seen
            print(f"    killed {round_number + 1} times, {len(written)} acknowledged blocks are as they were written")
        expect(len(written) > 100, f"only {len(written)} blocks were written: this shows nothing")


def write_until_killed(host, prng, written, seconds):
    """Returns the write that was not acknowledged when marsd died: it may be there or not."""
    timer = threading.Timer(seconds, host.kill)
    with Nbd(host.device("r"), timeout=10) as nbd:
        timer.start()
        while True:
            at, stamp = prng.randrange(4096), prng.randbytes(8)
            try:
                nbd.write(at * BLOCK, stamp * (BLOCK // 8))
            except (ConnectionError, TimeoutError):
                timer.join()
                return at, stamp
            written[at] = stamp


def marsd_killed_under_a_mounted_filesystem(can):
    with lab(can) as the_lab:
        a = the_lab.host("a")
        device = make_resource(a)
        run("mkfs.ext4", "-q", device)
        run("mount", device, a.mount_point)
        for round_number in range(3):
            synced = {}
            ended, found = write_files(a.mount_point, synced, f"round-{round_number}")
            poll("some files are fsynced", lambda: len(synced) > 5, 30, hosts=[a])
            a.kill()
            ended.join(15)
            expect(not ended.is_alive(), "a writer hangs although marsd is dead", [a])
            expect(len(found) == 1, f"a writer has ended {len(found)} times", [a])
            expect(found[0].errno in (errno.EIO, errno.EROFS, errno.ESHUTDOWN), f"a writer got {found[0]}", [a])
            poll("the keeper has ended", lambda: not keepers(the_lab), 10, hosts=[a])
            if round_number == 1:  # the new marsd starts beside the dead device, which is still mounted
                a.start()
            run("umount", a.mount_point)
            poll("the dead loop device is gone", lambda: len(loops_below(the_lab.base)) <= (round_number == 1), 10,
                 hosts=[a])
            if round_number != 1:
                a.start()
            device = a.device("r")
            check_ext4(device, after_crash=True)
            run("mount", device, a.mount_point)
            for name, data in synced.items():
                expect((a.mount_point / name).read_bytes() == data, f"{name} was fsynced and is not there", [a])
            print(f"    round {round_number + 1}: {len(synced)} fsynced files are there, fsck clean")
        run("umount", a.mount_point)
        expect(a.stop() == 0, "marsd did not stop cleanly", [a])
        expect(not loops_below(the_lab.base) and not mounts_below(the_lab.base), "marsd left devices or mounts", [a])


def keepers(the_lab):
    found = []
    for pid in processes_of(the_lab.base):
        try:
            if b"mars-keeper" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                found.append(pid)
        except OSError:
            continue
    return found


def write_files(folder, synced, prefix):
    """A thread that writes and fsyncs files until the device fails, and the list that gets the error then."""
    found = []

    def work():
        for number in range(100000):
            name, data = f"{prefix}-{number}", os.urandom(20000)
            try:
                with open(folder / name, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                directory = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(directory)
                finally:
                    os.close(directory)
            except OSError as error:
                found.append(error)
                return
            synced[name] = data

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread, found


def the_keeper_killed_in_use(can):
    """marsd starts another one, which adopts the device: its users notice nothing."""
    with lab(can) as the_lab:
        a = the_lab.host("a")
        device = make_resource(a)
        run("mkfs.ext4", "-q", device)
        run("mount", device, a.mount_point)
        first = poll("there is a keeper", lambda: keepers(the_lab), 10, hosts=[a])
        os.kill(first[0], signal.SIGKILL)
        poll("there is another keeper", lambda: (k := keepers(the_lab)) and k != first, 15, hosts=[a])
        (a.mount_point / "file").write_bytes(b"still here")
        run("sync", "-f", a.mount_point)
        run("umount", a.mount_point)
        expect(a.stop() == 0, "marsd did not stop cleanly", [a])


def the_keeper_of_an_unused_device_killed(can):
    """The device goes with it, and comes back by itself; marsd lives, and a link is never left to nowhere."""
    with lab(can) as the_lab:
        a = the_lab.host("a")
        device = make_resource(a)
        run("mkfs.ext4", "-q", device)
        for _ in range(3):
            first = poll("there is a keeper", lambda: keepers(the_lab), 10, hosts=[a])[0]
            os.kill(first, signal.SIGKILL)
            poll("there is another keeper", lambda: (k := keepers(the_lab)) and first not in k, 20, hosts=[a])
            poll("the device can be read again", lambda: can_be_read(the_lab, a.devices / "r"), 30, hosts=[a])
            expect(a.is_running(), "marsd has died with its keeper", [a])
            check_ext4(a.device("r"))
        expect(a.stop() == 0, "marsd did not stop cleanly", [a])


def can_be_read(the_lab, link):
    """It is the only device of the lab, has its size, and gives bytes that nobody remembers."""
    if len(loops_below(the_lab.base)) != 1 or not link.exists():
        return False
    size = run("blockdev", "--getsize64", link, check=False)
    first = run("dd", f"if={link}", "of=/dev/null", f"bs={BLOCK}", "count=1", "iflag=direct", check=False)
    return size.stdout.strip() == str(SIZE) and first.returncode == 0


def both_killed(can):
    with lab(can) as the_lab:
        a = the_lab.host("a")
        for order in ("marsd first", "keeper first"):
            device = make_resource(a) if order == "marsd first" else a.device("r")
            run("mkfs.ext4", "-q", "-F", device)
            run("mount", device, a.mount_point)
            keeper = poll("there is a keeper", lambda: keepers(the_lab), 10, hosts=[a])[0]
            if order == "marsd first":
                a.kill()
            try:
                os.kill(keeper, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was faster
            if order == "keeper first":
                a.kill()
            run("umount", a.mount_point)
            a.start()
            device = a.device("r")
            check_ext4(device, after_crash=True)
            run("mount", device, a.mount_point)
            run("umount", a.mount_point)
            print(f"    {order}: unmounted, swept, opened again")


def stopping_while_in_use(can):
    """SIGTERM with a mounted device: everything is drained, exit 1, nothing hangs, and the data is there afterwards."""
    with lab(can) as the_lab:
        a = the_lab.host("a")
        a.flags = ["--stop-wait", "1s"]
        device = make_resource(a)
        run("mkfs.ext4", "-q", device)
        run("mount", device, a.mount_point)
        (a.mount_point / "file").write_bytes(b"before the end")
        run("sync", "-f", a.mount_point)
        code = a.stop(60)
        expect(code == 1, f"marsd ended with {code} although its device was mounted", [a])
        run("umount", a.mount_point)
        a.start()
        run("mount", a.device("r"), a.mount_point)
        expect((a.mount_point / "file").read_bytes() == b"before the end", "the file is not there", [a])
        run("umount", a.mount_point)


class HangingDisk:
    """A loop device whose server can hold every request: a data disk that does not answer."""

    def __init__(self, the_lab, base):
        base.mkdir()
        self.process = subprocess.Popen([the_lab.bin / "fuse_demo", base, the_lab.bin / "mars-keeper"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self.path = self.say("open").removeprefix("OPEN ")

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        self.process.wait(30)


def aborted_by_hand_above_a_disk_that_hangs(can):
    """What the operator does to free an application: its users get EIO, commands are answered, and when the disk
    answers the device is back."""
    with lab(can) as the_lab:
        a = the_lab.host("a")
        disk = HangingDisk(the_lab, a.base / "below")
        a.start()
        a.do("create-cluster")
        a.do("create-resource", "r", disk.path)
        device = a.device("r")
        expect(disk.say("hold") == "HOLDING", "the disk does not hold", [a])
        reader = subprocess.Popen(["dd", f"if={device}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"],
                                  stderr=subprocess.PIPE, text=True)
        poll("a read hangs", lambda: disk.say("held") != "HELD 0", 10, hosts=[a])
        run("umount", "-f", a.run_dir / "fuse" / "r", check=False)
        said = reader.communicate(timeout=15)[1]
        expect("Input/output error" in said, f"the reader ended with: {said}", [a])

        def waiting():
            replica = a.replica("r")
            return "still waits" in replica.get("reason", "") and replica

        shown = poll("it is said why there is no device", waiting, 20, hosts=[a])
        expect(not shown.get("device") and not shown.get("is_device_open"),
               f"a device is shown that is not open: {shown}", [a])
        print(f"    {shown['reason']}")
        answer = a.adm("detach", "r", timeout=40)
        expect(answer.code != DONE and "still waits for" in answer.text, f"detach: {answer.code} {answer.text}", [a])
        print(f"    {answer.code}  {answer.message()}")
        disk.say("release")
        a.do("attach", "r")
        with open(a.device("r"), "rb") as back:
            expect(len(back.read(4096)) == 4096, "the device cannot be read", [a])
        a.stop()
        disk.end()


CASES = [every_acknowledged_write_survives_marsd, marsd_killed_under_a_mounted_filesystem, the_keeper_killed_in_use,
         the_keeper_of_an_unused_device_killed, both_killed, stopping_while_in_use,
         aborted_by_hand_above_a_disk_that_hangs]
run_cases(CASES)
