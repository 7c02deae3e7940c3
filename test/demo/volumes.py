"""What the demo keeps on the replicated device, and how it proves that it is all there.

Mounted: ext4 on /dev/mars/NAME, as it is meant. Exported: where there is no FUSE, an ext4 image that goes through NBD
without ever being mounted. Both offer the same verbs, so that there is one scenario.
"""

import hashlib
import mmap
import os
import shutil
import time
from pathlib import Path

import leftovers
from common import check_ext4, expect, poll, run
from nbd import Nbd

MIB = 1 << 20
SELECTION_BYTES = 300 * MIB
SCRIBBLE_BYTES = 32 * MIB
SCRIBBLE_BLOCK = 256 * 1024
SCRIBBLE_BLOCKS = 8  # between two looks, which take longer than a write
SCRIBBLE_PAUSE = 0.005  # at most 50 MiB/s, so that the log does not become as large as the disk


def selection():
    """The first 300 MiB of regular files below /usr/share, sorted by name; where that is less, of /usr/lib too."""
    total = 0
    for root in ("/usr/share", "/usr/lib"):
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                if path.is_symlink() or not path.is_file():
                    continue
                total += path.stat().st_size
                yield path
                if total >= SELECTION_BYTES:
                    return


def copy_selection(target):
    """Copies it and makes it durable. Returns {name below target: SHA-256 of the source}, and the bytes."""
    sums, total = {}, 0
    for path in selection():
        data = path.read_bytes()
        place = target / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        sums[str(place.relative_to(target))] = hashlib.sha256(data).hexdigest()
        total += len(data)
    return sums, total


def sum_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def drop_caches():
    """So that what is read comes from the device."""
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        pass


def write_durably(path, data):
    """write, fsync, fsync of the folder: what an application does for what must not be lost."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


class Mounted:
    """An ext4 on the block device of the resource."""

    kind = "FUSE + loop, ext4 mounted"
    flush_name = "fsync"
    is_mounted = True
    how_read = "caches dropped, mounted read-only"

    def __init__(self, resource):
        self.resource = resource
        self.sums = {}

    def make(self, host):
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", host.device(self.resource))

    def open(self, host, read_only=False):
        run("mount", "-o", "ro" if read_only else "rw", host.device(self.resource), host.mount_point)

    def close(self, host):
        poll(f"{host.mount_point} can be unmounted",
             lambda: run("umount", host.mount_point, check=False).returncode == 0, 20, hosts=[host])

    def drop(self, host):
        """Lets go of a dead device; the filesystem on it has already failed."""
        run("umount", host.mount_point, check=False)
        if os.path.ismount(host.mount_point):
            run("umount", "-l", host.mount_point)

    def fill(self, host):
        self.sums, total = copy_selection(host.mount_point)
        run("sync", "-f", host.mount_point)
        return len(self.sums), total

    def job(self, host):
        return [f"--filename={host.mount_point}/fio.data", "--ioengine=libaio"]

    def note_job(self, host):
        self.sums["fio.data"] = sum_of(host.mount_point / "fio.data")

    def check(self, host):
        """Every file has the content that was written. Returns how many there are."""
        drop_caches()
        for name, wanted in self.sums.items():
            path = host.mount_point / name
            expect(path.exists(), f"{name} is missing on {host.name}", [host])
            expect(sum_of(path) == wanted, f"{name} on {host.name} has another content than what was written", [host])
        return len(self.sums)

    def check_structure(self, host, after_crash=False):
        check_ext4(host.device(self.resource), after_crash)

    def put(self, host, name, data):
        write_durably(host.mount_point / name, data)

    def note(self, name, data):
        self.sums[name] = hashlib.sha256(data).hexdigest()

    def has(self, host, name, data):
        path = host.mount_point / name
        return path.exists() and path.read_bytes() == data

    def prepare_scribble(self, host):
        path = host.mount_point / "scribble"
        if not path.exists():
            write_durably(path, bytes(SCRIBBLE_BYTES))

    def scribble(self, host, is_enough):
        """Overwrites a file without ever asking for durability, until is_enough(). Returns the bytes written."""
        block = mmap.mmap(-1, SCRIBBLE_BLOCK)  # aligned, as O_DIRECT wants it
        block.write(os.urandom(SCRIBBLE_BLOCK))
        file, written = os.open(host.mount_point / "scribble", os.O_WRONLY | os.O_DIRECT), 0
        try:
            while not is_enough():
                for _ in range(SCRIBBLE_BLOCKS):
                    written += os.pwrite(file, block, written % SCRIBBLE_BYTES)
                    time.sleep(SCRIBBLE_PAUSE)
        finally:
            os.close(file)
        return written


class Exported:
    """The same on an NBD export: an image first, behind it fio's part, notes and a part to scribble on."""

    kind = "NBD on a Unix socket, nothing mounted"
    flush_name = "FLUSH"
    is_mounted = False
    how_read = "read back through NBD"
    IMAGE, JOB, NOTES, SCRIBBLE = 0, 640 * MIB, 1024 * MIB, 1040 * MIB
    PIECE = 4 * MIB

    def __init__(self, resource):
        self.resource = resource
        self.image_sum = ""
        self.job_sum = ""
        self.notes = {}

    def make(self, host):
        pass

    def open(self, host, read_only=False):
        host.device(self.resource)

    def close(self, host):
        pass

    def drop(self, host):
        pass

    def fill(self, host):
        scratch, image = leftovers.scratch_of(host.base.parent), host.base / "image"
        has_room = scratch.parent.is_dir() and shutil.disk_usage(scratch.parent).free > 2 * SELECTION_BYTES
        tree = (scratch if has_room else host.base) / "tree"
        sums, total = copy_selection(tree)
        with open(image, "wb") as file:
            file.truncate(self.JOB - self.IMAGE)
        run("mkfs.ext4", "-q", "-i", "8192", "-d", tree, image)
        self.image_sum = sum_of(image)
        run("nbdcopy", "--flush", image, host.device(self.resource))
        shutil.rmtree(tree)
        return len(sums), total

    def job(self, host):
        return ["--ioengine=nbd", f"--uri={host.device(self.resource)}", f"--offset={self.JOB}"]

    def note_job(self, host):
        self.job_sum = self.part_sum(host, self.JOB, self.NOTES)

    def pieces(self, host, begin, end):
        with Nbd(host.device(self.resource)) as nbd:
            for at in range(begin, end, self.PIECE):
                yield nbd.read(at, self.PIECE)

    def part_sum(self, host, begin, end):
        digest = hashlib.sha256()
        for piece in self.pieces(host, begin, end):
            digest.update(piece)
        return digest.hexdigest()

    def check(self, host):
        for name, begin, end, wanted in [("the image", self.IMAGE, self.JOB, self.image_sum),
                                         ("fio's part", self.JOB, self.NOTES, self.job_sum)]:
            if wanted:
                is_equal = self.part_sum(host, begin, end) == wanted
                expect(is_equal, f"{name} on {host.name} has another content", [host])
        for name, data in self.notes.items():
            expect(self.has(host, name, data), f"{name} is missing on {host.name}", [host])
        return 2 + len(self.notes)

    def check_structure(self, host, after_crash=False):
        image = host.base / "copy"
        with open(image, "wb") as file:
            for piece in self.pieces(host, self.IMAGE, self.JOB):
                file.write(piece)
        check_ext4(image, after_crash)

    def place(self, name):
        return self.NOTES + int.from_bytes(hashlib.sha256(name.encode()).digest()[:1]) * 65536 // 2

    def put(self, host, name, data):
        with Nbd(host.device(self.resource)) as nbd:
            nbd.write(self.place(name), data.ljust(4096, b"\0")[:4096])
            nbd.flush()

    def note(self, name, data):
        self.notes[name] = data

    def has(self, host, name, data):
        with Nbd(host.device(self.resource)) as nbd:
            return nbd.read(self.place(name), 4096) == data.ljust(4096, b"\0")[:4096]

    def prepare_scribble(self, host):
        pass

    def scribble(self, host, is_enough):
        block, written = os.urandom(SCRIBBLE_BLOCK), 0
        with Nbd(host.device(self.resource)) as nbd:
            while not is_enough():
                for _ in range(SCRIBBLE_BLOCKS):
                    nbd.write(self.SCRIBBLE + written % SCRIBBLE_BYTES, block)
                    written += len(block)
                    time.sleep(SCRIBBLE_PAUSE)
        return written
