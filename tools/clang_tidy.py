#!/usr/bin/env python3
"""clang-tidy over the sources of the repository, several at a time: clang_tidy.py BUILD_DIR [FILE...]

What was found clean is looked at again only when it, a header of ours that it includes, .clang-tidy or clang-tidy
itself has changed (the build's own list of dependencies says which headers those are; stamps lie in
BUILD_DIR/clang-tidy). The first time takes about half an hour on two processors.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TIDY = "clang-tidy-19"
# Tests multiply small numbers everywhere. Whoever makes this stricter removes the stamps.
LESS_FOR_TESTS = "--checks=-bugprone-implicit-widening-of-multiplication-result"


def output_of(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True).stdout


def objects(build):
    """The object file of each source."""
    commands = json.loads((build / "compile_commands.json").read_text())
    return {Path(entry["file"]): re.search(r" -o (\S+)", entry["command"])[1] for entry in commands}


def headers(build):
    """What each object file was made from, as far as it is ours."""
    found, current = {}, None
    for line in output_of("ninja", "-C", build, "-t", "deps").splitlines():
        if line and not line.startswith((" ", "ninja:")):
            current = found.setdefault(line.split(": #deps")[0], [])
        elif line.startswith("    "):
            path = Path(os.path.normpath(build / line.strip()))
            if path.is_relative_to(ROOT) and not path.is_relative_to(build):
                current.append(path)
    return found


class Checker:
    def __init__(self, build):
        self.build = build
        self.objects, self.headers = objects(build), headers(build)
        self.stamps = build / "clang-tidy"
        self.stamps.mkdir(exist_ok=True)
        self.same_for_all = output_of(TIDY, "--version").encode() + (ROOT / ".clang-tidy").read_bytes()

    def stamp(self, source):
        """None: nobody knows what it includes."""
        made_from = self.headers.get(self.objects.get(source, ""))
        if not made_from:
            return None
        digest = hashlib.sha256(self.same_for_all)
        for path in [source, *sorted(set(made_from))]:
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
        return self.stamps / digest.hexdigest()

    def check(self, source):
        """What clang-tidy says; empty: it is clean. And whether it was asked."""
        stamp = self.stamp(source)
        if stamp and stamp.exists():
            return "", False
        less = [LESS_FOR_TESTS] if source.name.endswith("_test.cc") else []
        done = subprocess.run([TIDY, "-p", self.build, "--quiet", "--extra-arg=-Wno-unknown-warning-option", *less,
                               source], capture_output=True, text=True)
        if done.returncode != 0:
            return done.stdout or done.stderr, True
        if stamp:
            stamp.touch()
        return "", True


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    checker = Checker(Path(sys.argv[1]).resolve())
    sources = [Path(name).resolve() for name in sys.argv[2:]]
    if not sources:
        sources = sorted(path for folder in ("src", "sim") for path in (ROOT / folder).rglob("*.cc"))
    asked, unclean = 0, 0
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for source, (said, was_asked) in zip(sources, workers.map(checker.check, sources)):
            asked += was_asked
            if said:
                unclean += 1
                print(f"{source.relative_to(ROOT)}:\n{said}", flush=True)
    print(f"clang-tidy: {len(sources)} sources, {asked} of them changed, {unclean} not clean")
    sys.exit(1 if unclean else 0)


if __name__ == "__main__":
    main()
