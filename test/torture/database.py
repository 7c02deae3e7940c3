"""PostgreSQL on the replicated filesystem: Debian's server, a pgbench that never rests, and a ledger that knows which
commits were acknowledged."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

from common import Failure, expect, poll, run

SETTINGS = """
listen_addresses = ''
shared_buffers = 32MB
max_wal_size = 64MB
min_wal_size = 32MB
checkpoint_timeout = 30s
fsync = on
full_page_writes = on
synchronous_commit = on
max_connections = 20
autovacuum_naptime = 5s
"""
ACCOUNT = "postgres"


def programs():
    """Where Debian puts them; empty when they are not installed."""
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))[-1:]


class Database:
    """One cluster of PostgreSQL, whose files move with the device from host to host."""

    def __init__(self, base):
        self.bin = programs()[0]
        self.sockets = base / "pg-sockets"
        self.sockets.mkdir()
        shutil.chown(self.sockets, ACCOUNT)
        self.log = self.sockets / "log"
        self.folder = None
        self.bench = None

    def command(self, program, *words):
        return ["runuser", "-u", ACCOUNT, "--", str(self.bin / program), *map(str, words)]

    def call(self, program, *words, timeout=120):
        return run(*self.command(program, *words), timeout=timeout).stdout

    def connection(self):
        return ["-h", self.sockets, "-U", ACCOUNT]

    def ask(self, sql):
        return self.call("psql", *self.connection(), "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres").strip()

    def make(self, mount_point, scale):
        self.folder = mount_point / "pg"
        self.folder.mkdir()
        shutil.chown(self.folder, ACCOUNT)
        self.call("initdb", "-D", self.folder, "-k", "-A", "trust", "--no-locale", "-E", "UTF8", "-N")
        with open(self.folder / "postgresql.conf", "a") as file:
            file.write(SETTINGS + f"unix_socket_directories = '{self.sockets}'\n")
        self.start(mount_point)
        self.ask("create table ledger (n bigint primary key, filler text)")
        self.ask("create extension amcheck")
        self.call("pgbench", *self.connection(), "-i", "-q", "-s", scale, "postgres")

    def start(self, mount_point):
        """After a crash this is its recovery."""
        self.folder = mount_point / "pg"
        try:
            self.call("pg_ctl", "-D", self.folder, "-w", "-t", 60, "-l", self.log, "start")
        except Failure as failure:
            raise Failure(f"{failure}\n{self.log.read_text()[-3000:]}") from None

    def start_load(self, clients=3):
        self.bench = subprocess.Popen(self.command("pgbench", *self.connection(), "-n", "-c", clients, "-T", 100000,
                                                   "postgres"),
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop_load(self):
        self.bench.terminate()
        self.bench.wait(30)

    def stop(self):
        self.call("pg_ctl", "-D", self.folder, "-w", "-m", "fast", "stop")

    def crash(self):
        """Nothing is said to it: as its host would go."""
        lock = self.sockets / ".s.PGSQL.5432.lock"
        if not lock.exists():
            return  # it has ended by itself, because its disk did not answer
        pid = int(lock.read_text().split()[0])
        group = [pid] + children_of(pid)
        for one in group:
            try:
                os.kill(one, 9)
            except ProcessLookupError:
                pass
        poll("PostgreSQL is gone", lambda: not any(Path(f"/proc/{one}").exists() for one in group), 30)
        for left in self.sockets.glob(".s.PGSQL*"):
            left.unlink()
        # It names a process that is gone; on another host nobody would have that number.
        try:
            (self.folder / "postmaster.pid").unlink()
        except OSError:
            pass

    def check(self):
        """Whole in itself: the sums of pgbench agree, every table and index is sound. Returns the ledger's end."""
        sums = [int(self.ask(f"select coalesce(sum({column}), 0) from {table}")) for table, column in
                (("pgbench_accounts", "abalance"), ("pgbench_tellers", "tbalance"), ("pgbench_branches", "bbalance"),
                 ("pgbench_history", "delta"))]
        expect(len(set(sums)) == 1, f"pgbench's balances do not agree: {sums}")
        self.call("pg_amcheck", *self.connection(), "--heapallindexed", "-d", "postgres")
        count, last = (int(word) for word in self.ask("select count(*), coalesce(max(n), 0) from ledger").split("|"))
        expect(count == last, f"the ledger has holes: {count} rows up to {last}")
        return last

    def check_checksums(self):
        """Every page; the server is stopped."""
        self.call("pg_checksums", "-D", self.folder, "--check")


def children_of(pid):
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


class Ledger:
    """One client that commits 1, 2, 3 ... and remembers the last number whose commit was acknowledged."""

    def __init__(self, database, last):
        self.acknowledged = last
        self.process = subprocess.Popen(
            database.command("psql", *database.connection(), "-qAtX", "-v", "ON_ERROR_STOP=1", "postgres"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.is_stopping = False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        number = self.acknowledged
        try:
            while not self.is_stopping:
                number += 1
                self.process.stdin.write(f"insert into ledger values ({number}, repeat('x', 300)) returning n;\n")
                self.process.stdin.flush()
                if self.process.stdout.readline().strip() != str(number):
                    return
                self.acknowledged = number
        except (OSError, ValueError):
            pass

    def stop(self):
        self.is_stopping = True
        self.thread.join(60)
        expect(not self.thread.is_alive(), "a client of PostgreSQL hangs")
        self.process.kill()
        self.process.wait(10)
