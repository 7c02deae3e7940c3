#!/usr/bin/env python3
"""Which scenario attacks what: reads the "// Attacks:" lines of sim/scenario/*_test.cc and keeps the tables of
doc/testing.md. Usage: scenarios.py ROOT [--fix]; without --fix it fails when the page is not up to date, when a
scenario names nothing, or when a failure of the list is neither attacked nor excused."""
import pathlib
import re
import sys

SCENARIOS_MIN = 100
FAILURES = {
    1: "network outage for minutes to days", 2: "slow or lossy link", 3: "flapping network", 4: "cut during sync",
    5: "cut during handover", 6: "one-way connectivity", 7: "primary crashes and reboots",
    8: "primary crashes with a torn log tail", 9: "secondary crashes", 10: "crash during sync",
    11: "crash while metadata is written", 12: "both sides lose power", 13: "primary host lost for good",
    14: "secondary host lost for good", 15: "lost host comes back", 16: "log disk full on the primary",
    17: "log disk full on a secondary", 18: "foreign data on the log disk", 19: "split brain",
    20: "double split with rolled segments", 21: "bystander of a split", 22: "emergency looks like split brain",
    23: "corrupt log on a secondary", 24: "corrupt log on the primary", 25: "primary cannot recover its own log",
    26: "bit rot of metadata", 27: "disk error on a secondary", 28: "disk error on the primary",
    29: "disk too small, changed or missing", 30: "data disk modified behind our back", 31: "clock skew and jumps",
    32: "host renamed or duplicated", 33: "concurrent commands", 34: "conflicting wishes from two partitions",
    35: "two primary commands at once", 36: "primary while the device is mounted",
    37: "handover during a sync elsewhere", 38: "handover onto a host that syncs",
    39: "leave or invalidate during a role flip", 40: "join races with log rolling",
    41: "invalidate races with log rolling", 42: "housekeeping with a dead peer", 43: "rolling upgrade",
    44: "memory pressure", 45: "many resources sync", 46: "denial of service at the port",
    47: "stop with an open device", 48: "resize interrupted", 49: "delete with a live primary",
    50: "storage restored to an earlier moment", 51: "many or huge logs", 52: "failover of a whole site",
    53: "planned freeze for a backup", 54: "prosumer epochs", 55: "power loss right after FLUSH or FUA",
}
EXCUSES = {
    22: "there is no emergency mode: a full log disk costs a replica its log (F16) and makes no second history",
    43: "there is one version so far; net/ tests refuse unknown ones by name",
    48: "a resource cannot be resized yet",
    51: "segments are bounded and recycled, so a log is never many or huge; the roll is attacked by F20, F40 and F41",
    54: "there is no prosumer device",
}
BEGIN, END = "<!-- scenarios: made by tools/scenarios.py --fix -->\n", "<!-- end of scenarios -->\n"
TEST = re.compile(r"^TEST_[FP]\((\w+), (\w+)\)")


class Scenario:
    def __init__(self, where, fixture, name, attacks, is_generated):
        self.where, self.fixture, self.name = where, fixture, name
        self.attacks, self.is_generated = attacks, is_generated


def split(text):
    """The ids of one line; commas inside parentheses belong to a description."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text) if part.strip()]


def read(root, problems):
    scenarios = []
    for path in sorted((root / "sim/scenario").glob("*_test.cc")):
        attacks = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith("// Attacks: "):
                attacks = split(line.removeprefix("// Attacks: "))
            found = TEST.match(line)
            if not found:
                continue
            if not attacks:
                problems.append(f"{path.relative_to(root)}:{number}: {found[2]} does not say what it attacks")
            scenarios.append(Scenario(path.stem, found[1], found[2], attacks or [], line.startswith("TEST_P")))
            attacks = None
    return scenarios


def check(scenarios, problems):
    named = [s for s in scenarios if not s.is_generated]
    if len(named) < SCENARIOS_MIN:
        problems.append(f"only {len(named)} named scenarios, {SCENARIOS_MIN} are promised")
    names = [s.name for s in scenarios]
    problems += [f"two scenarios are called {name}" for name in sorted(set(names)) if names.count(name) > 1]
    attacked = {attack for s in scenarios for attack in s.attacks}
    for number in FAILURES:
        is_attacked, is_excused = f"F{number}" in attacked, number in EXCUSES
        if is_attacked == is_excused:
            what = "is attacked and excused" if is_attacked else "is neither attacked nor excused"
            problems.append(f"F{number} ({FAILURES[number]}) {what}")
    known = re.compile(r"(F[1-9]\d?|P[1-9]\d?|[DTSMGUR]\d+|[A-Z]{2}\d+|protocol 8 \(.+\))$")
    for s in scenarios:
        problems += [f"{s.name} attacks {a}, which is no promise, rule or failure" for a in s.attacks
                     if not known.match(a)]


def order(attack):
    letters = re.match(r"\D*", attack)[0]
    number = re.search(r"\d+", attack)
    return (letters, int(number[0]) if number else 0, attack)


def table(scenarios):
    lines = ["| | failure | scenarios |", "|---|---|---|"]
    by_attack = {}
    for s in scenarios:
        for attack in s.attacks:
            by_attack.setdefault(attack, []).append(s.name)
    for number, what in FAILURES.items():
        cell = ", ".join(by_attack.get(f"F{number}", [])) or f"*does not apply:* {EXCUSES.get(number, '')}"
        lines.append(f"| F{number} | {what} | {cell} |")
    lines += ["", "| promise or rule | scenarios |", "|---|---|"]
    for attack in sorted(by_attack, key=order):
        is_ours = re.match(r"(P\d+|[DTSMGUR]\d+|protocol 8 .*)$", attack)
        if is_ours:
            lines.append(f"| {attack} | {', '.join(by_attack[attack])} |")
    return "\n".join(lines) + "\n"


def main():
    root = pathlib.Path(sys.argv[1])
    problems = []
    scenarios = read(root, problems)
    check(scenarios, problems)
    page = root / "doc/testing.md"
    text = page.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    wanted = before + BEGIN + table(scenarios) + END + after
    if "--fix" in sys.argv:
        page.write_text(wanted)
    elif wanted != text:
        problems.append("doc/testing.md is not up to date: run tools/scenarios.py . --fix")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
