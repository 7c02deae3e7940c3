#!/usr/bin/env python3
"""Every command of marsadm once with real processes, in the order in which an operator would meet them."""

import json
import os
import re
import signal
import subprocess
import threading

from cases import lab, run_cases
from common import expect, poll
from harness import DONE, REFUSED, TIMED_OUT, UNREACHABLE
from logfiles import Files
from nbd import Nbd

SIZE = 64 << 20


def make_file(path):
    with open(path, "wb") as file:
        file.truncate(SIZE)
    return path


def two_replicas(the_lab):
    a, b = the_lab.hosts.values()
    the_lab.start_cluster()
    a.do("create-resource", "r", make_file(a.disk))
    b.do("join-resource", "r", make_file(b.disk))
    the_lab.wait_equal("r")
    return a, b


def write(host, at, byte):
    with Nbd(host.device("r")) as nbd:
        nbd.write(at, byte * 4096)
        nbd.flush()


def on_disk(host, at, byte):
    with open(host.disk, "rb") as file:
        file.seek(at)
        return file.read(4096) == byte * 4096


def watching(can):
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = two_replicas(the_lab)
        for word in ("status", "view"):
            text = a.do(word, *(["r"] if word == "view" else [])).out
            expect("r" in text and "up-to-date" in text and "secondary" in text, f"{word} prints: {text}", [a])
        found = a.status()
        expect(found["version"] == 1 and found["host"] == "a", f"status --json: {found}", [a])
        replica = a.replica("r", "b")
        for key in ("durable_lsn", "applied_lsn", "lag_bytes", "last_contact", "epoch", "switches", "disk"):
            expect(key in replica, f"status --json has no {key}: {replica}", [a])
        events = a.do("events", "r").out
        expect(re.search(r"\d{4}-\d\d-\d\dT.*create-resource", events), f"events: {events}", [a])
        os.environ["SUDO_USER"] = "alice"
        a.do("resume-sync", "r")
        del os.environ["SUDO_USER"]
        events = a.do("events", "r").out
        expect("command resume-sync r (by alice): done" in events, f"events: {events}", [a])
        expect(json.loads(a.do("events", "--json").out)["data"]["events"], "events --json is empty", [a])
        expect("trans_logger" in a.do("graph", "r").out, "graph does not show trans_logger", [a])
        expect("marsd" in a.do("version").out, "version", [a])
        for command in ("--help", "status --help", "primary --help"):
            expect(len(a.do(*command.split()).out) > 100, f"{command} says little", [a])
        a.do("wait-resource", "r", "synced", "--host", "b", "--timeout", "20s")
        a.do("wait-resource", "r", "consistent", "--timeout", "20s")
        a.do("wait-resource", "r", "primary", "--timeout", "20s")
        late = a.adm("wait-resource", "r", "detached", "--timeout", "1s")
        expect(late.code == TIMED_OUT, f"waiting for what does not come ended with {late.code}: {late.text}", [a])


def options(can):
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = two_replicas(the_lab)
        a.do("set", "r", "flush-interval", "50ms")
        poll("b hears of the option", lambda: "50" in b.do("get", "r", "flush-interval").out, 10, hosts=[a, b])
        a.do("set", "r", "write-cache", "off")
        write(a, 0, b"o")
        expect("write-cache" in a.do("get", "r").out, "get does not list the options", [a])
        for key, value in json.loads(a.do("get", "r", "--json").out)["data"].items():
            expect(a.do("get", "r", key).out.strip() == value, f"get --json of {key} says {value}", [a])
            a.do("set", "r", key, value)
            expect(a.do("get", "r", key).out.strip() == value, f"{key} is not {value} any more", [a])
        poll("b has it", lambda: on_disk(b, 0, b"o"), 20, hosts=[a, b])


def switches(can):
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = two_replicas(the_lab)
        b.do("pause-replay", "r")
        write(a, 8192, b"p")
        end = Files(a, "r").batches()[-1].end  # what a status says may be older
        poll("b has fetched it", lambda: b.replica("r").get("durable_lsn", 0) >= end, 20, hosts=[a, b])
        b.wait_state("r", "paused")
        expect(not on_disk(b, 8192, b"p"), "b replayed although that was switched off", [b])
        refused = b.adm("primary", "r")
        expect(refused.code == REFUSED and "replay" in refused.text, f"primary with replay off: {refused.text}", [b])
        b.stop()
        b.start()
        b.wait_state("r", "paused")
        expect(not on_disk(b, 8192, b"p"), "b replayed when it started although that was switched off", [b])
        b.do("resume-replay", "r")
        the_lab.wait_equal("r")
        expect(on_disk(b, 8192, b"p"), "b has not replayed", [b])
        b.do("pause-fetch", "r")
        before = b.replica("r")["durable_lsn"]
        write(a, 12288, b"f")
        poll("a sees that b lags", lambda: a.replica("r", "b").get("lag_bytes", 0) > 0, 20, hosts=[a])
        expect(b.replica("r")["durable_lsn"] == before, "b fetched although that was switched off", [b])
        b.do("resume-fetch", "r")
        the_lab.wait_equal("r")


def detaching(can):
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = two_replicas(the_lab)
        b.do("detach", "r")
        b.wait_state("r", "detached")
        write(a, 0, b"d")
        b.do("attach", "r")
        the_lab.wait_equal("r")
        b.do("down", "r")
        b.do("up", "r")
        the_lab.wait_equal("r")
        a.do("detach", "r")
        a.wait_state("r", "detached")
        a.do("attach", "r")
        a.device("r")
        expect(on_disk(b, 0, b"d"), "b does not have what was written", [b])
        a.do("secondary", "r")
        expect(not a.replica("r")["is_device_open"], "the device is open although nobody is primary", [a])
        b.do("primary", "r")
        write(b, 4096, b"e")
        the_lab.wait_equal("r")
        expect(on_disk(a, 4096, b"e"), "a does not have what b wrote", [a])


def leaving(can):
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = two_replicas(the_lab)
        write(a, 0, b"l")
        the_lab.wait_equal("r")
        expect(a.adm("leave-resource", "r").code == REFUSED, "the primary may leave", [a])
        expect(a.adm("delete-resource", "r").code == REFUSED, "a resource with other replicas may be deleted", [a])
        b.do("leave-resource", "r")
        expect(on_disk(b, 0, b"l"), "the disk of b lost its content", [b])
        b.do("join-resource", "r", b.disk, "--overwrite")
        the_lab.wait_equal("r")
        b.do("invalidate", "r")
        the_lab.wait_equal("r")
        b.do("leave-resource", "r")
        a.do("delete-resource", "r")
        expect("no resources" in a.do("status").out, f"status after deletion: {a.do('status').out}", [a])
        expect(on_disk(a, 0, b"l"), "the disk of a lost its content", [a])
        left = [path for path in (a.logs / "resources").glob("*/*")] if (a.logs / "resources").exists() else []
        expect(not left, f"the log was not removed: {left}", [a])


def dry_runs(can):
    """--dry-run of everything that has it: exit 0, says what would be done, changes nothing."""
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = two_replicas(the_lab)
        before = the_lab.wait_equal("r")
        rows = [(a, ["create-resource", "s", make_file(a.base / "disk2")]), (b, ["leave-resource", "r"]),
                (b, ["detach", "r"]), (b, ["down", "r"]), (b, ["attach", "r"]), (b, ["up", "r"]), (b, ["primary", "r"]),
                (a, ["secondary", "r"]), (b, ["invalidate", "r"]), (a, ["delete-resource", "r", "--force"])]
        for host, words in rows:
            answer = host.adm(*words, "--dry-run")
            expect(answer.code == DONE and answer.out, f"{words} --dry-run: {answer.code} {answer.text}", [host])
            print(f"    {' '.join(map(str, words))}: {answer.out}")
        expect(the_lab.wait_equal("r") == before, "a dry run changed something", [a, b])
        expect(a.replica("r")["role"] == "primary", "a dry run changed the primary", [a])


def rewiring(can):
    """Instruments come and go at the device's and the disk's edge while clients write, read and flush over NBD."""
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = two_replicas(the_lab)
        uri = a.device("r")
        over, found = threading.Event(), []

        def load(number):
            area, rounds = number << 20, 0
            try:
                with Nbd(uri) as nbd:
                    while not over.is_set():
                        at, data = area + rounds % 64 * 4096, bytes([rounds % 251 + 1]) * 4096
                        nbd.write(at, data, fua=rounds % 5 == 0)
                        if rounds % 7 == 0:
                            nbd.flush()
                        if nbd.read(at, 4096) != data:
                            raise AssertionError(f"other bytes at {at}")
                        rounds += 1
            except (OSError, AssertionError) as error:
                found.append(error)
            found.append(rounds)

        clients = [threading.Thread(target=load, args=(number,)) for number in range(8)]
        for client in clients:
            client.start()
        try:
            for at in ("device", "data"):
                for kind, settings in (("trace", None), ("stats", None), ("check", None), ("delay", "longest=3ms"),
                                       ("throttle", "requests=5000")):
                    a.do("insert", "r", kind, "--at", at, *(["--set", settings] if settings else []))
                    graph = a.do("graph", "r").out
                    expect(f"{at}.below -> {kind}" in graph, f"{kind} is not in the graph:\n{graph}", [a])
                    if kind not in ("delay", "throttle"):
                        poll(f"{kind} at {at} sees requests",
                             lambda kind=kind: f"{kind} has seen" in a.do("graph", "r").out, 20, hosts=[a])
                    a.do("remove", "r", kind)
            a.do("insert", "r", "delay", "--set", "shortest=5s,longest=5s")
            late = a.adm("insert", "r", "trace", "--deadline", "200ms")
            expect(late.code == REFUSED and "in flight" in late.text, f"not drained: {late.code} {late.text}", [a])
            a.do("remove", "r", "delay", "--deadline", "10s")
        finally:
            over.set()
            for client in clients:
                client.join()
        errors = [one for one in found if not isinstance(one, int)]
        rounds = [one for one in found if isinstance(one, int)]
        expect(not errors and min(rounds) > 10, f"the clients met {errors} after {rounds} rounds", [a])
        print(f"    {sum(rounds)} rounds of 8 clients, no error")
        the_lab.wait_equal("r")


def other_hosts(can):
    """Commands that another member runs, and a marsadm that is interrupted while it waits."""
    with lab(can, "ab", fuse=False, tests_marsadm=True) as the_lab:
        a, b = two_replicas(the_lab)
        answer = a.do("primary", "r", "--host", "b")
        expect("on b: r is primary here" in answer.out, f"primary --host b: {answer.text}", [a, b])
        expect("asked by a" in a.do("events", "r", "--host", "b").out, "the events of b do not say who asked", [a, b])
        b.do("pause-replay", "r", "--host", "a")
        write(b, 4096, b"h")
        a.wait_state("r", "paused")
        expect(b.adm("wait-resource", "r", "synced", "--timeout", "1s").code == TIMED_OUT, "a is synced?", [a, b])
        expect(a.adm("wait-resource", "r", "synced", "--timeout", "1s").code == TIMED_OUT, "a is synced?", [a, b])
        asked = subprocess.Popen([a.lab.bin / "marsadm", "--socket", a.socket, "wait-resource", "r", "synced"],
                                 env=the_lab.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 text=True)
        expect("waiting for a" in asked.stderr.readline(), "marsadm does not say for whom it waits", [a, b])
        asked.send_signal(signal.SIGINT)
        asked.communicate(timeout=20)
        b.do("resume-replay", "r", "--host", "a")
        the_lab.wait_equal("r")
        b.stop()
        late = a.adm("pause-fetch", "r", "--host", "b")
        expect(late.code == UNREACHABLE, f"a host that is down: {late.code} {late.text}", [a])


run_cases([watching, options, switches, detaching, leaving, dry_runs, rewiring, other_hosts])
