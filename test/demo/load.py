"""The application of the demo: fio, writing at a steady pace with verification, and what its log says of each write."""

import json
import subprocess
import time

from common import Failure, expect
from probe import Probe

BLOCK = 16384
PACE = 800  # writes per second


class Load:
    """Runs beside the scenario. Each block is written once, with a checksum inside, and read back at the end. What the
    host's own disk does meanwhile is measured beside it."""

    def __init__(self, host, target, seconds, folder):
        self.host = host
        self.target = target
        self.folder = folder
        self.bytes = PACE * seconds * BLOCK
        self.process = None
        self.marks = []
        self.probe = Probe(folder / "probe")

    def command(self):
        return ["fio", "--name=demo", "--rw=randwrite", f"--bs={BLOCK}", f"--size={self.bytes}", "--direct=1",
                "--iodepth=4", f"--rate_iops={PACE}", "--fsync=64", "--verify=crc32c", "--verify_fatal=1",
                "--randseed=20140601", "--disable_slat=1", f"--write_lat_log={self.folder}/load", "--log_unix_epoch=1",
                "--eta=never", "--output-format=json", f"--output={self.folder}/load.json", *self.target]

    def start(self):
        self.probe.start()
        self.process = subprocess.Popen(self.command(), cwd=self.folder, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        start_new_session=True)

    def mark(self, name):
        """From now on writes count for this part."""
        self.marks.append((name, time.time() * 1000))

    def expect_running(self):
        if self.process.poll() is not None:
            raise Failure(f"fio ended too early with {self.process.returncode}: {self.process.stdout.read().strip()}; "
                          f"see {self.folder}/load.json", [self.host])

    def finish(self, timeout=120):
        try:
            text, _ = self.process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failure("fio does not end", [self.host]) from None
        self.probe.stop()
        expect(self.probe.count > 0, "nothing could be written beside the load", [self.host])
        expect(self.process.returncode == 0, f"fio found an error: {text.strip()[-800:]}", [self.host])
        with open(self.folder / "load.json") as file:
            report = file.read()
        return json.loads(report[report.index("{"):])["jobs"][0]

    def writes(self):
        """(time in ms, latency in ms) of each."""
        found = []
        with open(self.folder / "load_lat.1.log") as log:
            for line in log:
                at, latency, kind = line.split(",")[:3]
                if int(kind) == 1:
                    found.append((int(at), int(latency) / 1e6))
        return found

    def parts(self):
        """{name: latencies in ms, sorted}."""
        ends = [at for _, at in self.marks[1:]] + [float("inf")]
        result = {}
        writes = self.writes()
        for (name, begin), end in zip(self.marks, ends):
            result.setdefault(name, []).extend(latency for at, latency in writes if begin <= at < end)
        return {name: sorted(values) for name, values in result.items()}

    def longest_gap(self):
        """Seconds without the completion of a write, at worst."""
        times = sorted(at for at, _ in self.writes())
        return max(later - earlier for earlier, later in zip(times, times[1:])) / 1000


def percentile(values, part):
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")
