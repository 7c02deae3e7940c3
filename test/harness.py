"""A lab: some hosts on this machine, each with its own marsd, wires between them, and a folder that holds all of it.

    with Lab(bin, hosts="abc") as lab:
        lab.host("a").start()
        lab.host("a").adm("create-cluster")

Leaving the block takes everything away, whatever happened inside. A Failure prints the end of the logs concerned.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import leftovers
import trials
from common import Failure, expect, poll, run
from network import Namespaces, Relays

DONE, FAILED, USAGE, REFUSED, TIMED_OUT, UNREACHABLE, FORK, NOT_FOUND, NOT_RUNNING = range(9)


class Answer:
    """What one marsadm ended with."""

    def __init__(self, done):
        self.code = done.returncode
        self.out = done.stdout.strip()
        self.err = done.stderr.strip()
        self.text = (self.out + "\n" + self.err).strip()

    def json(self):
        return json.loads(self.out)

    def message(self):
        """The line in which marsadm says what is wrong; before it there may be progress."""
        return next((line for line in self.err.splitlines() if line.startswith("marsadm")), self.err)


class Host:
    """One host of the lab: its folders, its marsd, and marsadm as it is typed there."""

    def __init__(self, lab, name, memory="64M", state=None):
        self.lab = lab
        self.name = name
        self.base = lab.base / name
        self.state = state or self.base / "state"
        self.logs = self.base / "log"
        self.run_dir = self.base / "run"
        self.devices = self.base / "dev"
        self.mount_point = self.base / "mnt" / "data"
        self.disk = self.base / "disk"
        self.socket = self.run_dir / "control.sock"
        self.log_file = self.base / "marsd.log"
        self.memory = memory
        self.flags = []
        self.front_end = "fuse" if lab.has_fuse else "nbd"
        self.wrapper = []  # words before marsd's own; they end by becoming it
        self.process = None
        self.most_bytes = 0
        for folder in (self.state, self.logs, self.run_dir, self.devices, self.mount_point):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)

    # ---- marsd

    def command(self):
        words = self.lab.network.prefix(self.name) + self.wrapper + [
            self.lab.bin / "marsd", "--name", self.name, "--state-dir", self.state, "--log-dir", self.logs,
            "--run-dir", self.run_dir, "--device-dir", self.devices, "--listen", self.lab.network.listen(self.name),
            "--memory", self.memory, "--front-end", self.front_end]
        for address in self.lab.network.advertise(self.name):
            words += ["--advertise", address]
        return [str(word) for word in words + self.flags]

    def start(self, timeout=60):
        """Starts marsd and waits until it answers."""
        expect(self.process is None or self.process.poll() is not None, f"marsd of {self.name} runs already", [self])
        with open(self.log_file, "ab") as log:
            log.write(f"---- started: {' '.join(self.command())}\n".encode())
            log.flush()
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True, env=self.lab.environment())
        if isinstance(self.lab.network, Relays):
            self.lab.network.pids[self.name] = self.process.pid

        def answers():
            expect(self.process.poll() is None, f"marsd of {self.name} ended with {self.process.poll()}", [self])
            return self.adm("version", bin=self.lab.quick_bin).code == DONE

        poll(f"marsd of {self.name} answers", answers, timeout, hosts=[self])

    def kill(self):
        """As the kernel's out-of-memory killer does it: no chance to say anything."""
        self.peak_bytes()
        self.process.send_signal(signal.SIGKILL)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise Failure(f"marsd of {self.name} does not end after SIGKILL", [self]) from None

    def stop(self, timeout=40):
        """Asks it to end. Returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure(f"marsd of {self.name} does not end after SIGTERM", [self]) from None

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def peak_bytes(self):
        """The most memory that a marsd of it has had, shared memory included."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.most_bytes = max(self.most_bytes, int(line.split()[1]) * 1024)
        return self.most_bytes

    def log_tail(self, count=25):
        try:
            return self.log_file.read_text(errors="replace").splitlines()[-count:]
        except OSError:
            return []

    # ---- marsadm

    def adm(self, *words, timeout=180, input=None, bin=None):
        command = [(bin or self.lab.marsadm_bin) / "marsadm", "--socket", self.socket, *words]
        return Answer(run(*command, check=False, timeout=timeout, input=input, env=self.lab.environment()))

    def do(self, *words, timeout=180, input=None, bin=None):
        """The same, and it must succeed."""
        answer = self.adm(*words, timeout=timeout, input=input, bin=bin)
        expect(answer.code == DONE, f"marsadm {' '.join(map(str, words))} on {self.name} ended with {answer.code}: "
               f"{answer.text}", self.lab.hosts.values())
        return answer

    def status(self):
        """Asked many times a second."""
        return self.do("status", "--json", bin=self.lab.quick_bin).json()

    def replica(self, resource, host=None):
        """What this host knows of one replica; an empty table when nothing."""
        for found in self.status().get("resources", []):
            for replica in found["replicas"]:
                if (found["name"], replica["host"]) == (resource, host or self.name):
                    return replica
        return {}

    def alarms(self, resource):
        return [alarm for found in self.status().get("resources", []) if found["name"] == resource
                for alarm in found.get("alarms", [])]

    def wait_state(self, resource, *states, host=None, timeout=60):
        last = {}

        def reached():
            last.update(self.replica(resource, host))
            return last.get("state") in states

        def sentence():
            return (f"{host or self.name} shows {' or '.join(states)} on {self.name}; it is {last.get('state')} "
                    f"({last.get('reason', 'no reason given')})")

        poll(sentence, reached, timeout, 0.2, self.lab.hosts.values())
        return last

    def device(self, resource, timeout=60):
        """Waits for the device; its path, or the address of the export."""
        found = poll(f"{resource} has a device on {self.name}",
                     lambda: (r := self.replica(resource)).get("is_device_open") and r.get("device"), timeout,
                     hosts=[self])
        return found


class Lab:
    """bin: folder of marsd, marsadm and mars-keeper. A marsadm with sanitizers needs ten times as long to start, so
    where $MARS_RELEASE_DIR is set, that one's is used, but for tests of marsadm itself. netns, fuse: whether to use
    them, else relays and NBD."""

    def __init__(self, bin, hosts="abc", keep=False, netns=True, fuse=True, memory="64M", tests_marsadm=False):
        self.bin = Path(bin).resolve()
        self.quick_bin = Path(os.environ.get("MARS_RELEASE_DIR") or bin).resolve()
        self.marsadm_bin = self.bin if tests_marsadm else self.quick_bin
        self.label = f"{leftovers.PREFIX}-{os.getpid()}"
        self.base = leftovers.ROOT / self.label
        self.names = list(hosts)
        self.keep = keep
        self.has_netns, self.has_fuse = netns, fuse
        self.memory = memory
        self.hosts = {}
        self.network = None

    def __enter__(self):
        programs = [self.bin / name for name in ("marsd", "marsadm", "mars-keeper")]
        for program in [*programs, self.quick_bin / "marsadm"]:
            expect(program.exists(), f"{program} is not built; run ninja programs")
        self.base.mkdir(mode=0o700)
        leftovers.own(self.base)
        try:
            self.network = (Namespaces if self.has_netns else Relays)(self.label, self.names)
            self.hosts = {name: Host(self, name, self.memory) for name in self.names}
        except BaseException:
            leftovers.sweep(self.base)
            raise
        return self

    def __exit__(self, kind, error, _):
        if isinstance(error, Failure):
            self.explain(error)
        if self.keep and (kind is None or issubclass(kind, Failure)):
            (self.base / "kept").touch()
            if kind:
                print(f"kept as it is, in {self.base}; the next ./demo removes it", file=sys.stderr)
            return False
        with ignoring_interrupts():
            left = leftovers.sweep(self.base)
            self.network.remove()
        for thing in left:
            print(f"cannot remove {thing}", file=sys.stderr)
        if left and kind is None:
            raise Failure("something was left behind")
        return False

    def explain(self, failure):
        print(f"\nFAILED: {failure}", file=sys.stderr)
        for host in failure.hosts:
            print(f"\n---- the last lines of marsd on {host.name}:", file=sys.stderr)
            print("\n".join(host.log_tail()), file=sys.stderr)
        sys.stderr.flush()

    def host(self, name):
        return self.hosts[name]

    def environment(self):
        # The sanitizer keeps 256 MiB of freed memory by default, which would hide what marsd itself takes.
        asan = "quarantine_size_mb=8:" + os.environ.get("ASAN_OPTIONS", "")
        return {**os.environ, "LC_ALL": "C", "ASAN_OPTIONS": asan}

    def start_cluster(self):
        """All hosts, members of one cluster that the first of them makes."""
        first, *others = self.hosts.values()
        for host in self.hosts.values():
            host.start()
        first.do("create-cluster")
        for other in others:
            other.do("join-cluster", "-", input=first.do("invite").out + "\n")
        poll("all hosts are connected", lambda: all(
            sum(peer["is_connected"] for peer in host.status()["hosts"]) == len(self.hosts)
            for host in self.hosts.values()), 60, 0.2, self.hosts.values())

    def cut_off(self, name):
        for peer in self.names:
            if peer != name:
                self.network.cut(name, peer)

    def restore(self, name):
        for peer in self.names:
            if peer != name:
                self.network.restore(name, peer)

    def wait_equal(self, resource, timeout=120):
        """Until all replicas are up to date at the same position and stay there for a moment; returns it."""
        seen, settled = {}, [None, 0.0]

        def equal():
            for name, host in self.hosts.items():
                r = host.replica(resource)
                seen[name] = (r.get("epoch", {}).get("id"), r.get("durable_lsn"), r.get("applied_lsn"), r.get("state"))
            first = next(iter(seen.values()))
            if first[1] != first[2] or first[3] != "up-to-date" or any(s != first for s in seen.values()):
                return False
            # What is shown may be half a second old, and the last writes of an unmount durable a moment later.
            if settled[0] != first:
                settled[:] = first, time.monotonic()
            return time.monotonic() - settled[1] > 1

        poll(lambda: f"all replicas have applied the same position: {seen}", equal, timeout, 0.2, self.hosts.values())
        return settled[0][:3]


@contextlib.contextmanager
def ignoring_interrupts():
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def programs(argument):
    """Where the programs are: what is asked for, what ./check built in release, what the test's own build has."""
    named = (argument, os.environ.get("MARS_RELEASE_DIR"), os.environ.get("MARS_BUILD_DIR"))
    return Path(next((folder for folder in named if folder), "build/release/bin")).resolve()


def choose(say=print):
    """What this machine can do: {"netns": ..., "fuse": ...}. Doing without what MARS_REQUIRE names is a failure."""
    reasons = trials.find_out(f"{leftovers.PREFIX}-{os.getpid()}")
    required = [word for word in os.environ.get("MARS_REQUIRE", "").split(",") if word]
    for word in required:
        expect(word in reasons, f'MARS_REQUIRE names "{word}"; it knows {", ".join(reasons)}')
        expect(not reasons[word], f"MARS_REQUIRE asks for {word}, but: {reasons[word]}")
    for word, reason in reasons.items():
        if reason:
            say(f"doing without {word}: {reason}")
    return {word: not reason for word, reason in reasons.items()}


def main(scenario):
    """Runs a test program: the exit code is 0 or 1, and a signal ends it as an error does, with everything removed."""
    def on_signal(number, _):
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, on_signal)
    began = time.monotonic()
    try:
        scenario()
    except Failure as failure:
        if not failure.hosts:
            print(f"\nFAILED: {failure}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as interrupt:
        print(f"\ninterrupted ({interrupt}); everything is removed", file=sys.stderr)
        sys.exit(130)
    print(f"done in {time.monotonic() - began:.0f} s")
