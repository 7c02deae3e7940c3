"""Removes what a lab leaves behind: processes, mounts, loop devices, namespaces and folders.

Only what lies below the lab's own folder or carries its own label is touched. A lab belongs to a process; when that is
gone, the next start sweeps it. One that was kept on purpose stays until the next ./demo.
"""

import os
import re
import shutil
import signal
import time
from pathlib import Path

from common import run

ROOT = Path("/var/tmp")
PREFIX = "marslab"


def start_time(pid):
    """When a process began, in ticks since boot: with the pid it is the identity of a process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def own(base):
    """Says that the folder belongs to this process."""
    (base / "owner").write_text(f"{os.getpid()} {start_time(os.getpid())}")


def is_owned(base):
    """A folder that is just being made or taken away has no such file: then the pid in its name counts."""
    try:
        pid, began = (base / "owner").read_text().split()
        return start_time(int(pid)) == int(began)
    except (OSError, ValueError):
        pid = base.name.rsplit("-", 1)[1]
        return pid.isdigit() and start_time(pid) is not None


def processes_of(base):
    """Those that name the folder in their arguments; never this one or its parents."""
    spared, pid = set(), os.getpid()
    while pid > 1:
        spared.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            break
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        try:
            if f"{base}/".encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def wait_gone(base, seconds):
    deadline = time.monotonic() + seconds
    while processes_of(base) and time.monotonic() < deadline:
        time.sleep(0.05)
    return processes_of(base)


def mounts_below(base):
    paths = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        path = re.sub(r"\\(\d{3})", lambda m: chr(int(m.group(1), 8)), line.split()[4])
        if path.startswith(f"{base}/"):
            paths.append(path)
    return paths[::-1]  # the last mounted first


def backing_files(base):
    """{loop device: its file below `base`}."""
    found = {}
    for loop in Path("/sys/block").glob("loop*"):
        try:
            file = (loop / "loop/backing_file").read_text()
        except OSError:
            continue
        if file.startswith(f"{base}/"):
            found[f"/dev/{loop.name}"] = file
    return found


def loops_below(base):
    return list(backing_files(base))


def pool_of(run_dir):
    """Where marsd keeps acknowledged writes when the run directory is no tmpfs (io/linux/pool_memory.cc)."""
    fingerprint = 0xcbf29ce484222325
    for byte in os.fsencode(os.path.realpath(run_dir)):
        fingerprint = (fingerprint ^ byte) * 0x100000001b3 % (1 << 64)
    return Path(f"/dev/shm/mars-{os.geteuid()}-{fingerprint:016x}")


def pools_of(base):
    return [pool_of(run_dir) for run_dir in base.glob("*/run")]


def scratch_of(base):
    """A folder of the lab in memory: many small files cost a disk that discards what is freed a minute to remove."""
    return Path("/dev/shm", base.name)


def sweep(base):
    """Takes everything of one lab away. Returns what is still there, which should be nothing."""
    for path in mounts_below(base):
        if "/mnt/" in path:
            run("umount", path, check=False)
    send(processes_of(base), signal.SIGTERM)
    if wait_gone(base, 5):
        send(processes_of(base), signal.SIGKILL)
    wait_gone(base, 5)
    for path in mounts_below(base):
        run("umount", "-f", "-l", path, check=False)
    for loop in loops_below(base):
        run("losetup", "-d", loop, check=False)
    label = base.name
    if Path("/var/run/netns").is_dir():
        for name in Path("/var/run/netns").iterdir():
            if name.name.startswith(f"{label}-"):
                run("ip", "netns", "del", name.name, check=False)
    for pool in pools_of(base):
        shutil.rmtree(pool, ignore_errors=True)
    shutil.rmtree(scratch_of(base), ignore_errors=True)
    wait_for_images(base)
    shutil.rmtree(base, ignore_errors=True)
    left = [f"process {pid}" for pid in processes_of(base)] + [f"mount {path}" for path in mounts_below(base)]
    return left + [f"loop device {loop}" for loop in loops_below(base)] + ([str(base)] if base.exists() else [])


def wait_for_images(base):
    """A process that just ends shows no arguments any more and has its files still. A file system that a test had
    mounted from an image ends behind it, and its loop device behind that; those of marsd lie in a run directory."""
    deadline = time.monotonic() + 60
    while any("/run/" not in file for file in backing_files(base).values()) and time.monotonic() < deadline:
        time.sleep(0.1)


def sweep_all(say=print, with_kept=False):
    """What labs of processes that are gone left behind."""
    for base in sorted(ROOT.glob(f"{PREFIX}-*")):
        if is_owned(base) or ((base / "kept").exists() and not with_kept):
            continue
        say(f"removing what an earlier run left: {base}")
        for thing in sweep(base):
            say(f"  cannot remove {thing}")
