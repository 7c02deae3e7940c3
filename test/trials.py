"""What this machine can do, found out by doing it: the reasons are printed, not guessed."""

import ctypes
import os
import shutil
import tempfile
from pathlib import Path

from common import Failure, run
from network import try_namespaces


def find_out(label):
    """{"netns": reason why not, or empty, "fuse": the same}."""
    return {"netns": try_namespaces(label), "fuse": try_fuse_and_loop()}


def try_fuse_and_loop():
    if os.geteuid() != 0:
        return "only root can mount and make loop devices"
    folder = Path(tempfile.mkdtemp(prefix="mars-try-"))
    try:
        return try_fuse(folder) or try_loop(folder)
    except (Failure, OSError) as error:
        return str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def try_fuse(folder):
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        return f"/dev/fuse cannot be opened ({error.strerror}); load the module fuse"
    where = folder / "fuse"
    where.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    try:
        if libc.mount(b"mars-try", bytes(where), b"fuse", 0, options) != 0:
            return f"a FUSE mount is refused ({os.strerror(ctypes.get_errno())})"
        libc.umount2(bytes(where), 2)  # MNT_DETACH
    finally:
        os.close(device)
    return ""


def try_loop(folder):
    image, where = folder / "image", folder / "mnt"
    image.touch()
    os.truncate(image, 8 << 20)
    where.mkdir()
    loop = run("losetup", "-f", "--show", image).stdout.strip()
    try:
        run("mkfs.ext4", "-q", loop)
        run("mount", loop, where)
        run("umount", where)
    finally:
        run("losetup", "-d", loop, check=False)
    return ""
