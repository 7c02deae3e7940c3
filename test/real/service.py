#!/usr/bin/env python3
"""marsd as systemd runs it: it says when it is ready and when it ends, reads its settings from a file, writes lines
that programs can read, and serves no state directory twice."""

import json
import re
import signal
import socket
import subprocess

from pathlib import Path

from cases import lab, run_cases
from common import expect, poll, run
from harness import DONE, FAILED
from leftovers import pool_of

SIZE = 16 << 20
LINE = re.compile(r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(error|warning|info|debug) '
                  r'(resource=[a-z0-9._-]+ )?text="([^"\\]|\\.)*"')


def make_file(path):
    with open(path, "wb") as file:
        file.truncate(SIZE)
    return path


def begin(host, command, **variables):
    """As Host.start(), with another command line or environment."""
    with open(host.log_file, "ab") as log:
        host.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log, start_new_session=True,
                                        env={**host.lab.environment(), **variables})


def changed(command, **options):
    """The same command line with other values: state_dir=..."""
    words = [str(word) for word in command]
    for name, value in options.items():
        words[words.index("--" + name.replace("_", "-")) + 1] = str(value)
    return words


def it_says_when_it_is_ready_and_when_it_ends(can):
    with lab(can, netns=False, fuse=False) as the_lab:
        a = the_lab.host("a")
        path = a.base / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(path))
            told.settimeout(60)
            begin(a, a.command(), NOTIFY_SOCKET=str(path))
            expect(b"READY=1" in told.recv(4096).split(b"\n"), "the first message is not READY=1", [a])
            expect(a.adm("version").code == DONE, "it says that it is ready, and does not answer", [a])
            a.process.send_signal(signal.SIGHUP)
            poll("SIGHUP is heard", lambda: "SIGHUP" in a.log_file.read_text(), 30, hosts=[a])
            expect(a.adm("version").code == DONE, "SIGHUP ended it", [a])
            a.process.terminate()
            expect(b"STOPPING=1" in told.recv(4096).split(b"\n"), "the second message is not STOPPING=1", [a])
            expect(a.process.wait(40) == 0, f"marsd ended with {a.process.returncode}", [a])


def its_lines_are_logfmt(can):
    with lab(can, netns=False, fuse=False) as the_lab:
        a = the_lab.host("a")
        a.start()
        a.do("create-cluster")
        a.do("create-resource", "r", make_file(a.disk))
        a.do("delete-resource", "r")
        a.stop()
        lines = [line for line in a.log_tail(1000) if not line.startswith("----")]
        wrong = [line for line in lines if not LINE.fullmatch(line)]
        expect(not wrong, "these lines are not logfmt:\n" + "\n".join(wrong), [a])
        ours = [line for line in lines if " resource=r " in line]
        expect(ours, "no line has the resource as a key:\n" + "\n".join(lines), [a])
        print(f"    {len(lines)} lines, {len(ours)} of them about r: {ours[0]}")


def its_settings_may_stand_in_a_file(can):
    with lab(can, netns=False, fuse=False) as the_lab:
        a = the_lab.host("a")
        program, *words = a.command()
        values = {}
        for flag, value in zip(words[::2], words[1::2]):
            values.setdefault(flag[2:], []).append(value)
        file = a.base / "marsd.toml"
        file.write_text("".join(f"{key} = {json.dumps(value if key == 'advertise' else value[0])}\n"
                                for key, value in values.items()))
        begin(a, [program, "--config", file])
        poll("it answers", lambda: a.adm("version").code == DONE, 60, hosts=[a])
        expect(a.status()["host"] == "a", f"it is called {a.status()['host']}", [a])
        a.stop()
        file.write_text(file.read_text() + 'memmory = "1GiB"\n')
        done = run(program, "--config", file, check=False, timeout=30)
        said = done.stderr.strip().splitlines()[0]
        expect(done.returncode == 2 and "memmory" in said, f"a key that is none: {done.returncode} {said}")
        print(f"    {done.returncode}  {said}")


def a_second_one_with_the_same_state_is_refused(can):
    with lab(can, netns=False, fuse=False) as the_lab:
        a = the_lab.host("a")
        a.start()
        a.do("create-cluster")
        others = {"run_dir": a.base / "run2", "device_dir": a.base / "dev2", "listen": "127.0.0.1:0"}
        done = run(*changed(a.command(), **others), check=False, timeout=60)
        said = next((line for line in done.stderr.splitlines() if "another marsd" in line), done.stderr)
        expect(done.returncode == 1 and str(a.state) in said and "its own --state-dir" in said,
               f"a second marsd on the same state directory: {done.returncode} {said}", [a])
        expect(a.adm("status").code == DONE, "the first one does not answer any more", [a])
        print(f"    {done.returncode}  {said}")


def its_memory_leaves_room_in_run(can):
    """The write cache of 64M takes 25 MiB; /run is a tmpfs of others, too."""
    for size, is_in_run in (("96m", True), ("64m", False)):
        with lab(can, netns=False, fuse=False) as the_lab:
            a = the_lab.host("a")
            run("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "marslab", a.run_dir)
            try:
                a.start()
                maps = Path(f"/proc/{a.process.pid}/maps").read_text()
                pool = next(Path(line.split()[-1]) for line in maps.splitlines() if line.endswith("/pool"))
                wanted = a.run_dir if is_in_run else pool_of(a.run_dir)
                expect(pool.parent == wanted, f"/run of {size}: the pool is {pool}", [a])
                a.kill()
                a.start()
                expect(str(pool) in Path(f"/proc/{a.process.pid}/maps").read_text(), "it has another pool now", [a])
                a.stop()
                expect(not pool.exists(), f"{pool} is left", [a])
            finally:
                a.is_running() and a.kill()
                run("umount", a.run_dir)


def others_reach_what_they_may(can):
    with lab(can, netns=False, fuse=False) as the_lab:
        a = the_lab.host("a")
        a.flags = ["--nbd-socket-mode", "0666"]
        a.start()
        modes = {path.name: path.stat().st_mode & 0o777 for path in (a.run_dir, a.devices, *a.run_dir.glob("*.sock"))}
        wanted = {"run": 0o711, "dev": 0o755, "nbd.sock": 0o666, "control.sock": 0o600}
        expect(modes == wanted, f"modes: {({name: oct(mode) for name, mode in modes.items()})}", [a])


def a_port_that_is_taken_holds_up_nothing_else(can):
    """marsd runs on and says so; when the port is free, the resource opens by itself."""
    with lab(can, netns=False, fuse=False) as the_lab:
        a = the_lab.host("a")
        a.start()
        a.do("create-cluster")
        a.do("create-resource", "r", make_file(a.disk))
        a.stop()
        address, port = the_lab.network.listen("a").rsplit(":", 1)
        with socket.socket() as taken:
            taken.bind((address, int(port)))
            taken.listen()
            a.start()
            said = a.adm("status", "r")
            expect(said.code == FAILED and "cannot listen" in said.err, f"status r: {said.code} {said.err}", [a])
            print(f"    {said.message()}")
            said = a.adm("wait-resource", "r", "primary", "--timeout", "1s")
            expect(said.code == FAILED and "cannot listen" in said.err, f"wait-resource: {said.code} {said.err}", [a])
            waiting = subprocess.Popen([the_lab.marsadm_bin / "marsadm", "--socket", a.socket, "wait-resource", "r",
                                        "primary", "--timeout", "1m"])
        expect(waiting.wait(60) == DONE, f"wait-resource ended with {waiting.returncode}", [a])
        a.wait_state("r", "up-to-date")


def an_nbd_port_that_is_taken_is_said(can):
    with lab(can, netns=False, fuse=False) as the_lab, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        a = the_lab.host("a")
        a.flags = ["--nbd-listen", f"127.0.0.1:{taken.getsockname()[1]}"]
        a.start()

        def warnings():
            return [text for text in a.status()["warnings"] if text.startswith("nbd-listen")]

        expect(not warnings(), f"in no cluster: {warnings()}", [a])
        a.do("create-cluster")
        poll("it is said", warnings, 30, hosts=[a])
        print(f"    {warnings()[0]}")
        taken.close()
        poll("it is open", lambda: not warnings(), 30, hosts=[a])


run_cases([an_nbd_port_that_is_taken_is_said, its_memory_leaves_room_in_run, others_reach_what_they_may,
           a_port_that_is_taken_holds_up_nothing_else, it_says_when_it_is_ready_and_when_it_ends, its_lines_are_logfmt,
           its_settings_may_stand_in_a_file, a_second_one_with_the_same_state_is_refused])
