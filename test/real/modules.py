#!/usr/bin/env python3
"""A kernel without fuse or loop: marsd runs in a mount namespace where their devices are missing or are something else.
It says which and what to do; NBD works; and with the devices back the same data is on a block device."""

from cases import lab, run_cases
from common import expect
from leftovers import loops_below, mounts_below
from nbd import Nbd

SIZE = 64 << 20
# A /dev of its own, with what every program needs, and those of the devices in question that $1 names.
OTHER_DEV = """set -e; d=$1; keep=$2; shift 2
mount -t tmpfs -o mode=755 none "$d"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom "$d/"; mkdir "$d/shm"; mount --bind /dev/shm "$d/shm"
for one in $keep; do cp -a /dev/$one "$d/"; done
case $keep in *loop-control*) cp -a /dev/loop[0-9]* "$d/" 2>/dev/null || true ;; esac
mount --rbind "$d" /dev; exec "$@" """
OVER_MOUNTED = 'mount --bind "$1" "/dev/$2"; shift 2; exec "$@"'


def in_its_own_dev(script, *words):
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *map(str, words)]


def kernels(host):
    """(what is wrong, the words before marsd, what the reason must name)."""
    folder, plain = host.base / "other-dev", host.base / "a-plain-file"
    folder.mkdir()
    plain.write_text("")
    return [("no /dev/fuse", in_its_own_dev(OTHER_DEV, folder, "loop-control"), "FUSE"),
            ("no /dev/loop-control", in_its_own_dev(OTHER_DEV, folder, "fuse"), "/dev/loop-control"),
            ("neither", in_its_own_dev(OTHER_DEV, folder, ""), "FUSE"),
            ("/dev/fuse is another device", in_its_own_dev(OVER_MOUNTED, "/dev/null", "fuse"), "FUSE"),
            ("/dev/fuse is a plain file", in_its_own_dev(OVER_MOUNTED, plain, "fuse"), "FUSE"),
            ("/dev/loop-control is another device", in_its_own_dev(OVER_MOUNTED, "/dev/null", "loop-control"),
             "loop device")]


def write(host, stamp):
    with Nbd(host.device("r")) as nbd:
        nbd.write(0, stamp * 4096)
        nbd.flush()


def said(host):
    return [line for line in host.log_file.read_text().splitlines() if "no block device here" in line]


def missing(can):
    if not can["fuse"]:
        print("    NOT RUN: there is no FUSE that could be missing")
        return
    with lab(can) as the_lab:
        a = the_lab.host("a")
        with open(a.disk, "wb") as file:
            file.truncate(SIZE)
        a.front_end = "nbd"
        a.start()
        a.do("create-cluster")
        a.do("create-resource", "r", a.disk)
        write(a, b"0")
        a.stop()
        for number, (what, wrapper, named) in enumerate(kernels(a), 1):
            stamp = bytes([48 + number])
            a.wrapper, a.front_end = wrapper, "fuse"
            a.start()
            found = a.wait_state("r", "failed")
            print(f"    {what}, front-end fuse: {found['reason']}; what to do: {found.get('next_step')}")
            expect(named in found["reason"] and "module" in found["reason"] + found["next_step"],
                   f"{what}: the reason is {found['reason']}", [a])
            expect("nbd" in found.get("next_step", ""), f"{what}: the next step is {found}", [a])
            expect(a.stop() == 0, f"{what}: marsd did not stop cleanly", [a])
            a.front_end = "auto"
            before = len(said(a))
            a.start()
            device = a.device("r")
            expect(device.startswith("nbd"), f"{what}: the device is {device}", [a])
            expect(len(said(a)) > before and named in said(a)[-1], f"{what}: the log says {said(a)}", [a])
            with Nbd(device) as nbd:
                expect(nbd.read(0, 4096) == bytes([47 + number]) * 4096, f"{what}: the data is not there", [a])
            write(a, stamp)
            expect(a.stop() == 0, f"{what}: marsd did not stop cleanly", [a])
            expect(not loops_below(the_lab.base) and not mounts_below(the_lab.base), f"{what}: something was left", [a])
        a.wrapper, a.front_end = [], "auto"
        a.start()
        device = a.device("r")
        expect(device == str(a.devices / "r"), f"with everything back the device is {device}", [a])
        with open(device, "rb") as file:
            expect(file.read(4096) == stamp * 4096, "the data is not on the block device", [a])


run_cases([missing])
