"""What every test with real processes needs: running programs, waiting with a deadline, and failing with reasons."""

import subprocess
import time


class Failure(Exception):
    """Something is not as promised. The text is for people; `hosts` are those whose logs may tell why."""

    def __init__(self, text, hosts=()):
        super().__init__(text)
        self.hosts = list(hosts)


def run(*command, check=True, timeout=120, input=None, env=None, cwd=None):
    """Runs a program to its end. Returns subprocess.CompletedProcess with text; Failure says what it printed."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=input, env=env, cwd=cwd, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(words)} did not end within {timeout} s") from None
    except FileNotFoundError:
        raise Failure(f"{words[0]} is not installed") from None
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(words)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done


def check_ext4(path, after_crash=False):
    """The filesystem has no error. After a crash its own journal is replayed first and nothing else is mended."""
    if after_crash:
        done = run("e2fsck", "-y", "-E", "journal_only", path, check=False)
        expect(done.returncode in (0, 1), f"the journal on {path} cannot be replayed: {done.stdout}{done.stderr}")
    run("e2fsck", "-fn", path)


def poll(what, ask, timeout=30, every=0.1, hosts=()):
    """Asks until the answer is true and returns it. `what` completes the sentence "not within 30 s: ..."."""
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failure(f"not within {timeout:g} s: {what() if callable(what) else what}", hosts)
        time.sleep(every)


def expect(condition, text, hosts=()):
    if not condition:
        raise Failure(text, hosts)


def size_text(count):
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024


def ms_text(ms):
    return f"{ms * 1000:.0f} us" if ms < 1 else f"{ms:.1f} ms" if ms < 100 else f"{ms / 1000:.2f} s"


def table(rows, indent="  "):
    """Rows of words as aligned lines; the first column to the left, the others to the right."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [str(row[0]).ljust(widths[0])] + [str(c).rjust(w) for c, w in zip(row[1:], widths[1:])]
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines)
