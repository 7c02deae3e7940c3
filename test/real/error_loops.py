#!/usr/bin/env python3
"""The n-th allocation or I/O call of marsd fails, once or from then on, for n = 1, 2, 3 ... until a workload passes
untouched. After each: marsd lives and says what failed, or it ended with a reason; no call hangs, nothing is left open,
and started again without faults it has everything that was flushed.

Without arguments this is a sample; --full takes every n, and --places fails the first call from each place of the
code instead: calls with the same stack of callers fail alike, and there are far fewer places than calls. What fails is
printed with the command that repeats it.
"""

import argparse
import random
import re
import shutil
import signal
import time
from dataclasses import replace

from cases import lab
from common import Failure, expect, poll, run
from faults import CLASSES, Ended, Fault, Ledger, Life, Plan, SIZE, Unheard, library
from leftovers import pool_of, sweep_all
from nbd import Nbd
import harness
from harness import DONE, REFUSED

DENSE = 1  # of a sample: these first, and one out of each of so many equal parts
PARTS, PARTS_OF_PAIRS = 3, 1


def new_cluster(life):
    """From nothing to a resource that was used, closed, opened, used again and stopped."""
    life.start()
    life.command("create-cluster")
    life.command("create-resource", "r", life.host.disk)
    if "create-resource" in life.done:
        life.use(0)
        life.command("detach", "r")
        life.command("attach", "r")
        life.use(8)


def after_a_crash(life):
    """A log that is longer than what is applied, a pool with writes that are only there, and the same use."""
    life.done.update(("create-cluster", "create-resource"))
    life.start()
    life.use(2)
    life.command("detach", "r")
    life.command("attach", "r")
    life.use(8)


def take_over(life):
    """A second host: it joins, is synced, follows, becomes the primary, gives the right back, is closed and opened."""
    partner = life.partner
    life.start()
    life.command("join-cluster", "-", input=partner.host.do("invite").out + "\n")
    if life.command("join-resource", "r", life.host.disk):
        partner.use(4)
        life.command("wait-resource", "r", "synced", "--timeout", "20s")
        partner.use(6)
        if life.command("primary", "r", "--timeout", "20s"):
            life.use(8)
        is_back = partner.command("primary", "r", "--timeout", "20s")
        life.command("detach", "r")
        if is_back:
            partner.use(2)
        life.command("attach", "r")


class Loop:
    """A workload and a fault, n by n, on one host."""

    def __init__(self, the_lab, workload, fault, name="a"):
        self.host = the_lab.host(name)
        self.host.flags = ["--io", "threads"]
        self.workload, self.fault = workload, fault
        self.plan = Plan(the_lab.base / "plan")
        self.saved = None
        self.ledger = None
        self.told = []
        self.descriptors_max = None
        if workload is after_a_crash:
            self.save_crashed()

    def folders(self, host=None):
        host = host or self.host
        return [host.state, host.logs, host.run_dir, host.devices]

    def shared_memory(self):
        return pool_of(self.host.run_dir)

    def clear(self, host=None):
        host = host or self.host
        for folder in self.folders(host):
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
        shutil.rmtree(self.shared_memory(), ignore_errors=True)
        with open(host.disk, "wb") as file:
            file.truncate(SIZE)
        host.log_file.write_bytes(b"")

    def save_crashed(self):
        self.clear()
        life = Life(self.host, Ledger(True))
        new_cluster(life)
        self.host.do("set", "r", "flush-interval", "10s")
        with Nbd(life.device()) as nbd:
            for number in range(4, 12):
                life.ledger.write(nbd, number)
            self.host.kill()
        self.saved = self.host.base / "saved"
        self.saved.mkdir()
        self.copy([*self.folders(), self.shared_memory()], self.saved)
        shutil.copyfile(self.host.disk, self.saved / "disk")
        self.saved_ledger = life.ledger

    def copy(self, paths, to):
        run("cp", "-a", "--sparse=always", *[path for path in paths if path.exists()], to)

    def new_life(self):
        loses_sockets = (self.fault.what, self.fault.mode) == ("socket", "forever") and self.host.wrapper
        options = {"patience": 15} if loses_sockets else {}
        return Life(self.host, self.ledger, lambda: loses_sockets and self.plan.has_failed(), **options)

    def prepare(self):
        self.clear()
        self.ledger = Ledger(self.fault.what == "allocation")
        if self.saved is None:
            return
        shutil.copyfile(self.saved / "disk", self.host.disk)  # the same inode: another file would be another disk
        for path in (*self.folders(), self.shared_memory()):
            if (self.saved / path.name).exists():
                run("rm", "-rf", path)
                self.copy([self.saved / path.name], path.parent)
        self.ledger.possible = {number: list(one) for number, one in self.saved_ledger.possible.items()}
        self.ledger.generation = self.saved_ledger.generation

    def arm(self, n):
        self.plan.set(self.fault, n)
        below = ":".join(map(str, (*self.folders(), self.host.disk, "/dev/shm/mars-")))
        self.host.wrapper = ["env", f"LD_PRELOAD={library()}", f"MARS_FAULTS_PLAN={self.plan.path}",
                             "MARS_FAULTS_PROGRAM=marsd", f"MARS_FAULTS_BELOW={below}"]

    def round(self, n):
        """Returns whether a call has failed."""
        self.prepare()
        self.arm(n)
        life = self.new_life()
        try:
            self.workload(life)
            self.expect_nothing_left_open(life)
            life.stop()
        except Unheard:
            life.told.append("nobody can ask it any more")
            self.host.stop()  # as it is asked by a signal
        except Ended:
            pass
        self.judge_end()
        self.told = [*life.told, *self.last_words()]
        self.host.wrapper = []
        self.look_again(life)
        return self.plan.has_failed()

    def expect_nothing_left_open(self, life):
        if not self.plan.has_failed():
            self.descriptors_max = max(life.descriptors(), self.descriptors_max or 0)
        elif self.descriptors_max is not None:
            poll(lambda: f"{life.descriptors()} descriptors are open, without a fault it is at most "
                 f"{self.descriptors_max}", lambda: life.descriptors() <= self.descriptors_max, 10, 0.1, [self.host])

    def failed_call(self):
        """As the library has told it."""
        found = re.search(r"^faults: (.*)", self.host.log_file.read_text(errors="replace"), re.M)
        return found.group(1) if found else "no call failed"

    def last_words(self):
        """Why marsd has ended, where nobody had asked it to."""
        log = self.host.log_file.read_text(errors="replace")
        return re.findall(r"(?:cannot start|out of memory|bad_alloc).*", log)

    def judge_end(self):
        """An exit code with a reason; an abort only where memory is gone."""
        code = self.host.process.wait(10)
        log = self.host.log_file.read_text(errors="replace")
        found = re.search(r"CHECK failed.*|.*Sanitizer.*|.*runtime error.*|.*terminate called(?!.*bad_alloc).*", log)
        expect(not found, f"marsd says: {found and found.group(0)}", [self.host])
        if code == -signal.SIGABRT and self.fault.what == "allocation":
            expect("out of memory" in log or "bad_alloc" in log, "marsd was aborted and does not say why", [self.host])
            return
        if code == 2 and re.search(r"^marsd: .", log, re.M):
            return  # its configuration could not be read
        expect(code in (0, 1), f"marsd ended with {code}", [self.host])
        is_told = "level=error" in log or "not cleanly" in log
        expect(code == 0 or is_told, f"marsd ended with {code} and no reason", [self.host])

    def look_again(self, life):
        """Without faults: what was done is there, what was not can be done, and it is a host like any other."""
        again = Life(self.host, self.ledger)
        try:
            again.start()
        except Ended:
            raise Failure("without faults marsd does not start", [self.host]) from None
        self.finish("create-cluster", life, again)
        self.finish("create-resource", life, again, "r", self.host.disk)
        device = self.opened(again)
        with Nbd(device, timeout=20) as nbd:
            self.ledger.check(nbd, self.host)
            for number in range(20, 24):
                self.ledger.write(nbd, number)
            self.ledger.flush(nbd)
            self.ledger.check(nbd, self.host)
        self.host.do("detach", "r")
        code = self.host.stop()
        expect(code == 0, f"without faults marsd ended with {code}", [self.host])
        log = self.host.log_file.read_text(errors="replace")
        expect("Sanitizer" not in log, "a sanitizer has found something", [self.host])

    def finish(self, command, life, again, *words):
        """What failed half-way is repeated; it may turn out to be done."""
        if command in life.done:
            return
        answer = self.host.adm(command, *words)
        expect(answer.code == DONE or (answer.code == REFUSED and "already" in answer.text),
               f"{command} cannot be repeated: {answer.text}", [self.host])

    def opened(self, again):
        """The device of r, by the next steps that its state names."""
        for _ in range(4):
            device = again.device()
            if device is not None:
                return device
            step = re.search(r"marsadm ([a-z-]+ r(?: --[a-z-]+)*)", again.told[-1])
            expect(step, f"no command leads out of: {again.told[-1]}", [self.host])
            expect("accept-loss" not in step.group(1), f"something is lost: {again.told[-1]}", [self.host])
            again.command(*step.group(1).split())
        raise Failure(f"r does not open: {again.told}", [self.host])


class Pair(Loop):
    """The same on the second of two hosts; the first one has no fault, and shows that it is not concerned."""

    def __init__(self, the_lab, workload, fault):
        self.first = the_lab.host("a")
        self.first.flags = ["--io", "threads"]
        super().__init__(the_lab, workload, fault, "b")

    def new_life(self):
        life = super().new_life()
        life.partner = Life(self.first, self.ledger)
        return life

    def prepare(self):
        if self.first.is_running():
            self.first.stop()
        self.clear()
        self.clear(self.first)
        self.ledger = Ledger(self.fault.what == "allocation")
        partner = Life(self.first, self.ledger)
        partner.start()
        self.first.do("create-cluster")
        self.first.do("create-resource", "r", self.first.disk)
        partner.use(0)

    def expect_nothing_left_open(self, life):
        """Connections come and go."""

    def look_again(self, life):
        again = self.new_life()
        try:
            again.start()
        except Ended:
            raise Failure("without faults marsd does not start", [self.host]) from None
        self.join(again)
        self.host.do("up", "r")
        self.reach_equality(again)
        self.host.do("primary", "r")
        with Nbd(self.host.device("r"), timeout=20) as nbd:
            self.ledger.check(nbd, self.host)
            for number in range(20, 24):
                self.ledger.write(nbd, number)
            self.ledger.flush(nbd)
        self.host.lab.wait_equal("r")
        for host in (self.first, self.host):
            code = host.stop()
            expect(code == 0, f"without faults marsd of {host.name} ended with {code}", [host])
            log = host.log_file.read_text(errors="replace")
            found = re.search(r"CHECK failed.*|.*Sanitizer.*|.*runtime error.*", log)
            expect(not found, f"marsd of {host.name} says: {found and found.group(0)}", [host])
        expect(self.first.disk.read_bytes() == self.host.disk.read_bytes(), "the disks of a and b differ", [self.host])

    def join(self, again):
        """What failed half-way is repeated, with another token; it may turn out to be done."""
        for words, input in ((("join-cluster", "-"), self.first.do("invite").out + "\n"),
                             (("join-resource", "r", self.host.disk, "--overwrite"), None)):
            answer = self.host.adm(*words, input=input)
            is_there = answer.code == REFUSED and "already" in answer.text
            expect(answer.code == DONE or is_there, f"{words[0]} cannot be repeated: {answer.text}", [self.host])

    def reach_equality(self, again):
        """By the next steps that the state of the second host names."""
        for _ in range(4):
            answer = self.host.adm("wait-resource", "r", "synced", "--timeout", "30s")
            if answer.code == DONE:
                return
            step = re.search(r"marsadm ([a-z-]+ r(?: --[a-z-]+)*)", answer.text)
            expect(step, f"no command leads out of: {answer.text}", [self.host, self.first])
            expect("accept-loss" not in step.group(1), f"something is lost: {answer.text}", [self.host])
            again.command(*step.group(1).split())
        raise Failure(f"b does not come up to date: {again.told}", [self.host, self.first])


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--class", dest="what", choices=CLASSES)
    parser.add_argument("--mode", choices=("once", "forever"))
    parser.add_argument("--workload", choices=[one.__name__ for one in WORKLOADS])
    parser.add_argument("--call", default="", help="only calls of this name are counted")
    parser.add_argument("--path", default="", help="only calls on files with this in their path are counted")
    parser.add_argument("--error", default="", help="ENOSPC: of calls that may need space")
    parser.add_argument("--full", action="store_true", help="every n, not a sample")
    parser.add_argument("--from", dest="begin", type=int, help="as --full, from this n on")
    parser.add_argument("--to", dest="end", type=int, help="as --full, up to this n")
    parser.add_argument("--step", type=int, help="as --full, but every STEP-th n")
    parser.add_argument("--places", action="store_true", help="the first call from each place, instead of each n")
    parser.add_argument("--depth", type=int, default=0, help="how many callers make a place; 12 with --places")
    parser.add_argument("--place", default="", help="only calls from there are counted")
    parser.add_argument("--part", default="1/1", help="with --places: K/N, the K-th of N parts of them")
    parser.add_argument("--findings", type=int, default=3, help="a loop ends after so many")
    parser.add_argument("--seed", type=int, default=1, help="of the sample and of where the steps begin")
    parser.add_argument("--verbose", action="store_true", help="what failed and what was told, for each n")
    return parser.parse_args()


def numbers(arguments, total, parts):
    """Which n are tried: all that are asked for, or the first few and one out of each of some equal parts."""
    prng = random.Random(arguments.seed)
    if arguments.full or arguments.begin or arguments.end or arguments.step:
        step = arguments.step or 1
        first = (arguments.begin or 1) + prng.randrange(step)
        return range(first, (arguments.end or 1 << 40) + 1, step)
    rest = max(total - DENSE, parts)
    return [*range(1, DENSE + 1), *(DENSE + 1 + (part * rest + prng.randrange(rest)) // parts for part in range(parts))]


def repeat_command(loop, n):
    fault = loop.fault
    where = "".join(f" --{word} {getattr(fault, word)}" for word in ("call", "path", "error", "depth", "place")
                    if getattr(fault, word))
    return (f"python3 test/real/error_loops.py --workload {loop.workload.__name__} --class {fault.what} "
            f"--mode {fault.mode}{where} --from {n} --to {n}")


class Run:
    """One loop: which n of which fault were tried, and what was found."""

    def __init__(self, loop, arguments):
        self.loop, self.arguments = loop, arguments
        self.began, self.tried, self.found = time.monotonic(), 0, []
        fault = loop.fault
        self.name = " ".join(filter(None, (loop.workload.__name__, fault.what, fault.mode, fault.call, fault.path,
                                           fault.error)))

    def attempt(self, n, must_fail=False):
        """False: the workload has passed untouched."""
        loop = self.loop
        self.tried += 1
        try:
            if not loop.round(n):
                expect(not must_fail, f"there is no call {n} any more: look for it, and mend FOUND")
                return False
            if self.arguments.verbose:
                print(f"n = {n}{loop.fault.place and ' from ' + loop.fault.place}: {loop.failed_call()}; "
                      f"{'; '.join(loop.told) or 'nobody noticed'}", flush=True)
        except Failure as failure:
            self.found.append(f"{failure}\n    repeat: {repeat_command(loop, n)}")
            print(f"n = {n}: {failure}\n    repeat: {repeat_command(loop, n)}", flush=True)
            for host in loop.host.lab.hosts.values():
                print(f"-- {host.name}:\n" + "\n".join(host.log_tail(60)), flush=True)
            if loop.host.is_running():
                loop.host.kill()
        return True

    def is_enough(self):
        return len(self.found) >= self.arguments.findings

    def end(self, what):
        print(f"    {self.name}: {what}, {len(self.found)} findings, {time.monotonic() - self.began:.0f} s", flush=True)
        return self.found


def run_found(loop, arguments, n):
    """What was found once."""
    its = Run(loop, arguments)
    its.attempt(n, must_fail=True)
    return its.end("found once")


def run_loop(loop, arguments):
    """Tries the n that the arguments name. Returns what was found, a sentence each."""
    its = Run(loop, arguments)
    loop.round(0)
    total = loop.plan.counted()
    if not total:
        print(f"    {its.name}: NOT RUN, there is no such call: these programs may have a sanitizer's allocator")
        return []
    n = 0
    for n in numbers(arguments, total, PARTS_OF_PAIRS if isinstance(loop, Pair) else PARTS):
        if not its.attempt(n) or its.is_enough():
            break
    return its.end(f"{total} calls untouched, {its.tried} tried up to {n}")


def run_places(loop, arguments):
    """The first call from each place that calls came from in three rounds without a fault."""
    its = Run(loop, arguments)
    for _ in range(3):
        loop.round(0)
    part, parts = map(int, arguments.part.split("/"))
    places = sorted(loop.plan.places())
    chosen_ones, passed = places[part - 1::parts], 0
    for place in chosen_ones:
        loop.fault = replace(loop.fault, place=place)
        passed += not its.attempt(1)
        if its.is_enough():
            break
    return its.end(f"{loop.plan.counted()} calls at last, from {len(places)} places, {its.tried} of {len(chosen_ones)} "
                   f"tried, {passed} not come to")


def hosts_for(workload, fault):
    """A sanitizer has an allocator of its own, in which nothing fails: allocations fail in programs without one."""
    options = {"netns": False, "fuse": False}
    names = "ab" if workload is take_over else "a"
    if fault.what == "allocation":
        return harness.Lab(harness.programs(None), names, **options)
    return lab(options, names)


# What is tried with each workload. After the first allocation that fails there is hardly a second one; with no socket
# at all nobody could ask.
KINDS = [("io", "once", ""), ("io", "forever", ""), ("io", "once", "ENOSPC"), ("io", "forever", "ENOSPC"),
         ("socket", "once", ""), ("allocation", "once", "")]


def chosen(arguments):
    """(workload, fault, n or None for those of the arguments): what was found once, then the loops."""
    is_narrowed = any((arguments.what, arguments.mode, arguments.call, arguments.path, arguments.error))
    rows = [] if is_narrowed else [row for row in FOUND if arguments.workload in (None, row[0].__name__)]
    kinds = KINDS if (arguments.what, arguments.mode) not in (("allocation", "forever"), ("socket", "forever")) else [
        (arguments.what, arguments.mode, "")]
    for workload in WORKLOADS:
        for what, mode, error in kinds:
            wanted = {arguments.workload, arguments.what, arguments.mode}
            if wanted - {workload.__name__, what, mode, None} or (arguments.error and arguments.error != error):
                continue
            depth = arguments.depth or (12 if arguments.places else 0)
            fault = Fault(what, mode, arguments.call, arguments.path, error, depth, arguments.place)
            rows = [*rows, (workload, fault, None)]
    return rows


def scenario(arguments):
    sweep_all()
    expect(library().exists(), f"{library()} is not built")
    found = []
    for workload, fault, n in chosen(arguments):
        with hosts_for(workload, fault) as the_lab:
            kind = Pair if workload is take_over else Loop
            loop = kind(the_lab, workload, fault)
            if n:
                found += run_found(loop, arguments, n)
            else:
                found += (run_places if arguments.places else run_loop)(loop, arguments)
    expect(not found, "\n".join(found))


WORKLOADS = [new_cluster, after_a_crash, take_over]

# What was found once, by a call and a file, which do not move as numbers do.
FOUND = [(new_cluster, Fault("io", "once", "fstat", "spare-2"), 3),  # the size of a new log file was taken for 0
         (new_cluster, Fault("io", "once", "lstat", ".seg"), 1),  # a file that could not be examined was not listed
         (new_cluster, Fault("io", "once", "ftruncate64", "meta.db-journal"), 5),  # waited for what was not written
         (new_cluster, Fault("io", "once", "pwritev2", "a/state/resources"), 10),  # the pool was given back too early
         (after_a_crash, Fault("io", "once", "fstat", "/dev/shm/mars-"), 1),  # writes-lost, forgotten by a detach
         (after_a_crash, Fault("io", "forever", "open", "/life"), 1),  # a state without a next step
         (after_a_crash, Fault("io", "once", "open", "/replica.json"), 1),  # another one
         (after_a_crash, Fault("socket", "once", "sendmsg"), 2),  # an NBD client was never answered
         (new_cluster, Fault("socket", "forever", "epoll_ctl"), 1)]  # no watch was left: an exception ended marsd

if __name__ == "__main__":
    parsed = parse()
    harness.main(lambda: scenario(parsed))
