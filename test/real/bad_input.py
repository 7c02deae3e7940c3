#!/usr/bin/env python3
"""What operators do wrong: each has its exit code, a sentence that names the thing, and a next step."""

import ctypes
import functools
import mmap
import os
import re
import socket
import subprocess
import time
from pathlib import Path

from cases import lab, run_cases
from common import expect, poll, run
from harness import DONE, FAILED, NOT_FOUND, NOT_RUNNING, REFUSED, USAGE
from nbd import Nbd

SIZE = 64 << 20
STEP = r"what to do: |did you mean|; (give|take|choose|make|leave|unmount|connect|see|name) |`marsadm "


def must_fail(host, code, words, *command, input=None):
    """The command fails with this code, its message has these words (regular expressions), and says what to do."""
    answer = host.adm(*command, input=input)
    what = f"`marsadm {' '.join(map(str, command))}` on {host.name}"
    expect(answer.code == code, f"{what} ended with {answer.code}, not {code}: {answer.text}", [host])
    for word in words:
        expect(re.search(word, answer.text), f'{what} does not say "{word}": {answer.text}', [host])
    # A wrong command line is told what would be right; anything else gets a step, on its own line or in the sentence.
    expect(code == USAGE or re.search(STEP, answer.text), f"{what} does not say what to do: {answer.text}", [host])
    expect(not answer.out, f"{what} prints its error on standard output: {answer.out}", [host])
    print(f"    {code}  {answer.message()}")


def make_file(path, size=SIZE, content=b""):
    with open(path, "wb") as file:
        file.write(content)
        file.truncate(size)
    return path


def with_fuse_device(case):
    """Host a, which serves r as a block device."""

    @functools.wraps(case)
    def of_lab(can):
        if not can["fuse"]:
            print("    NOT RUN: there is no FUSE")
            return
        with lab(can, tests_marsadm=True) as the_lab:
            a = the_lab.host("a")
            a.start()
            a.do("create-cluster")
            a.do("create-resource", "r", make_file(a.disk))
            case(a)

    return of_lab


def tokens(can):
    with lab(can, "abc", fuse=False, tests_marsadm=True) as the_lab:
        a, b, c = the_lab.hosts.values()
        for host in (a, b, c):
            host.start()
        must_fail(b, REFUSED, ["in no cluster", "create-cluster", "join-cluster"], "create-resource", "r", "/nowhere")
        a.do("create-cluster")
        c.do("create-cluster")
        token = a.do("invite").out
        must_fail(b, USAGE, ["token"], "join-cluster", "nonsense")
        must_fail(b, USAGE, ["cut off or mistyped", "whole line"], "join-cluster", token[:-5])
        swapped = token[:20] + ("a" if token[20] != "a" else "b") + token[21:]
        must_fail(b, USAGE, ["cut off or mistyped"], "join-cluster", swapped)
        must_fail(b, USAGE, ["standard input|empty"], "join-cluster", "-", input="\n")
        must_fail(c, REFUSED, ["member of cluster", "state-dir"], "join-cluster", token)
        must_fail(a, REFUSED, ["member of cluster"], "create-cluster")
        b.do("join-cluster", token)
        must_fail(b, REFUSED, ["member of cluster"], "join-cluster", c.do("invite").out)
        poll("a lists b", lambda: {host["name"] for host in a.status()["hosts"]} == {"a", "b"}, 10, 0.1, [a])


def a_token_is_for_one_host(can):
    with lab(can, "abc", fuse=False, tests_marsadm=True) as the_lab:
        a, b, c = the_lab.hosts.values()
        for host in (a, b, c):
            host.start()
        a.do("create-cluster")
        token = a.do("invite").out
        b.do("join-cluster", token)
        must_fail(c, REFUSED, ["token", "marsadm invite"], "join-cluster", token)
        expired = a.do("invite", "--expires", "1ms").out
        time.sleep(0.05)
        must_fail(c, REFUSED, ["token", "marsadm invite"], "join-cluster", expired)


def names_and_words(can):
    with lab(can, fuse=False, tests_marsadm=True) as the_lab:
        a = the_lab.host("a")
        must_fail(a, NOT_RUNNING, ["not running", "systemctl start marsd|--socket"], "status")
        a.start()
        a.do("create-cluster")
        disk = make_file(a.disk)
        for name in ("UPPER", "..", "a/b", "-x", "all", "none", "x" * 64):
            must_fail(a, USAGE, ["name"], "create-resource", "--", name, disk)
        must_fail(a, USAGE, ["path"], "create-resource", "r", "relative/path")
        must_fail(a, USAGE, ["size"], "create-resource", "r", disk, "--size", "12 elephants")
        must_fail(a, USAGE, ["statsu", "status"], "statsu")
        a.do("create-resource", "r", disk)
        must_fail(a, REFUSED, ["resource r already"], "create-resource", "r", make_file(a.base / "disk2"))
        must_fail(a, NOT_FOUND, ['no resource "s"'], "view", "s")
        must_fail(a, NOT_FOUND, ['no resource "s"'], "primary", "s")
        must_fail(a, USAGE, ["write-cache", "on|off"], "set", "r", "write-cache", "perhaps")
        must_fail(a, NOT_FOUND, ["write-cash", "write-cache"], "set", "r", "write-cash", "on")


def disks(can):
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = the_lab.hosts.values()
        the_lab.start_cluster()
        must_fail(a, REFUSED, ["no disk /nowhere", "existing block device or file"], "create-resource", "r", "/nowhere")
        must_fail(a, REFUSED, ["empty"], "create-resource", "r", make_file(a.base / "empty", 0))
        must_fail(a, REFUSED, ["has only", "--size"], "create-resource", "r", make_file(a.disk), "--size", "1GiB")
        must_fail(a, REFUSED, ["exists already", "--create-file"], "create-resource", "r", a.disk, "--size", "1MiB",
                  "--create-file")
        for path in ("/dev/null", a.base):
            must_fail(a, REFUSED, ["is no disk", "block device or a regular file"], "create-resource", "r", path)
        must_fail(a, FAILED, ["cannot be made", "smaller --size"], "create-resource", "r", a.base / "huge", "--size",
                  "1000T", "--create-file")
        expect(not (a.base / "huge").exists(), "what could not be made is there", [a])
        must_fail(a, REFUSED, ["no name of a client"], "issue-client", "b c", a.base / "client")
        a.do("create-resource", "r", a.disk)
        for path in ("/dev/null", a.base):
            must_fail(b, REFUSED, ["is no disk", "block device or a regular file"], "join-resource", "r", path)
        must_fail(a, REFUSED, ["disk of resource r already|in use"], "create-resource", "s", a.disk)
        os.link(a.disk, a.base / "other-name")
        must_fail(a, REFUSED, ["disk of resource r already|in use"], "create-resource", "s", a.base / "other-name")
        must_fail(b, REFUSED, ["no disk"], "join-resource", "r", "/nowhere")
        must_fail(b, REFUSED, ["too small", str(SIZE)], "join-resource", "r", make_file(b.base / "small", SIZE // 2))
        must_fail(b, NOT_FOUND, ['no resource "q"'], "join-resource", "q", make_file(b.disk))
        foreign = make_file(b.base / "foreign")
        run("mkfs.ext4", "-q", foreign)
        before = foreign.read_bytes()
        must_fail(b, REFUSED, ["ext", "--overwrite"], "join-resource", "r", foreign)
        expect(before == foreign.read_bytes(), "the foreign filesystem was touched")
        b.do("join-resource", "r", foreign, "--overwrite")
        the_lab.wait_equal("r")


def disks_in_use(can):
    with lab(can, fuse=False, tests_marsadm=True) as the_lab:
        a = the_lab.host("a")
        a.start()
        a.do("create-cluster")
        image = make_file(a.base / "image")
        run("mkfs.ext4", "-q", image)
        loop = run("losetup", "-f", "--show", image).stdout.strip()
        run("mount", loop, a.mount_point)
        must_fail(a, REFUSED, [f"{loop} is in use", "unmount"], "create-resource", "r", loop)
        run("umount", a.mount_point)
        a.do("create-resource", "r", loop)
        with Nbd(a.device("r")) as nbd:
            expect(nbd.read(0, 4096)[1024 + 56:][:2] == b"\x53\xef", "the filesystem on the disk was not adopted", [a])
            must_fail(a, REFUSED, ["in use"], "detach", "r")
            must_fail(a, REFUSED, ["in use"], "delete-resource", "r")
        a.stop()
        run("losetup", "-d", loop)


def disk_changed_while_detached(can):
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = the_lab.hosts.values()
        the_lab.start_cluster()
        a.do("create-resource", "r", make_file(a.disk))
        b.do("join-resource", "r", make_file(b.disk))
        with Nbd(a.device("r")) as nbd:
            nbd.write(0, b"x" * 4096)
            nbd.flush()
        the_lab.wait_equal("r")
        b.do("detach", "r")
        with open(b.disk, "r+b") as file:
            file.write(b"somebody else")
        answer = b.adm("attach", "r")
        expect(answer.code == FAILED and "disk-changed" in answer.text and "--accept-disk" in answer.text,
               f"attach of a changed disk: {answer.code} {answer.text}", [b])
        expect(b.replica("r")["state"] == "disk-changed", f"the state is {b.replica('r')}", [b])
        print(f"    {answer.code}  {answer.message()}")
        b.do("attach", "r", "--accept-disk")
        the_lab.wait_equal("r")
        expect(open(b.disk, "rb").read(4096) == b"x" * 4096, "the changed disk was not brought up to date", [b])


def another_disk_with_a_partition_at_the_same_path(can):
    """A loop device has no serial number and no WWN: only the partition table tells which disk it is."""
    if not can["fuse"]:
        print("    NOT RUN: needs loop devices")
        return
    def signature(text):
        with open(loop, "r+b", buffering=0) as file:
            file.seek(440)
            file.write(text)

    with lab(can, "a", fuse=False, tests_marsadm=True) as the_lab:
        a = the_lab.host("a")
        a.start()
        a.do("create-cluster")
        table = bytearray(4096)
        table[446 + 4] = 0x83
        table[510:512] = b"\x55\xaa"
        loop = run("losetup", "-f", "--show", make_file(a.disk, SIZE, table)).stdout.strip()
        signature(b"mine")
        run("addpart", loop, 1, 2048, (SIZE - (2 << 20)) // 512)
        partition = f"{loop}p1"
        a.do("create-resource", "r", partition)
        with Nbd(a.device("r")) as nbd:
            nbd.write(0, b"x" * 4096)
            nbd.flush()
        a.kill()
        signature(b"else")
        a.start()
        a.wait_state("r", "disk-changed")
        must_fail(a, FAILED, ["disk-changed", "656e696d-01", "65736c65-01", "--accept-disk"], "attach", "r")
        signature(b"mine")
        a.do("attach", "r")
        with Nbd(a.device("r")) as nbd:
            expect(nbd.read(0, 4096) == b"x" * 4096, "what was flushed is not there", [a])
        a.stop()
        run("delpart", loop, 1)
        run("losetup", "-d", loop)


@with_fuse_device
def a_device_that_somebody_has_mounted(a):
    run("mkfs.ext4", "-q", a.device("r"))
    run("mount", a.device("r"), a.mount_point)
    must_fail(a, REFUSED, ["in use", "unmount"], "secondary", "r")
    for command in ("detach", "down", "delete-resource"):
        must_fail(a, REFUSED, [f"in use here: mounted on {a.mount_point}", "unmount"], command, "r")
    # Whoever makes a mount namespace now keeps a copy of the mount, as containers and sandboxes do.
    other = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "60"])
    try:
        poll("there is a copy", lambda: str(a.mount_point) in Path(f"/proc/{other.pid}/mountinfo").read_text() and
             os.readlink(f"/proc/{other.pid}/ns/mnt") != os.readlink("/proc/self/ns/mnt"), 10)
        run("umount", a.mount_point)
        answer = a.adm("detach", "r")
        expect(answer.code == REFUSED, f"detach ended with {answer.code}: {answer.text}", [a])
        answer = a.adm("secondary", "r")
        expect(answer.code == REFUSED, f"secondary ended with {answer.code}: {answer.text}", [a])
        print(f"    {answer.code}  {answer.message()}")
    finally:
        other.kill()
        other.wait()
    a.do("secondary", "r")


@with_fuse_device
def a_disk_that_is_our_own_device(a):
    """Under whatever name: it would wait for marsd, which would wait for it."""
    device = Path(a.device("r"))
    loop = device.resolve()
    alias = a.base / "alias"
    alias.symlink_to(device)
    for path in (device, loop, f"{device.parent}//{device.name}", alias):
        must_fail(a, REFUSED, ["device of MARS itself"], "create-resource", "s", path)
    run("mkfs.ext4", "-q", device)
    run("mount", device, a.mount_point)
    file = make_file(a.mount_point / "file", SIZE // 4)
    must_fail(a, REFUSED, ["device of MARS itself, or lies on one"], "create-resource", "s", file)
    must_fail(a, REFUSED, ["device of MARS itself, or lies on one"], "create-resource", "s",
              a.mount_point / "other", "--size", SIZE // 4, "--create-file", "--dry-run")
    run("umount", a.mount_point)


@with_fuse_device
def a_device_with_a_user_that_no_list_shows(a):
    """A mapping keeps it open without a descriptor. What the kernel said of it is not forgotten at the next look."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    with open(a.device("r"), "r+b") as device:
        mapped = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, device.fileno(), 0)
    expect(mapped != ctypes.c_void_p(-1).value, "the device cannot be mapped", [a])
    must_fail(a, REFUSED, ["cannot be seen from here"], "secondary", "r")
    time.sleep(3)
    must_fail(a, REFUSED, ["in use here: open in a process that cannot be seen from here"], "delete-resource", "r")
    libc.munmap(ctypes.c_void_p(mapped), 4096)
    poll("it can be closed", lambda: a.adm("secondary", "r").code == DONE, 60, 1, [a])


def a_second_marsd_on_the_same_directories(can):
    with lab(can, tests_marsadm=True) as the_lab:
        a = the_lab.host("a")
        a.start()
        a.do("create-cluster")
        a.do("create-resource", "r", make_file(a.disk))
        device = a.device("r")
        if can["fuse"]:
            run("mkfs.ext4", "-q", device)
            run("mount", device, a.mount_point)
        second = run(*a.command(), check=False, timeout=30)
        expect(second.returncode == 1, f"a second marsd ended with {second.returncode}", [a])
        expect("another marsd" in second.stderr, f"a second marsd says: {second.stderr}", [a])
        print(f"    {second.returncode}  {next(l for l in second.stderr.splitlines() if 'another marsd' in l)}")
        if can["fuse"]:
            (a.mount_point / "file").write_text("the device still works")
            run("sync", "-f", a.mount_point)
            run("umount", a.mount_point)
        expect(a.adm("status").code == DONE, "the first marsd does not answer any more", [a])


def a_port_that_is_taken(can):
    with lab(can, "ab", fuse=False, netns=False, tests_marsadm=True) as the_lab:
        a, b = the_lab.hosts.values()
        def taken(host):
            address, port = the_lab.network.listen(host.name).rsplit(":", 1)
            return socket.create_server((address, int(port)))

        for host in (a, b):
            host.start()
        with taken(a):
            must_fail(a, REFUSED, ["cannot listen at", "in use", "--listen"], "create-cluster")
        expect(not list(a.state.glob("*.pem")) and not (a.state / "host.json").exists(),
               f"a create-cluster that was refused left {os.listdir(a.state)}", [a])
        a.do("create-cluster")
        token = a.do("invite").out
        with taken(b):
            must_fail(b, REFUSED, ["cannot listen at", "in use", "--listen"], "join-cluster", token)
        expect(len(a.status()["hosts"]) == 1, f"a lists who could not listen: {a.status()['hosts']}", [a, b])
        b.do("join-cluster", token)


def a_command_line_that_marsd_does_not_know(can):
    with lab(can, fuse=False, tests_marsadm=True) as the_lab:
        rows = [(["--sate-dir", "/x"], "state-dir"), (["--memory", "1M"], "less than 64"),
                (["--memory", "100000T"], "--memory 97.7 PiB: this machine has only"),
                (["--memory", "4T"], "--memory 4.0 TiB: this machine has only"), (["--name", "NO"], "name"),
                (["--listen", "nowhere"], "HOST:PORT"), (["--config", "/nowhere.toml"], "/nowhere.toml"),
                (["--front-end", "floppy"], "auto|fuse|nbd|none")]
        for flags, words in rows:
            done = run(the_lab.bin / "marsd", *flags, check=False, timeout=10)
            expect(done.returncode == 2 and words in done.stderr, f"marsd {flags}: {done.returncode} {done.stderr}")
            print(f"    {done.returncode}  {done.stderr.strip().splitlines()[0]}")


run_cases([tokens, a_token_is_for_one_host, names_and_words, disks, disks_in_use, disk_changed_while_detached,
           another_disk_with_a_partition_at_the_same_path, a_device_that_somebody_has_mounted,
           a_device_with_a_user_that_no_list_shows, a_disk_that_is_our_own_device,
           a_second_marsd_on_the_same_directories, a_port_that_is_taken,
           a_command_line_that_marsd_does_not_know])
