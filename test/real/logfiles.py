"""The files of a resource as they lie on a disk, so that a test can say which byte it spoils (doc/format/)."""

import struct
from pathlib import Path

BLOCK = 4096
SLOT = 65536


class Batch:
    """Where one lies: `at` in the file, `lsn` and `end` in the log, `durable` as it says of the log before it."""

    def __init__(self, path, at, head):
        self.path, self.at = path, at
        self.length, self.records = struct.unpack_from("<II", head, 32)
        self.lsn, = struct.unpack_from("<Q", head, 104)
        self.hash, self.previous = head[16:32], head[112:128]
        self.durable, = struct.unpack_from("<Q", head, 128)
        self.end = self.lsn + self.length
        self.operation = head[256]


class Segment:
    def __init__(self, path):
        self.path = Path(path)
        with open(path, "rb") as file:
            head = file.read(BLOCK)
            self.magic = head[:8]
            self.epoch = head[64:80]
            self.first, = struct.unpack_from("<Q", head, 88)
            self.batches, previous = [], None
            size = self.path.stat().st_size
            while file.tell() + BLOCK <= size:
                at = file.tell()
                head = file.read(BLOCK)
                if head[:8] != b"MARSBAT1" or head[80:96] != self.epoch:
                    break
                batch = Batch(self.path, at, head)
                if batch.lsn != self.first + at - BLOCK or batch.length % BLOCK or not batch.length:
                    break
                if previous and batch.previous != previous.hash:
                    break
                self.batches.append(batch)
                previous = batch
                file.seek(at + batch.length)


class State:
    """The newest slot of a state block. `applied`, `durable`: LSNs."""

    def __init__(self, path):
        data = Path(path).read_bytes()
        slots = [data[at:at + SLOT] for at in (0, SLOT)]
        self.slot = max((0, 1), key=lambda i: struct.unpack_from("<Q", slots[i], 32)[0] if any(slots[i]) else 0)
        found = slots[self.slot]
        self.sequence, = struct.unpack_from("<Q", found, 32)
        self.clean = bool(found[128])
        self.applied, = struct.unpack_from("<Q", found, 144 + 16)
        self.durable, = struct.unpack_from("<Q", found, 184 + 16)


class Files:
    """Of one resource on one stopped host."""

    def __init__(self, host, resource):
        uuid = next(found["uuid"] for found in host.status()["resources"] if found["name"] == resource)
        self.state_path = host.state / "resources" / uuid / "state"
        self.folder = host.logs / "resources" / uuid

    def state(self):
        return State(self.state_path)

    def segments(self):
        """Those with batches, in the order of the log."""
        found = [Segment(path) for path in sorted(self.folder.rglob("*.seg")) if "/branch/" not in str(path)]
        return sorted((one for one in found if one.batches), key=lambda one: one.first)

    def batches(self):
        return [batch for segment in self.segments() for batch in segment.batches]


def flip(path, at, bit=0):
    """One bit of a file, in place."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))
