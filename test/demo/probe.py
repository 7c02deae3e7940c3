"""The control beside a measurement: how long the disk of this machine alone, without MARS, lets a small write wait."""

import os
import threading
import time

BLOCK = 4096
INTERVAL = 0.05  # seconds between the end of one write and the next


class Probe:
    """A thread that writes a block into a plain file and makes it durable, again and again. A pause counts from when a
    write is due, so that it has in it what the whole machine stood still."""

    def __init__(self, path):
        self.path = path
        self.longest = 0.0  # seconds
        self.count = 0
        self.is_stopping = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def start(self):
        self.thread.start()

    def work(self):
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            due = time.monotonic()
            while not self.is_stopping.wait(max(0.0, due - time.monotonic())):
                os.pwrite(fd, os.urandom(BLOCK), 0)
                os.fdatasync(fd)
                now = time.monotonic()
                self.longest = max(self.longest, now - due)
                self.count += 1
                due = now + INTERVAL
        finally:
            os.close(fd)

    def stop(self):
        """Waits for the write that is under way."""
        self.is_stopping.set()
        self.thread.join()
