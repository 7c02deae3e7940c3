#!/usr/bin/env python3
"""last_words.py BUILD: the last lines of each test that failed in ctest's last run there."""

import re
import sys
from pathlib import Path

TESTS, LINES, COLUMNS = 8, 60, 300


def outputs(log):
    """(name, lines that it printed), in the order of their ends."""
    for part in re.split(r"^\d+/\d+ Testing: ", log, flags=re.MULTILINE)[1:]:
        head, _, rest = part.partition("\nOutput:\n")
        yield head.split("\n", 1)[0], rest.partition("<end of output>")[0].splitlines()[1:]


def main():
    folder = Path(sys.argv[1]) / "Testing" / "Temporary"
    names = folder / "LastTestsFailed.log"
    if not names.exists():
        print("\n== ctest was ended before its own end")
        return
    failed = [line.split(":", 1)[1] for line in names.read_text().splitlines()]
    said = dict(outputs((folder / "LastTest.log").read_text(errors="replace")))
    for name in failed[:TESTS]:
        lines = said.get(name, ["(it printed nothing)"])
        print(f"\n== {name}, the last of {len(lines)} lines:")
        print("\n".join(line[:COLUMNS] for line in lines[-LINES:]))
    if len(failed) > TESTS:
        print(f"\n== and {len(failed) - TESTS} more failed")
    print()


main()
