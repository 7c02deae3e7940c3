#!/usr/bin/env python3
"""The same of a host that has a replica elsewhere: what rotted comes back from there, and after the next step that the
refusal names both hosts are equal."""

import os

from cases import lab, run_cases
from common import expect, poll
from filling import expect_content, expect_damage, fill_and_kill, hold_writes_back, make_disk, unapplied, write_rounds
from logfiles import BLOCK, SLOT, Files, flip


def two_hosts(the_lab):
    a, b = the_lab.hosts.values()
    the_lab.start_cluster()
    for name in ("r", "s"):
        a.do("create-resource", name, make_disk(a, name))
        b.do("join-resource", name, make_disk(b, name))
        the_lab.wait_equal(name)
    return a, b


def expect_equal(the_lab, written):
    """Both hosts have it, byte for byte."""
    a, b = the_lab.hosts.values()
    the_lab.wait_equal("r")
    expect_content(a, "r", written)
    a.do("secondary", "r")  # so that nothing is only in memory
    the_lab.wait_equal("r")
    expect((a.base / "r").read_bytes() == (b.base / "r").read_bytes(), "the disks of A and B differ", [a, b])
    a.do("primary", "r")


SPOILT = {"a batch in the middle": lambda segment: flip(segment.path, segment.batches[4].at + 300),
          "the last batch": lambda segment: flip(segment.path, segment.batches[-1].at + 300),
          "a header and its first batch": lambda segment: [flip(segment.path, at) for at in (60, BLOCK + 60)],
          "a file cut in the middle": lambda segment: os.truncate(segment.path, segment.batches[5].at + 100),
          "a file removed": lambda segment: segment.path.unlink()}


def said(host):
    """Its replica of r, once it has looked at its files."""
    found = host.replica("r")
    return found if found.get("state") not in ("opening", "detached", None) else None


def replicas_that_are_damaged(can):
    """B has more log than it has applied, and it rots: B fetches it again by itself as soon as A is there."""
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = two_hosts(the_lab)
        for generation, (what, spoil) in enumerate(SPOILT.items(), 1):
            b.do("pause-replay", "r")
            files = Files(b, "r")
            written = write_rounds(a, "r", generation=generation)
            end = Files(a, "r").batches()[-1].end  # what a status says may be older
            poll("B has all of the log", lambda: b.replica("r").get("durable_lsn", 0) >= end, 30, hosts=[a, b])
            b.kill()
            spoil(files.segments()[-1])
            the_lab.cut_off("a")
            b.start()
            found = poll("B says what it found", lambda: said(b), 20, hosts=[b])
            print(f"    {what}, A cut off: {found['state']}: {found.get('reason', '')}; {found.get('next_step', '')}")
            is_tear = what in ("the last batch", "a file removed")  # nothing on B says more, and A has it
            expect(is_tear or found["state"] == "log-damaged", f"B is {found}", [b])
            the_lab.restore("a")
            b.do("resume-replay", "r")
            expect_equal(the_lab, written)
        the_lab.wait_equal("s")


def a_replica_without_its_state_block(can):
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = two_hosts(the_lab)
        written = write_rounds(a, "r")
        the_lab.wait_equal("r")
        files = Files(b, "r")
        b.kill()
        for slot in (0, 1):
            flip(files.state_path, slot * SLOT + 150)
        b.start()
        expect_damage(b, "failed", files.state_path)
        expect("leave-resource" in b.replica("r")["next_step"], f"the next step is {b.replica('r')}", [b])
        b.do("leave-resource", "r")
        b.do("join-resource", "r", b.base / "r", "--overwrite")
        expect_equal(the_lab, written)
        the_lab.wait_equal("s")


def kill_a_when_b_has_all(a, b):
    """A has log that is not applied, and B has the same log. Returns the files of A's r, and what was written."""
    files = Files(a, "r")
    hold_writes_back(a)
    written = write_rounds(a, "r")
    end = files.batches()[-1].end
    poll("B has all of the log", lambda: b.replica("r").get("durable_lsn", 0) >= end, 30, 0.01, hosts=[a, b])
    a.kill()
    expect(len(unapplied(files)) > 6, "everything was applied before marsd was killed: this shows nothing", [a])
    return files, written


def a_primary_fetches_back_what_rotted(can):
    """A's log rots in the middle, above what is applied; B has the bytes: A takes them from there and opens."""
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = two_hosts(the_lab)
        files, written = kill_a_when_b_has_all(a, b)
        victim = unapplied(files)[2]
        flip(victim.path, victim.at + 300)
        the_lab.cut_off("a")
        a.start()
        expect_damage(a, "log-damaged", victim.path)
        the_lab.restore("a")
        a.wait_state("r", "up-to-date")
        expect_equal(the_lab, written)


def a_primary_whose_log_nobody_has(can):
    """What rotted was never shipped: closed, until the operator gives it up; the loss is said, and both are equal."""
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = two_hosts(the_lab)
        the_lab.cut_off("a")
        files, _ = fill_and_kill(a)
        victim = unapplied(files)[2]
        flip(victim.path, victim.at + 300)
        the_lab.restore("a")
        a.start()
        poll("A and B are connected", lambda: all(peer["is_connected"] for peer in a.status()["hosts"]), 30, hosts=[a])
        expect_damage(a, "log-damaged", victim.path)
        expect("--force" in a.replica("r")["next_step"], f"the next step is {a.replica('r')}", [a])
        a.do("attach", "r", "--accept-loss")
        forced = a.do("primary", "r", "--force", "--json").json()
        print(f"    forced: {forced['text']}")
        expect(forced["data"]["loss_bytes"] > 0, f"the printed loss is {forced}", [a])
        expect_equal(the_lab, {})


run_cases([replicas_that_are_damaged, a_replica_without_its_state_block, a_primary_fetches_back_what_rotted,
           a_primary_whose_log_nobody_has])
