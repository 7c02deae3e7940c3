#!/usr/bin/env python3
"""kill -9 of marsd, of its keeper and of both at each step of a device's life: mount, spawn, configure, link, serve,
clear, unlink, unmount. strace holds a process in the system call that is the step, there the victims are killed, and
then strace is, so that whoever is left goes on.
Nothing stays stuck, the next start sweeps, and what was fsynced before is on the device."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from cases import lab, run_cases
from common import check_ext4, expect, poll, run
from harness import DONE
from leftovers import loops_below, mounts_below, processes_of, send

SIZE = 128 << 20
HOLD = 60_000_000  # microseconds; it ends when strace is killed
LOOP_CONFIGURE, LOOP_CLR_FD = 0x4C0A, 0x4C01
KEEPER = """#!/bin/sh
[ -e {base}/hold-keeper ] || exec {keeper} "$@"
exec strace -D -qq -o {base}/strace-keeper $(cat {base}/hold-keeper) {keeper} "$@"
"""


class Step:
    """Whose it is, what strace holds, and how the held process is known: number of the call (x86_64), request."""

    def __init__(self, owner, calls, number, when="", path=None, request=None, closes=False):
        self.owner, self.calls, self.number, self.request, self.closes = owner, calls, number, request, closes
        self.path = path
        self.when = when

    def words(self, host):
        places = {"link": host.devices / "r", "mount": host.run_dir / "fuse" / "r"}
        only = ["-P", str(places[self.path])] if self.path else []
        return only + ["-e", f"trace={self.calls}", "-e",
                                              f"inject={self.calls}:delay_enter={HOLD}{self.when}"]


STEPS = {"mount": Step("marsd", "mount", 165), "spawn": Step("keeper", "openat", 257, path="mount"),
         "configure": Step("keeper", "ioctl", 16, ":when=2", request=LOOP_CONFIGURE),
         "link": Step("marsd", "symlink", 88),
         "clear": Step("keeper", "ioctl", 16, ":when=4+", request=LOOP_CLR_FD, closes=True),
         "unlink": Step("keeper", "unlink", 87, path="link", closes=True),
         "unmount": Step("marsd", "umount2", 166, closes=True)}


def set_up(the_lab):
    """Programs of its own, so that the keeper can be held as well; a filesystem with a file that was fsynced."""
    own = the_lab.base / "bin"
    own.mkdir()
    for name in ("marsd", "marsadm"):
        shutil.copy2(the_lab.bin / name, own / name)
    (own / "mars-keeper").write_text(KEEPER.format(base=the_lab.base, keeper=the_lab.bin / "mars-keeper"))
    (own / "mars-keeper").chmod(0o755)
    the_lab.keeper = the_lab.bin / "mars-keeper"
    the_lab.bin = own
    a = the_lab.host("a")
    a.start()
    a.do("create-cluster")
    with open(a.disk, "wb") as file:
        file.truncate(SIZE)
    a.do("create-resource", "r", a.disk)
    run("mkfs.ext4", "-q", a.device("r"))
    write_file(a, "0")
    return a


def write_file(a, text):
    run("mount", a.device("r"), a.mount_point)
    (a.mount_point / "file").write_text(text)
    run("sync", "-f", a.mount_point)
    run("umount", a.mount_point)


def keepers(the_lab):
    """Those of this lab; strace holds none of them by its own name."""
    return [pid for pid in processes_of(the_lab.base) if program_of(pid) == str(the_lab.keeper)]


def program_of(pid):
    """Empty: it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def is_held(pid, step):
    """One of its threads stands in that system call."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return False
    for task in tasks:
        try:
            state = (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
            words = (task / "syscall").read_text().split()
        except OSError:
            continue
        if state == "t" and words[0] == str(step.number):
            if step.request is None or int(words[2], 16) == step.request:
                return True
    return False


def hold(the_lab, a, step):
    """From the next start of that program on. Without --seccomp-bpf, which fails those calls when strace is gone."""
    if step.owner == "marsd":
        a.wrapper = ["strace", "-D", "-f", "-qq", "-o", str(the_lab.base / "strace-marsd")] + \
            step.words(a)
    else:
        (the_lab.base / "hold-keeper").write_text(" ".join(step.words(a)))


def let_go(the_lab, a):
    a.wrapper = []
    (the_lab.base / "hold-keeper").unlink(missing_ok=True)


def end_hold(the_lab):
    """The tracee of a tracer that dies goes on."""
    def tracers():
        return [pid for pid in processes_of(the_lab.base) if program_of(pid).endswith("/strace")]

    send(tracers(), signal.SIGKILL)
    poll("strace is gone", lambda: not tracers(), 20)


def kill(the_lab, a, victims):
    """Returns the keepers that were killed. Whom strace holds is waited for when strace is gone."""
    killed = keepers(the_lab) if "keeper" in victims else []
    send(killed, signal.SIGKILL)
    if "marsd" in victims:
        send([a.process.pid], signal.SIGKILL)
    end_hold(the_lab)
    if "marsd" in victims:
        a.kill()
    return killed


def reach(the_lab, a, step):
    """marsd runs, and the step is held."""
    hold(the_lab, a, step)
    a.start()
    command = None
    if step.closes:
        a.device("r")
        command = subprocess.Popen([str(the_lab.bin / "marsadm"), "--socket", str(a.socket), "secondary", "r"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    poll("the step is reached", lambda: any(
        is_held(pid, step) for pid in ([a.process.pid] if step.owner == "marsd" else keepers(the_lab))), 30, 0.01, [a])
    return command


def expect_swept(the_lab, a, number, killed):
    """The next start, and all is as it should be."""
    if not a.is_running():
        poll("the keeper has ended", lambda: not keepers(the_lab), 20, hosts=[a])
        a.start()
    poll("it can be primary", lambda: a.adm("primary", "r").code == DONE, 30, 0.5, [a])  # a close was under way
    device = a.devices / "r"

    def is_new():
        living = keepers(the_lab)
        return len(living) == 1 and not set(living) & set(killed) and device.exists() and a.device("r") and \
            (len(loops_below(the_lab.base)), len(mounts_below(the_lab.base))) == (1, 1)

    poll("one keeper, one loop device and one FUSE mount are there", is_new, 30, hosts=[a])
    check_ext4(device, after_crash=True)
    run("mount", device, a.mount_point)
    seen = (a.mount_point / "file").read_text()
    run("umount", a.mount_point)
    expect(seen == str(number), f"the file has {seen}, not {number}", [a])
    write_file(a, str(number + 1))


def at_each_step(can):
    if not can["fuse"]:
        print("    NOT RUN: there is no FUSE")
        return
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"  # it does not work under strace
    with lab(can) as the_lab:
        a = set_up(the_lab)
        number = 0
        for name, step in STEPS.items():
            for victims in (["marsd"], ["keeper"], ["marsd", "keeper"]):
                if "keeper" in victims and name in ("mount", "unmount"):
                    continue  # it does not live yet, or any more
                expect(a.stop() == 0, "marsd did not stop cleanly", [a])
                command = reach(the_lab, a, step)
                let_go(the_lab, a)
                killed = kill(the_lab, a, victims)
                if command:
                    command.wait(60)
                expect_swept(the_lab, a, number, killed)
                number += 1
                print(f"    {name}: {' and '.join(victims)} killed; swept, and everything is there", flush=True)
        expect(a.stop() == 0, "marsd did not stop cleanly", [a])
        expect(not loops_below(the_lab.base) and not mounts_below(the_lab.base), "something was left", [a])


run_cases([at_each_step])
