"""What the tests of damage begin with: hosts with two resources whose logs are longer than what is applied."""

import struct

from common import expect
from logfiles import BLOCK, Files
from nbd import Nbd

SIZE = 16 << 20
ROUNDS = 24
PER_ROUND = 4


def make_disk(host, name):
    path = host.base / name
    with open(path, "wb") as file:
        file.truncate(SIZE)
    return path


def content(generation, number):
    return struct.pack("<QQ", generation, number) * (BLOCK // 16)


def export(host, resource):
    """A client of its NBD export."""
    return Nbd(host.device(resource), timeout=20)


def write_rounds(host, resource, rounds=ROUNDS, generation=1):
    """Each round writes some blocks and flushes: a batch of its own. Returns {block: content}."""
    written = {}
    with export(host, resource) as nbd:
        for number in range(rounds * PER_ROUND):
            written[number] = content(generation, number)
            nbd.write(number * BLOCK, written[number])
            if number % PER_ROUND == PER_ROUND - 1:
                nbd.flush()
    return written


def expect_content(host, resource, written, doubtful=()):
    """What was written is there; of the blocks in `doubtful` either that or nothing."""
    with export(host, resource) as nbd:
        for number, wanted in written.items():
            seen = nbd.read(number * BLOCK, BLOCK)
            allowed = [wanted, bytes(BLOCK)] if number in doubtful else [wanted]
            expect(seen in allowed, f"block {number} of {resource} has {seen[:16]!r}, not {wanted[:16]!r}", [host])


def one_host(the_lab):
    """A with resources r and s. Both have a log that is longer than what is applied; A is dead."""
    a = the_lab.host("a")
    a.start()
    a.do("create-cluster")
    for name in ("r", "s"):
        a.do("create-resource", name, make_disk(a, name))
    return a


def fill_and_kill(a, generation=1):
    """Returns the files of r, and what was written to r and s."""
    files = Files(a, "r")
    hold_writes_back(a)
    written = {name: write_rounds(a, name, generation=generation) for name in ("s", "r")}
    a.kill()
    expect(len(unapplied(files)) > 6, "everything was applied before marsd was killed: this shows nothing", [a])
    return files, written


def hold_writes_back(host):
    """From now on nothing of r reaches the disk for so long, however slow this machine is."""
    host.do("insert", "r", "delay", "--at", "data", "--set", "shortest=60s,longest=60s")


def expect_living(host, written):
    """The resource beside the damaged one."""
    host.wait_state("s", "up-to-date")
    expect_content(host, "s", written)


def expect_damage(host, state, path, resource="r"):
    """It says so, and names the file and what to do; nothing is open."""
    found = host.wait_state(resource, state)
    print(f"    {found['state']}: {found.get('reason')}; what to do: {found.get('next_step')}")
    expect(str(path) in found.get("reason", ""), f"the file {path} is not named: {found.get('reason')}", [host])
    expect(found.get("next_step"), f"there is no next step: {found}", [host])
    expect(not found.get("is_device_open"), "its device is open", [host])


def unapplied(files):
    """The batches of writes that are not applied yet."""
    applied = files.state().applied
    return [batch for batch in files.batches() if batch.lsn >= applied and batch.operation == 1]
