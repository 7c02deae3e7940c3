#!/usr/bin/env python3
"""The demo is ended in the middle: by Ctrl-C, by a failure, or by kill -9 and a second start. Nothing of it is left.
What --keep leaves runs on until the next start."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import leftovers  # noqa: E402
from common import expect, poll, run  # noqa: E402
from harness import Lab, choose, main, programs  # noqa: E402


def left_of(base):
    """Everything on this machine that carries the lab's name."""
    found = [f"process {pid}" for pid in leftovers.processes_of(base)]
    found += leftovers.mounts_below(base) + leftovers.loops_below(base)
    found += [str(path) for path in (base, *shared_memory_of(base)) if path.exists()]
    namespaces = Path("/var/run/netns")
    found += [str(path) for path in namespaces.glob(f"{base.name}-*")] if namespaces.is_dir() else []
    return found + [line for line in run("ip", "-o", "link").stdout.splitlines() if f"{base.name}-" in line]


def shared_memory_of(base):
    """As leftovers.pools_of(), when the folders may be gone already."""
    return [leftovers.pool_of(base / host / "run") for host in "abc"]


def begin(folder, until):
    """A demo that has just printed this."""
    process = subprocess.Popen([sys.executable, "-u", HERE / "demo.py", "--bin", folder], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        if until in line:
            return process, leftovers.ROOT / f"{leftovers.PREFIX}-{process.pid}"
    expect(False, f'the demo ended before it said "{until}":\n' + "".join(said))


def finish(process):
    process.stdout.read()
    return process.wait(60)


def keep_a_lab(folder):
    """What `--keep` does at its end, in a process that is over then. Returns its folder."""
    can = choose()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with Lab(folder, "ab", keep=True, **can) as lab:
                lab.start_cluster()
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    base = leftovers.ROOT / f"{leftovers.PREFIX}-{pid}"
    if os.waitpid(pid, 0)[1] != 0:
        leftovers.sweep(base)
        expect(False, "a lab that is to be kept did not come up")
    return base


def ended_in_the_middle():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin")
    folder = programs(parser.parse_args().bin)
    for moment in ("made the resource", "Real data goes onto", "The link between A and B is cut"):
        process, base = begin(folder, moment)
        expect(left_of(base), "the demo runs, and nothing of it can be seen")
        process.send_signal(signal.SIGINT)
        code = finish(process)
        expect(code == 130, f"Ctrl-C behind \"{moment}\": the demo ended with {code}")
        expect(not left_of(base), f"Ctrl-C behind \"{moment}\" left {left_of(base)}")
        print(f"Ctrl-C behind \"{moment}\": nothing is left")
    process, base = begin(folder, "Real data goes onto")
    for pid in leftovers.processes_of(base / "b"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    code = finish(process)
    expect(code == 1, f"marsd on B was killed under the demo, which ended with {code}")
    expect(not left_of(base), f"a failure left {left_of(base)}")
    print("a failure in the middle: nothing is left")
    process, base = begin(folder, "Real data goes onto")
    (base / "kept").touch()  # a test that begins just now in the other lane leaves it alone
    process.kill()
    finish(process)
    expect(left_of(base), "kill -9 left nothing, so the sweep has nothing to show")
    (base / "kept").unlink()
    run(sys.executable, HERE / "demo.py", "--clean", "--bin", folder, timeout=120)
    poll("the next start has swept it", lambda: not left_of(base), 60)
    print("kill -9, and the next start: nothing is left")
    base = keep_a_lab(folder)
    kept = leftovers.processes_of(base)
    run(sys.executable, HERE / "demo.py", "--clean", "--bin", folder, timeout=120)
    expect(len(kept) == 2, f"two daemons were to be kept, and there were {len(kept)}")
    expect(not left_of(base), f"the start after --keep left {left_of(base)}")
    print("--keep, and the next start: it ran on, and nothing is left")


if __name__ == "__main__":
    main(ended_in_the_middle)
