#!/usr/bin/env python3
"""NBD over TCP: clients of the cluster are served with TLS, everybody else is not."""

import os
import shutil
import subprocess

from cases import lab, run_cases
from common import expect, run
from harness import REFUSED

SIZE = 64 << 20
PORT = 10809


def client(host, *words, ok=True):
    """A program of libnbd where `host` is, with the name a for its address, because certificates are made for names."""
    names = host.base / "hosts"
    names.write_text("127.0.0.1 a\n")
    at_home = ["unshare", "-m", "sh", "-c", f'mount --bind {names} /etc/hosts && exec "$@"', "sh"]
    done = subprocess.run([*host.lab.network.prefix(host.name), *at_home, *map(str, words)], capture_output=True,
                          timeout=60)
    text = (done.stdout + done.stderr).decode(errors="replace")
    expect((done.returncode == 0) == ok, f"{' '.join(map(str, words))} ended with {done.returncode}: {text}", [host])
    return text


def uri(keys, export="r"):
    return f"nbds://a:{PORT}/{export}?tls-certificates={keys}"


def serve_over_tcp(the_lab):
    """a offers r by NBD on TCP. Returns a, and the directory with a client's key."""
    (a,) = the_lab.hosts.values()
    a.flags = ["--nbd-listen", f"127.0.0.1:{PORT}"]
    a.start()
    a.do("create-cluster")
    with open(a.disk, "wb") as file:
        file.truncate(SIZE)
    a.do("create-resource", "r", a.disk)
    keys = a.base / "keys"
    a.do("issue-client", "backup", keys)
    return a, keys


def clients_of_the_cluster_are_served(can):
    with lab(can, fuse=False) as the_lab:
        a, keys = serve_over_tcp(the_lab)
        expect(sorted(os.listdir(keys)) == ["ca-cert.pem", "client-cert.pem", "client-key.pem"], os.listdir(keys))
        expect((keys / "client-key.pem").stat().st_mode & 0o077 == 0, "others can read the key")
        text = client(a, "nbdinfo", uri(keys))
        expect(str(SIZE) in text and "TLS" in text, f"nbdinfo says {text}")
        source, back = a.base / "source", a.base / "back"
        source.write_bytes(os.urandom(8 << 20) + bytes(SIZE - (8 << 20)))
        client(a, "nbdcopy", "--flush", source, uri(keys))
        client(a, "nbdcopy", uri(keys), back)
        expect(back.read_bytes() == source.read_bytes(), "what was written over TLS reads differently")
        text = client(a, "nbdinfo", uri(keys, "other"), ok=False)
        expect("other" in text, f"a device that is not there is refused with: {text}")


def strangers_are_not_served(can):
    with lab(can, fuse=False) as the_lab:
        a, keys = serve_over_tcp(the_lab)
        client(a, "nbdinfo", uri(keys))
        client(a, "nbdinfo", f"nbd://a:{PORT}/r", ok=False)
        foreign, member = a.base / "foreign", a.base / "member"
        for folder in (foreign, member):
            folder.mkdir()
            shutil.copy(keys / "ca-cert.pem", folder)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
            "-subj", "/CN=backup", "-keyout", foreign / "client-key.pem", "-out", foreign / "client-cert.pem")
        shutil.copy(a.state / "key.pem", member / "client-key.pem")
        shutil.copy(a.state / "cert.pem", member / "client-cert.pem")
        for folder in (foreign, member):
            print(f"    {folder.name}: {client(a, 'nbdinfo', uri(folder), ok=False).strip().splitlines()[-1]}")
        again = a.adm("issue-client", "backup", keys)
        expect(again.code == REFUSED and "is there already" in again.text, again.text)
        client(a, "nbdinfo", uri(keys))


run_cases([clients_of_the_cluster_are_served, strangers_are_not_served])
