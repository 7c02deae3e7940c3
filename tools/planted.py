#!/usr/bin/env python3
"""Plants the bugs of test/planted/ one by one and demands that the named tests catch each.

planted.py [NAME...]: all, or those whose file name contains NAME. A bug is a patch; in front of it stand lines "Rule:"
and "Caught-by: PROGRAM FILTER [FILTER]", the tests of one program. Works on a clone of HEAD below build/planted, with
the preset quick. Without the patch the tests must pass, with it at least one must fail; a patch that does not apply any
more is an error, for then nobody knows whether the bug would be caught.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLONE = ROOT / "build" / "planted"


def run(*words, cwd=CLONE, timeout=900):
    return subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=timeout)


def must(*words, cwd=CLONE):
    done = run(*words, cwd=cwd)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")


class Bug:
    def __init__(self, path):
        self.path = path
        self.name = path.stem
        text = path.read_text()
        caught_by = re.search(r"^Caught-by: (\S+) (.+)$", text, re.M)
        if not caught_by or not re.search(r"^Rule: \S", text, re.M):
            sys.exit(f'{path}: no line "Rule:" or "Caught-by: PROGRAM FILTER"')
        self.program = caught_by[1]
        self.filter = ":".join(caught_by[2].split())

    def tests_pass(self):
        """Passed? And what was said. A test that hangs has not passed."""
        try:
            done = run(f"build/quick/bin/{self.program}", f"--gtest_filter={self.filter}", timeout=240)
        except subprocess.TimeoutExpired:
            return False, "no end within 240 s"
        if re.search(r"Running 0 tests", done.stdout):
            sys.exit(f"{self.path}: {self.program} has no test {self.filter}")
        failed = re.findall(r"^\[  FAILED  \] (\S+?)(?:,| \(|$)", done.stdout, re.M)
        died = "" if failed else f"{self.program} ended with {done.returncode}"
        return done.returncode == 0, failed[0] if failed else died


def prepare(bugs):
    if CLONE.exists():
        must("git", "fetch", "-q", "origin")
        must("git", "reset", "-q", "--hard", "origin/HEAD")
    else:
        must("git", "clone", "-q", "--shared", ROOT, CLONE, cwd=ROOT)
    must("cmake", "--preset", "quick")
    must("ninja", "-C", "build/quick", *sorted({bug.program for bug in bugs}))
    for bug in bugs:
        passed, said = bug.tests_pass()
        if not passed:
            sys.exit(f"{bug.name}: the tests that should catch it fail without it: {said}")


def survives(bug):
    applied = run("git", "apply", "--recount", "-C1", bug.path)
    if applied.returncode != 0:
        print(f"{bug.name}: does not apply any more: {applied.stderr.strip()}")
        return True
    try:
        built = run("ninja", "-C", "build/quick", bug.program)
        if built.returncode != 0:
            print(f"{bug.name}: does not compile any more:\n{built.stdout[-3000:]}")
            return True
        passed, said = bug.tests_pass()
    finally:
        must("git", "checkout", "-q", ".")
    print(f"{bug.name}: {'SURVIVED ' + bug.program + ' ' + bug.filter if passed else 'caught by ' + said}", flush=True)
    return passed


def main():
    paths = sorted((ROOT / "test" / "planted").glob("*.patch"))
    wanted = sys.argv[1:]
    bugs = [Bug(path) for path in paths if not wanted or any(word in path.stem for word in wanted)]
    if not bugs:
        sys.exit("no such bug in test/planted")
    os.environ["UBSAN_OPTIONS"] = "print_stacktrace=1"
    prepare(bugs)
    survivors = [bug.name for bug in bugs if survives(bug)]
    print(f"{len(bugs) - len(survivors)} of {len(bugs)} planted bugs were caught")
    sys.exit(1 if survivors else 0)


main()
