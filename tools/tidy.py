#!/usr/bin/env python3
"""tidy.py ROOT: holds the house rules that a machine can hold (doc/style.md). Prints what breaks them, exits 1.

Every rule is a function that takes a Tree and yields findings; tools/tidy_test.py proves that each of them can fail.
"""

import re
import sys
from pathlib import Path

LINE_MAX = 120
FILE_MAX = 500
FUNCTION_MAX = 60
FORBIDDEN_WORDS = {"lun", "leg", "journal", "redo", "master", "slave", "rebuild", "bitmap"}
CODE_DIRS = ("src", "sim", "fuzz", "bench", "test")
# Folders that may know the real clock, threads and randomness: the machine, what is outside of it, and tools.
OUTSIDE = ("src/io/linux/", "src/daemon/", "src/cli/", "src/front/fuse/", "fuzz/", "bench/", "test/")
INSTRUMENTS = {"check", "trace", "stats", "delay", "fault", "throttle"}
RATCHET = "tools/tidy_ratchet.txt"


class Tree:
    """The files that the rules look at, as {path: text}."""

    def __init__(self, files):
        self.files = files
        self.code = {p: t for p, t in files.items() if p.endswith((".cc", ".h")) and p.startswith(CODE_DIRS)}
        self.headers = {p: t for p, t in self.code.items() if p.endswith(".h")}

    @classmethod
    def load(cls, root):
        root = Path(root)
        paths = [p for d in CODE_DIRS + ("tools", "doc", "cmake", "packaging") for p in root.glob(f"{d}/**/*")]
        paths += [root / n for n in ("CMakeLists.txt", "check", "demo", "soak", "packages", ".ci/run", "README.md",
                                     "CHANGELOG.md")]
        return cls({str(p.relative_to(root)): p.read_text(errors="replace") for p in sorted(paths)
                    if p.is_file() and "corpus" not in p.parts
                    and p.suffix in (".cc", ".h", ".py", ".sh", ".txt", ".cmake", ".md", "")})


def blank(text, comments_only=False):
    """The text with comments (and the contents of strings) turned into spaces; lines stay where they are."""
    pattern = (r'//[^\n]*|/\*.*?\*/|R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"'
               r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'")

    def spaces(match):
        found = match.group(0)
        if not found.startswith("/"):
            if comments_only:
                return found
            return '"' + re.sub(r"[^\n]", " ", found[1:-1]) + '"'
        return re.sub(r"[^\n]", " ", found)

    return re.sub(pattern, spaces, text, flags=re.S)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def lines_are_short(tree):
    for path, text in tree.files.items():
        if path.endswith(".md") or path == RATCHET:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > LINE_MAX:
                yield f"{path}:{number}: {len(line)} columns, at most {LINE_MAX}"


def no_tabs(tree):
    for path, text in tree.files.items():
        if "\t" in text:
            yield f"{path}:{line_of(text, text.index(chr(9)))}: a tab"


def todos_say_when(tree):
    for path, text in tree.code.items():
        for match in re.finditer(r"\b(?:FIXME|XXX)\b|\bTODO\b(?!\((?:perf|soon|someday)\):)", text):
            yield f"{path}:{line_of(text, match.start())}: only TODO(perf|soon|someday):"


def headers_are_guarded(tree):
    for path, text in tree.headers.items():
        if "#pragma once" not in text:
            yield f"{path}: no #pragma once"


def headers_stand_alone(tree):
    """Who includes its own header first compiles it alone; for headers without a source the target `headers` does."""
    for path in tree.headers:
        source = tree.code.get(path[:-2] + ".cc")
        first = source and re.search(r'^#include [<"](.+?)[>"]', source, re.M)
        if source is not None and not (first and first.group(1) == path.removeprefix("src/")):
            yield f"{path[:-2]}.cc: its own header is to be included first"


# ---- Length of functions and files, and the ratchet that lets old ones only shrink.


def function_name(head):
    test = re.match(r"\s*TEST(?:_F|_P)?\s*\(\s*(\w+)\s*,\s*(\w+)", head)
    if test:
        return f"{test.group(1)}.{test.group(2)}"
    name = re.search(r"([~\w:]+|operator\W+)\s*\(", re.sub(r"<[^<>]*>", "", head))
    return name.group(1) if name else "?"


def functions(text):
    """Yields (name, line, length in lines from brace to brace) of every function body in blanked C++ text."""
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)), text, flags=re.M)
    depth, inside, start, opened, head = 0, None, 0, 0, ""
    for match in re.finditer(r"[{};]", text):
        at, token = match.start(), match.group(0)
        if token == "{":
            depth += 1
            if inside is None:
                head = head + text[start:at] if head else text[start:at]
                if ")" in head and not re.match(r"\s*(?:namespace|enum)\b", head) and not re.search(r"=\s*$", head):
                    inside, opened = depth, at
                else:
                    head = ""
        elif token == "}":
            if inside == depth:
                inside = None
                # A member's initializer, as in `: a_{1}, b_{2} {`: the body is still to come.
                if re.match(r"\s*[,{]", text[at + 1:at + 200]):
                    head += " "
                else:
                    yield function_name(head.strip()), line_of(text, opened), text.count("\n", opened, at) + 1
                    head = ""
            depth -= 1
        elif inside is None:
            head = ""
        start = at + 1


def read_ratchet(text):
    allowed = {}
    for line in text.split("\n"):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        keys = 2 if words[0] == "file" else 3
        allowed[tuple(words[:keys])] = (int(words[keys]), " ".join(words[keys + 1:]))
    return allowed


def measured_lengths(tree):
    """Everything that is longer than the rule, as {key as in the ratchet: lines}."""
    found = {}
    for path, text in tree.code.items():
        lines = text.count("\n")
        if lines > FILE_MAX:
            found["file", path] = lines
        for name, _, length in functions(blank(text)):
            if length > FUNCTION_MAX:
                key = ("function", path, name)
                found[key] = max(length, found.get(key, 0))
    return found


def lengths_do_not_grow(tree):
    allowed = read_ratchet(tree.files.get(RATCHET, ""))
    found = measured_lengths(tree)
    for key, length in found.items():
        rule = FILE_MAX if key[0] == "file" else FUNCTION_MAX
        if key not in allowed:
            yield f"{' '.join(key)}: {length} lines, at most {rule} (or a reason in {RATCHET})"
        elif length > allowed[key][0]:
            yield f"{' '.join(key)}: grew from {allowed[key][0]} to {length} lines"
    for key, (limit, reason) in allowed.items():
        if not reason:
            yield f"{RATCHET}: {' '.join(key)} has no reason"
        if key not in found:
            yield f"{RATCHET}: {' '.join(key)} {limit} is no longer needed, take it out"


# ---- Floors.


class Floors:
    def __init__(self, text):
        self.number, self.below, self.tests = {}, {}, {}
        for line in text.split("\n"):
            if re.match(r"[a-z]", line):
                folder, rest = line.split(":", 1)
                number, below, _, tests = (column.split() for column in rest.split("|"))
                self.number[folder] = int(number[0])
                self.below[folder] = [b for b in below if b != "-"]
                self.tests[folder] = [t for t in tests if t != "-"]

    def reach(self, folders):
        seen, todo = set(), list(folders)
        while todo:
            folder = todo.pop()
            if folder not in seen:
                seen.add(folder)
                todo += self.below.get(folder, [])
        return seen

    def folder_of(self, path):
        path = path.removeprefix("src/")
        return path.rsplit("/", 1)[0] if "/" in path else ""


def includes_keep_to_floors(tree):
    floors = Floors(tree.files.get("tools/floors.txt", ""))
    for folder, below in floors.below.items():
        for lower in below:
            if lower not in floors.number:
                yield f"tools/floors.txt: {folder} names {lower}, which is not a folder of the table"
            elif floors.number[lower] >= floors.number[folder]:
                yield f"tools/floors.txt: {folder} is not above {lower}"
    for path, text in tree.code.items():
        if not path.startswith(("src/", "sim/")):
            continue
        folder = floors.folder_of(path)
        if folder not in floors.number:
            yield f"{path}: its folder is not in tools/floors.txt"
            continue
        may = floors.reach([folder] + (floors.tests[folder] if path.endswith(("_test.cc", "_test.h")) else []))
        for match in re.finditer(r'^\s*#\s*include\s+"([^"]+)"', blank(text, comments_only=True), flags=re.M):
            if floors.folder_of(match.group(1)) not in may:
                line = line_of(text, match.start(1))
                yield f'{path}:{line}: {folder} may not include "{match.group(1)}" (tools/floors.txt)'


# ---- Words and determinism.


def parts(identifier):
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", identifier)


def words_are_ours(tree):
    for path, text in tree.headers.items():
        code = re.sub(r"^\s*#.*", "", blank(text), flags=re.M)
        for match in re.finditer(r"[A-Za-z_]\w*", code):
            for word in parts(match.group(0)):
                if word.lower() in FORBIDDEN_WORDS:
                    yield f'{path}:{line_of(code, match.start())}: "{match.group(0)}" (table of words, doc/style.md)'


def nothing_reads_the_world(tree):
    """Above io/ the same seed gives the same run: no clock, no thread, no randomness but the machine's."""
    pattern = (r"std::chrono::(?:steady|system|high_resolution)_clock|std::(?:jthread|thread|async|mutex)\b"
               r"|std::random_device|std::\w+_distribution\b|\b(?:clock_)?gettime(?:ofday)?\s*\(|\bs?rand\s*\(")
    for path, text in tree.code.items():
        if path.startswith(OUTSIDE):
            continue
        code = blank(text)
        for match in re.finditer(pattern, code):
            place = f"{path}:{line_of(code, match.start())}"
            yield f"{place}: {match.group(0)} above io/ (doc/testing.md, The simulated world)"


def order_is_defined(tree):
    """No loop over a container without an order: its order would differ from run to run."""
    for path, text in tree.code.items():
        if path.startswith(OUTSIDE):
            continue
        stem = re.sub(r"(_test)?\.(cc|h)$", "", path)
        both = blank(text) + "".join(blank(t) for p, t in tree.code.items() if p == stem + ".h" and p != path)
        names = set(re.findall(r"unordered_(?:multi)?(?:map|set)<[^;{}()]*>\s+(\w+)\s*[;={]", both))
        code = blank(text)
        for name in sorted(names):
            for match in re.finditer(rf"for\s*\([^;()]*:\s*(?:this->)?{name}\s*\)|\b{name}\.c?begin\s*\(", code):
                yield f"{path}:{line_of(code, match.start())}: walks {name}, which has no order"


# ---- Rooms.


def bricks_are_tested_and_described(tree):
    for path, text in tree.headers.items():
        if not path.startswith("src/bricks/"):
            continue
        if not re.search(r"^class\s+\w+[^;{]*:[^;{]*\bpublic\s+[\w:]*(?:Output|Brick)\b", blank(text), flags=re.M):
            continue
        name = path.removeprefix("src/bricks/").removesuffix(".h")
        if f"src/bricks/{name}_test.cc" not in tree.files:
            yield f"{path}: a brick without src/bricks/{name}_test.cc"
        page = "instruments" if name in INSTRUMENTS else name
        if f"doc/brick/{page}.md" not in tree.files:
            yield f"{path}: a brick without doc/brick/{page}.md"


def pages_name_no_machine(tree):
    """What is committed is read elsewhere: no path of the machine on which it was written."""
    for path, text in tree.files.items():
        if path.startswith("tools/tidy"):
            continue
        for match in re.finditer(r"(?<![\w.-])/(?:work|home|root)/", text):
            yield f"{path}:{line_of(text, match.start())}: a path of one machine"


RULES = [lines_are_short, no_tabs, todos_say_when, headers_are_guarded, headers_stand_alone, lengths_do_not_grow,
         includes_keep_to_floors, words_are_ours, nothing_reads_the_world, order_is_defined,
         bricks_are_tested_and_described, pages_name_no_machine]


def main(arguments):
    tree = Tree.load(arguments[1] if len(arguments) > 1 else ".")
    findings = [finding for rule in RULES for finding in rule(tree)]
    print("\n".join(findings) if findings else f"{len(tree.code)} sources, {len(RULES)} rules: tidy")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
