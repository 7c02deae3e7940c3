#!/usr/bin/env python3
"""Bits that rotted and files that were cut while marsd did not run: the answer is right (tear or damage, D10), it names
the file and the next step, and the other resource of the host lives on."""

import os
import random
import struct
from pathlib import Path

from cases import lab, run_cases
from common import expect
from filling import (PER_ROUND, ROUNDS, content, expect_content, expect_damage, expect_living, export, fill_and_kill,
                     one_host, unapplied, write_rounds)
from logfiles import BLOCK, SLOT, flip

PLACES = {"magic": lambda b: b.at + 3, "length": lambda b: b.at + 33, "own hash": lambda b: b.at + 20,
          "previous hash": lambda b: b.at + 115, "table": lambda b: b.at + 270,
          "payload": lambda b: b.at + b.length - 100}


def the_last_batch_is_torn(can):
    """Nothing says that it was durable: the log ends before it (a tear), and the resource opens."""
    with lab(can, netns=False, fuse=False) as the_lab:
        a = one_host(the_lab)
        for generation, (what, place) in enumerate(PLACES.items(), 1):
            files, written = fill_and_kill(a, generation)
            last = unapplied(files)[-1]
            flip(last.path, place(last), generation % 8)
            a.start()
            a.wait_state("r", "up-to-date")
            lost = range((ROUNDS - 1) * PER_ROUND, ROUNDS * PER_ROUND)
            with export(a, "r") as nbd:
                for number, wanted in written["r"].items():
                    seen = nbd.read(number * BLOCK, BLOCK)
                    before = content(generation - 1, number) if generation > 1 else bytes(BLOCK)
                    expect(seen == wanted or (number in lost and seen == before),
                           f"{what}: block {number} has {seen[:16]!r}", [a])
            expect_living(a, written["s"])
            print(f"    {what} of the last batch: a tear, opened")


def a_batch_in_the_middle_is_damaged(can):
    """Whole batches behind it say that it was durable: nothing opens, and nothing is thrown away. Mended, it opens."""
    with lab(can, netns=False, fuse=False) as the_lab:
        a = one_host(the_lab)
        for generation, (what, place) in enumerate(PLACES.items(), 1):
            files, written = fill_and_kill(a, generation)
            victim = unapplied(files)[2]
            flip(victim.path, place(victim), generation % 8)
            a.start()
            expect_damage(a, "log-damaged", victim.path)
            expect_living(a, written["s"])
            a.stop()
            flip(victim.path, place(victim), generation % 8)
            a.start()
            a.wait_state("r", "up-to-date")
            expect_content(a, "r", written["r"])
            print(f"    {what} of batch {victim.lsn}: damage; mended by hand, it opened with everything")


def any_bit_of_the_log(can):
    """Bits anywhere in what was written: in the last batch it is a tear, before that damage; never a wrong byte."""
    with lab(can, netns=False, fuse=False) as the_lab:
        a = one_host(the_lab)
        prng = random.Random(20140605)
        counts = {"tear": 0, "damage": 0}
        for generation in range(1, 13):
            files, written = fill_and_kill(a, generation)
            batches = unapplied(files)
            victim = prng.choice(batches[-2:] if generation % 3 else batches)
            at, bit = victim.at + prng.randrange(victim.length), prng.randrange(8)
            flip(victim.path, at, bit)
            a.start()
            if victim is batches[-1]:
                a.wait_state("r", "up-to-date")
                counts["tear"] += 1
                continue
            expect_damage(a, "log-damaged", victim.path)
            counts["damage"] += 1
            a.stop()
            flip(victim.path, at, bit)
            a.start()
            expect_content(a, "r", written["r"])
        expect_living(a, written["s"])
        print(f"    {counts}")
        expect(min(counts.values()) >= 3, f"the seed no longer shows both: {counts}")


def files_that_were_cut(can):
    """No crash makes a file shorter: that is damage wherever it was cut."""
    with lab(can, netns=False, fuse=False) as the_lab:
        a = one_host(the_lab)
        rows = [("cut in the last batch", -1), ("cut in a batch before that", 3), ("cut behind its header", None)]
        for generation, (what, number) in enumerate(rows, 1):
            files, written = fill_and_kill(a, generation)
            path, batches = unapplied(files)[0].path, unapplied(files)
            whole = path.read_bytes()
            os.truncate(path, BLOCK if number is None else batches[number].at + batches[number].length // 2)
            a.start()
            expect_damage(a, "log-damaged", path)
            expect_living(a, written["s"])
            a.stop()
            path.write_bytes(whole)
            a.start()
            expect_content(a, "r", written["r"])
            print(f"    {what}: damage; put back, it opened with everything")


def headers_of_segments(can):
    """The header can be made up from a whole first batch; without one the file is named as damaged."""
    with lab(can, netns=False, fuse=False) as the_lab:
        a = one_host(the_lab)
        for generation, at in enumerate((0, 9, 17, 40, 60, 70, 85, 90, 99, 105, 3000), 1):
            files, written = fill_and_kill(a, generation)
            segment = next(one for one in files.segments() if one.path == unapplied(files)[0].path)
            flip(segment.path, at, generation % 8)
            a.start()
            a.wait_state("r", "up-to-date")
            expect_content(a, "r", written["r"])
            expect(segment.path.name in a.do("events", "r").out, "no event names the damaged file", [a])
            expect_living(a, written["s"])
        print("    a bit of the header: the file is named in the events, nothing is missing")
        files, written = fill_and_kill(a, 50)
        segment = next(one for one in files.segments() if one.path == unapplied(files)[0].path)
        for at in (40, BLOCK + 40):
            flip(segment.path, at)
        a.start()
        expect_damage(a, "log-damaged", segment.path)
        expect_living(a, written["s"])


def state_blocks(can):
    """One slot is enough. Without any the replica is closed, and the host goes on without it."""
    with lab(can, netns=False, fuse=False) as the_lab:
        a = one_host(the_lab)
        prng = random.Random(20140606)
        for generation in range(1, 9):
            files, written = fill_and_kill(a, generation)
            slot = files.state().slot if generation % 2 else 1 - files.state().slot
            flip(files.state_path, slot * SLOT + prng.choice((0, 9, 17, 33, 40, 60, 129, 145, 161, 505, 700, 60000)))
            a.start()
            a.wait_state("r", "up-to-date")
            expect_content(a, "r", written["r"])
            expect_living(a, written["s"])
        print("    one slot of the state block damaged, eight times: opened with everything")
        for what, spoil in (("both slots", lambda path: [flip(path, slot * SLOT + 150) for slot in (0, 1)]),
                            ("cut", lambda path: os.truncate(path, SLOT)), ("removed", os.unlink)):
            files, written = fill_and_kill(a, 20)
            whole = files.state_path.read_bytes()
            spoil(files.state_path)
            a.start()
            expect_damage(a, "failed", files.state_path)
            expect_living(a, written["s"])
            print(f"    {what}: the replica is closed")
            a.stop()
            files.state_path.write_bytes(whole)
            a.start()
            expect_content(a, "r", written["r"])


def pools(can):
    """Acknowledged writes that are in the pool alone: without them nothing opens until the loss is accepted (D6)."""
    with lab(can, netns=False, fuse=False) as the_lab:
        a = one_host(the_lab)
        a.do("set", "r", "flush-interval", "10s")
        for generation, what in enumerate(("nothing", "a record", "a page", "the header", "cut", "removed"), 1):
            pool, written, pooled = fill_and_kill_with_pool(a, generation)
            spoil_pool(pool, what, pooled)
            a.start()
            for name in ("r", "s") if what != "nothing" else ():
                found = a.wait_state(name, "writes-lost")
                expect("--accept-loss" in found["next_step"], f"no next step: {found}", [a])
                expect(not found.get("is_device_open"), "its device is open", [a])
                a.do("attach", name, "--accept-loss")
            if what != "nothing":
                print(f"    {what}: {found['reason']}; what to do: {found['next_step']}")
            a.wait_state("r", "up-to-date")
            expect_content(a, "r", written["r"])
            expect_content(a, "r", pooled if what == "nothing" else {})
            expect_living(a, written["s"])


def fill_and_kill_with_pool(a, generation):
    """What was written last is in the pool alone. Returns the path of the pool too."""
    written = {name: write_rounds(a, name, generation=generation) for name in ("s", "r")}
    pooled = {number: content(generation, number) for number in range(200, 260)}
    maps = Path(f"/proc/{a.process.pid}/maps").read_text()
    pool = Path(next(line.split()[-1] for line in maps.splitlines() if "/dev/shm/mars-" in line))
    with export(a, "r") as nbd:
        for number, wanted in pooled.items():
            nbd.write(number * BLOCK, wanted)
        a.kill()
    return pool, written, pooled


def spoil_pool(pool, what, pooled):
    """Page and slot: where the last of the pooled writes lies."""
    whole = pool.read_bytes()
    page_bytes, _, slots = struct.unpack_from("<III", whole, 64)
    page_area = -(-(BLOCK + slots * 192) // page_bytes) * page_bytes
    wanted = pooled[max(pooled)]
    page = whole.index(wanted, page_area)
    taken = [at for at in range(BLOCK, BLOCK + slots * 192, 192) if whole[at:at + 8] == b"MARSPRC1" and
             page_area + struct.unpack_from("<I", whole, at + 120)[0] * page_bytes == page]
    expect(len(taken) == 1, f"{len(taken)} records of the pool have the last write: this shows nothing")
    if what == "cut":
        os.truncate(pool, page)
    elif what == "removed":
        pool.unlink()
    elif what != "nothing":
        flip(pool, {"a record": taken[0] + 100, "a page": page + 700, "the header": 70}[what])


run_cases([the_last_batch_is_torn, a_batch_in_the_middle_is_damaged, any_bit_of_the_log, files_that_were_cut,
           headers_of_segments, state_blocks, pools])
