"""The wires between the hosts of one machine: namespaces with veth pairs, or TCP relays on the loopback device.

Both offer the same: prefix(host), listen(host), advertise(host), cut(a, b), restore(a, b), shape(a, b, mbit),
unshape(a, b), remove(). A cut is silent, as a pulled cable: nothing is closed, nothing arrives.
"""

import contextlib
import itertools
import os
import random
import re
import socket
import threading
import time
from pathlib import Path

from common import Failure, run

PORT = 7790


class Namespaces:
    """One network namespace for each host and a veth pair for each two of them; shaping by tbf."""

    kind = "network namespaces"

    def __init__(self, label, hosts):
        self.label = label
        self.hosts = list(hosts)
        self.nets = {pair: f"10.77.{i}" for i, pair in enumerate(itertools.combinations(self.hosts, 2), 1)}
        for host in self.hosts:
            run("ip", "netns", "add", self.name(host))
            self.ip(host, "link", "set", "lo", "up")
        for (a, b), net in self.nets.items():
            run("ip", "link", "add", f"to-{b}", "netns", self.name(a), "type", "veth",
                "peer", "name", f"to-{a}", "netns", self.name(b))
            for number, (here, there) in enumerate(((a, b), (b, a)), 1):
                self.ip(here, "addr", "add", f"{net}.{number}/24", "dev", f"to-{there}")
                self.ip(here, "link", "set", f"to-{there}", "up")

    def name(self, host):
        return f"{self.label}-{host}"

    def prefix(self, host):
        # Not `ip netns exec`: it makes a mount namespace, too, and what is mounted there is seen nowhere else.
        return ["nsenter", f"--net=/var/run/netns/{self.name(host)}"]

    def ip(self, host, *words):
        run("ip", "-n", self.name(host), *words)

    def address(self, host, peer):
        pair = (host, peer) if (host, peer) in self.nets else (peer, host)
        return f"{self.nets[pair]}.{pair.index(host) + 1}"

    def listen(self, host):
        return f"0.0.0.0:{PORT}"

    def advertise(self, host):
        return [f"{self.address(host, peer)}:{PORT}" for peer in self.hosts if peer != host]

    def cut(self, a, b):
        self.ip(a, "link", "set", f"to-{b}", "down")

    def restore(self, a, b):
        self.ip(a, "link", "set", f"to-{b}", "up")

    def shape(self, a, b, mbit):
        for here, there in ((a, b), (b, a)):
            run("tc", "-n", self.name(here), "qdisc", "replace", "dev", f"to-{there}", "root", "tbf",
                "rate", f"{mbit}mbit", "burst", "64kb", "latency", "200ms")

    def unshape(self, a, b):
        for here, there in ((a, b), (b, a)):
            run("tc", "-n", self.name(here), "qdisc", "del", "dev", f"to-{there}", "root", check=False)

    def remove(self):
        for host in self.hosts:
            run("ip", "netns", "del", self.name(host), check=False)


class Relays:
    """Each host listens on the loopback device behind a relay; who calls is found out by the caller's socket."""

    kind = "relays on the loopback device"

    def __init__(self, label, hosts):
        self.hosts = list(hosts)
        self.pids = {}  # host -> pid of its marsd, kept up to date by Host
        self.gates = {frozenset(pair): Gate() for pair in itertools.combinations(self.hosts, 2)}
        self.ports = {host: (free_port(), free_port()) for host in self.hosts}
        self.servers = []
        for host in self.hosts:
            server = socket.create_server(("127.0.0.1", self.ports[host][0]))
            self.servers.append(server)
            threading.Thread(target=self.accept, args=(host, server), daemon=True).start()

    def prefix(self, host):
        return []

    def listen(self, host):
        return f"127.0.0.1:{self.ports[host][1]}"

    def advertise(self, host):
        return [f"127.0.0.1:{self.ports[host][0]}"]

    def cut(self, a, b):
        self.gates[frozenset((a, b))].is_cut = True

    def restore(self, a, b):
        self.gates[frozenset((a, b))].is_cut = False

    def shape(self, a, b, mbit):
        self.gates[frozenset((a, b))].bytes_per_second = mbit * 1e6 / 8

    def unshape(self, a, b):
        self.gates[frozenset((a, b))].bytes_per_second = None

    def remove(self):
        for server in self.servers:
            server.close()

    def accept(self, host, server):
        while True:
            try:
                client, (_, port) = server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(host, client, port), daemon=True).start()

    def serve(self, host, client, port):
        caller = self.owner_of(port)
        gate = self.gates.get(frozenset((host, caller)))
        try:
            if gate is None or gate.is_cut:
                return
            there = socket.create_connection(("127.0.0.1", self.ports[host][1]), timeout=5)
            there.settimeout(None)
            back = threading.Thread(target=gate.carry, args=(there, client), daemon=True)
            back.start()
            gate.carry(client, there)
            back.join()
            there.close()
        except OSError:
            pass
        finally:
            client.close()

    def owner_of(self, port):
        wanted = f"0100007F:{port:04X}"
        inodes = {f"socket:[{words[9]}]" for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
                  if (words := line.split())[1] == wanted}
        for host, pid in self.pids.items():
            try:
                if any(os.readlink(fd) in inodes for fd in Path(f"/proc/{pid}/fd").iterdir()):
                    return host
            except OSError:
                continue
        return None


class Gate:
    """One link of the relays: open, cut, or slow."""

    def __init__(self):
        self.is_cut = False
        self.bytes_per_second = None

    def carry(self, source, target):
        try:
            while data := source.recv(65536 if self.bytes_per_second is None else 8192):
                while self.is_cut:
                    time.sleep(0.05)
                if self.bytes_per_second:
                    time.sleep(len(data) / self.bytes_per_second)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


reserved = []  # sockets whose names keep ports for this process


def free_port():
    """One that the kernel gives to nobody who calls out, and other tests not to theirs: it stays free until it is
    listened on."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(max(first - 12000, 1024), first)
        name = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            name.bind(f"\0mars-test-port-{port}")
            with socket.create_server(("127.0.0.1", port)):
                reserved.append(name)
                return port
        name.close()


def try_namespaces(label):
    """Makes two namespaces with a link and enters one. Returns why that is not possible, or an empty text."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    net = None
    try:
        net = Namespaces(f"{label}-try", ("x", "y"))
        net.shape("x", "y", 10)
        seen = run(*net.prefix("x"), "cat", "/proc/net/dev").stdout
        return "" if re.search(r"^\s*to-y:", seen, re.M) else "a network namespace shows the links of another one"
    except Failure as failure:
        return str(failure)
    finally:
        for host in ("x", "y"):
            run("ip", "netns", "del", f"{label}-try-{host}", check=False)
