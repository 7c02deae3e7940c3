"""A test program of named cases: each function given runs in a lab of its own, or all of them share what they make."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import harness  # noqa: E402
import leftovers  # noqa: E402


def run_cases(cases, needs_fuse=False):
    """Runs the cases that the arguments name, else all. What the machine cannot do is said, never passed over."""
    wanted = sys.argv[1:]
    unknown = set(wanted) - {case.__name__ for case in cases}

    def scenario():
        harness.expect(not unknown, f"there is no case {', '.join(unknown)}; there are "
                       f"{', '.join(case.__name__ for case in cases)}")
        leftovers.sweep_all()
        can = harness.choose()
        if needs_fuse and not can["fuse"]:
            print("NOT RUN, because there is no FUSE: " + ", ".join(case.__name__ for case in cases))
            return
        for case in cases:
            if wanted and case.__name__ not in wanted:
                continue
            began = time.monotonic()
            print(f"{case.__name__} ...", flush=True)
            case(can)
            print(f"{case.__name__}: passed in {time.monotonic() - began:.1f} s", flush=True)

    harness.main(scenario)


def lab(can, hosts="a", **options):
    """With marsd of the test's own build, because that one has the sanitizers; of marsadm see harness.Lab."""
    return harness.Lab(harness.programs(os.environ.get("MARS_BUILD_DIR")), hosts, **{**can, **options})
