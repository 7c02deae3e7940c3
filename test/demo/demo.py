#!/usr/bin/env python3
"""Runs the main job on this machine: see scenario.py. ./demo at the root builds the programs and calls this."""

import argparse
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

import harness  # noqa: E402
import leftovers  # noqa: E402
from scenario import Scenario, RESOURCE, invitation  # noqa: E402
from volumes import Exported, Mounted  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(prog="./demo", description="Three hosts on this machine replicate a real "
                                     "filesystem through a bad network, and hand it over.")
    parser.add_argument("--bin", help="folder of the programs [build/release/bin]")
    parser.add_argument("--keep", action="store_true", help="leave it running at the end, and say how to play with it")
    parser.add_argument("--clean", action="store_true", help="only remove what earlier runs left or kept")
    parser.add_argument("--fallback", action="store_true",
                        help="as on a machine without namespaces and FUSE: loopback ports and NBD")
    return parser.parse_args()


def scenario():
    options = arguments()
    leftovers.sweep_all(with_kept=True)
    if options.clean:
        return
    if options.fallback:
        print("doing without namespaces and FUSE because of --fallback")
        can = {"netns": False, "fuse": False}
    else:
        can = harness.choose()
    volume = Mounted(RESOURCE) if can["fuse"] else Exported(RESOURCE)
    with harness.Lab(harness.programs(options.bin), "abc", keep=options.keep, **can) as lab:
        Scenario(lab, volume).run()
        if options.keep:
            print(invitation(lab), flush=True)
        if options.keep and not can["netns"]:
            signal.pause()


if __name__ == "__main__":
    harness.main(scenario)
