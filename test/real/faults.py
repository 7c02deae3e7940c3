"""What error_loops.py is made of: a plan of faults, what may be on a device, and a life that bears refusals."""

import contextlib
import errno
import mmap
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from common import Failure, expect, poll
import harness
from harness import DONE, TIMED_OUT
from nbd import Nbd, NbdError

SIZE = 16 << 20
BLOCK = 4096
ANSWER_SECONDS = 75  # a command ends within 60 s by itself
PLAN = struct.Struct("<QQQIIII32s64sQ")  # test/errors/faults.cc
PLACES = struct.Struct("<16384Q")  # behind it
CLASSES = ("allocation", "io", "socket")


class Plan:
    """What the library in marsd is to do, and what it has done."""

    def __init__(self, path):
        self.path = path
        path.write_bytes(bytes(PLAN.size + PLACES.size))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), PLAN.size + PLACES.size)

    def set(self, fault, fail_at):
        error = getattr(errno, fault.error) if fault.error else 0
        PLAN.pack_into(self.memory, 0, 0, 0, fail_at, CLASSES.index(fault.what), fault.mode == "forever", error,
                       fault.depth, fault.call.encode(), fault.path.encode(), int(fault.place or "0", 16))

    def counted(self):
        return PLAN.unpack_from(self.memory)[0]

    def has_failed(self):
        return PLAN.unpack_from(self.memory)[1] > 0

    def places(self):
        """From where calls came, in all that was done with this plan."""
        return {f"{place:016x}" for place in PLACES.unpack_from(self.memory, PLAN.size) if place}


@dataclass(frozen=True)
class Fault:
    """Which calls are counted, and whether all that follow the n-th fail."""

    what: str
    mode: str
    call: str = ""  # its name; empty: any
    path: str = ""  # a part of it; empty: any
    error: str = ""  # ENOSPC: only calls that may need space are counted; empty: what fits the class
    depth: int = 0  # of the stack that makes a place; 0: places are not looked at
    place: str = ""  # only calls from here are counted, and what follows the first failure


class Ledger:
    """What each block may contain. A write that failed may be there or not, and so may one that was not flushed."""

    def __init__(self, counts_acknowledged):
        self.counts_acknowledged = counts_acknowledged  # marsd itself dies, so what was acknowledged is there, too (D6)
        self.possible = {}
        self.unflushed = {}
        self.generation = 0

    def write(self, nbd, number):
        self.generation += 1
        data = struct.pack("<QQ", self.generation, number) * (BLOCK // 16)
        self.possible.setdefault(number, [bytes(BLOCK)]).append(data)
        self.unflushed.pop(number, None)
        nbd.write(number * BLOCK, data)
        self.unflushed[number] = data
        if self.counts_acknowledged:
            self.possible[number] = [data]

    def flush(self, nbd):
        nbd.flush()
        for number, data in self.unflushed.items():
            self.possible[number] = [data]
        self.unflushed.clear()

    def check(self, nbd, host):
        for number, possible in self.possible.items():
            seen = nbd.read(number * BLOCK, BLOCK)
            expect(seen in possible, f"block {number} has {seen[:16]!r}; it may have "
                   f"{[one[:16] for one in possible]}", [host])


class Ended(Exception):
    """marsd is no more."""


class Unheard(Exception):
    """marsd has no sockets any more, so nobody can ask it anything."""


class Life:
    """One marsd with a fault, or without. Each step bears that it is refused, and none that it is not answered."""

    def __init__(self, host, ledger, has_lost_sockets=lambda: False, patience=ANSWER_SECONDS):
        self.host, self.ledger = host, ledger
        self.has_lost_sockets, self.patience = has_lost_sockets, patience
        self.done = set()
        self.told = []

    def start(self):
        try:
            self.host.start(timeout=min(60, self.patience))
        except Failure:
            if self.host.is_running() and self.has_lost_sockets():
                raise Unheard from None
            if self.host.is_running():
                raise
            raise Ended from None

    def ask(self, *words, **options):
        try:
            return self.host.adm(*words, timeout=self.patience, **options)
        except Failure:
            if self.has_lost_sockets():
                raise Unheard from None
            raise

    def command(self, *words, **options):
        answer = self.ask(*words, **options)
        if answer.code == DONE:
            self.done.add(words[0])
            return True
        self.expect_alive()
        what = f"marsadm {' '.join(map(str, words))}"
        is_allowed = answer.code != TIMED_OUT or "--timeout" in words
        expect(is_allowed, f"{what} waited for what cannot come: {answer.text}", [self.host])
        expect(answer.text, f"{what} ended with {answer.code} and says nothing", [self.host])
        self.told.append(answer.message())
        return False

    def expect_alive(self):
        """What a client sees first is a connection that breaks."""
        for _ in range(20):
            if not self.host.is_running():
                raise Ended
            if self.ask("version").code == DONE:
                return
            time.sleep(0.1)
        if self.has_lost_sockets():
            raise Unheard
        raise Failure("marsd runs and does not answer", [self.host])

    def device(self):
        """The address of the export; None when the state says why there is none, and what to do."""
        last, since = {}, {}

        def is_lasting():  # what is shown may be half a second old
            sentence = (last.get("state"), last.get("next_step"))
            if since.get("sentence") != sentence:
                since.update(sentence=sentence, at=time.monotonic())
            return last.get("next_step") and time.monotonic() - since["at"] > 0.7

        def settled():
            if not self.host.is_running():
                raise Ended
            answer = self.ask("view", "r", "--json")
            if answer.code != DONE:
                self.expect_alive()
                return False
            last.clear()
            replicas = answer.json()["resources"][0]["replicas"]
            last.update(next((one for one in replicas if one["host"] == self.host.name), {}))
            return last.get("is_device_open") or is_lasting()

        poll(lambda: f"r opens or says why not: {last}", settled, 25, 0.05, [self.host])
        if last.get("is_device_open"):
            return last["device"]
        self.told.append(f"{last['state']}: {last.get('reason', '')}; {last['next_step']}")
        return None

    def use(self, first):
        """Writes that overlap, flushes, and reads that are compared at once."""
        device = self.device()
        if device is None:
            return
        try:
            with Nbd(device, timeout=self.patience) as nbd:
                for turn in range(3):
                    for number in range(first, first + 4 + turn):
                        self.attempt(self.ledger.write, nbd, number)
                    self.attempt(self.ledger.flush, nbd)
                self.attempt(self.ledger.check, nbd, self.host)
        except TimeoutError:
            if self.has_lost_sockets():
                raise Unheard from None
            raise Failure(f"an NBD client is not answered within {self.patience} s", [self.host]) from None
        except (ConnectionError, NbdError, BrokenPipeError) as error:
            self.told.append(str(error))
            self.expect_alive()

    def attempt(self, action, nbd, *arguments):
        try:
            action(nbd, *arguments)
        except NbdError as error:
            self.told.append(f"NBD: {error}")

    def descriptors(self):
        """How many are open when no client is there any more, without the files of the log: it may have one more."""
        def count():
            folder, seen = Path(f"/proc/{self.host.process.pid}/fd"), 0
            for one in os.listdir(folder):
                with contextlib.suppress(OSError):
                    seen += not os.readlink(folder / one).endswith(".seg")
            return seen

        seen = count()
        for _ in range(10):
            time.sleep(0.02)
            seen = min(seen, count())
        return seen

    def stop(self):
        self.host.stop()
        raise Ended


def library():
    return Path(os.environ.get("MARS_BUILD_DIR") or harness.programs(None)).resolve().parent / "lib" / "libfaults.so"
