#!/usr/bin/env python3
"""Who knocks at the port between hosts and at the control socket without any right, or talks nonsense there: it is
refused with a reason, nobody dies of it, and those who belong together go on."""

import random
import socket
import ssl
import struct
import uuid

from cases import lab, run_cases
from common import Failure, expect, poll
from harness import DONE
from nbd import Nbd
from wire import (CLIENT, CLOSE, CREDIT, DATA, HELLO, HOST, JOINER, OPEN, PING, Caller, Impostor, Papers, frame, hello,
                  identity, tls, uri_of)

SIZE = 64 << 20
MIB = 1 << 20


def cluster_of_two(the_lab):
    a, b = the_lab.hosts.values()
    the_lab.start_cluster()
    for host in (a, b):
        with open(host.disk, "wb") as file:
            file.truncate(SIZE)
    a.do("create-resource", "r", a.disk)
    b.do("join-resource", "r", b.disk)
    the_lab.wait_equal("r")
    return a, b


def expect_well(the_lab, stamp):
    """All hosts live and are connected, and what is written on A reaches the others."""
    a = the_lab.host("a")
    for host in the_lab.hosts.values():
        expect(host.is_running(), f"marsd of {host.name} has died with {host.process.poll()}", [host])
    poll("the hosts are connected", lambda: all(peer["is_connected"] for peer in a.status()["hosts"]), 30, hosts=[a])
    with Nbd(a.device("r")) as nbd:
        nbd.write(0, stamp * 4096)
        nbd.flush()
    the_lab.wait_equal("r")
    for host in the_lab.hosts.values():
        expect(open(host.disk, "rb").read(4096) == stamp * 4096, f"the write did not reach {host.name}", [host])


def expect_event(host, words):
    poll(lambda: f'an event of {host.name} says "{words}"; there are {host.do("events").out}',
         lambda: words in host.do("events").out, 15, hosts=[host])


def expect_turned_away(host, what, answer, *words):
    kind, text = answer
    print(f"    {what}: {kind}, {text}")
    expect(kind in ("refusal", "closed"), f"{what} gets {answer} from {host.name}", [host])
    expect(not words or any(word in text for word in words), f"{what} is not told {' or '.join(words)}: {text}", [host])


def foreign_papers(folder, a, b):
    """(what, papers, what the caller is told) of everybody who calls itself B and is not."""
    other_ca = Papers.make(folder, "other-ca", None)
    old_ca = Papers.make(folder, "old-ca", None, expired=True)
    uri, elsewhere = uri_of(b), f"mars:{uuid.uuid4()}/host/{uuid.uuid4()}"
    alert = ("alert", "without a word", "EOF", "reset", "Broken pipe")
    return [("nobody's certificate", None, ("without a certificate",)),
            ("a certificate that signs itself", Papers.make(folder, "self", uri), alert),
            ("a certificate of another CA", Papers.make(folder, "foreign", uri, other_ca), alert),
            ("an expired one of another CA", Papers.make(folder, "expired", uri, old_ca, expired=True), alert),
            ("another cluster's certificate", Papers.make(folder, "else", elsewhere, other_ca), alert),
            ("our CA's certificate with a key of its own", Papers.make(folder, "stolen", uri, Papers.of_ca(a)),
             ("no member",)),
            ("our CA's certificate for another host", Papers.make(folder, "third", elsewhere, Papers.of_ca(a)),
             ("the certificate is that of",))]


def callers_with_foreign_certificates(can):
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = cluster_of_two(the_lab)
        cluster, own = identity(b)
        folder = the_lab.base / "papers"
        folder.mkdir()
        for what, papers, words in foreign_papers(folder, a, b):
            try:
                with Caller(a, papers) as caller:
                    caller.send(frame(HELLO, hello(cluster, own, name=b"b")))
                    answer = caller.answer()
            except OSError as error:  # the alert came while TLS was being made
                answer = "closed", str(error)
            expect_turned_away(a, what, answer, *words)
        expect_event(a, "was refused")
        print("    " + [line for line in a.do("events").out.splitlines() if "was refused" in line][-1])
        expect_well(the_lab, b"c")


def a_member_with_an_expired_certificate(can):
    """No rule reads a clock: what makes a member is its key."""
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = cluster_of_two(the_lab)
        b.stop()
        folder = the_lab.base / "papers"
        folder.mkdir()
        old = Papers.make(folder, "old", uri_of(b), Papers.of_ca(a), key=b.state / "key.pem", expired=True)
        (b.state / "cert.pem").write_text(old.certificate.read_text())
        b.start()
        expect_well(the_lab, b"e")


def servers_with_foreign_certificates(can):
    """B is down and somebody else answers at its address: A does not talk to it, and says so."""
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = cluster_of_two(the_lab)
        cluster, own = identity(b)
        folder = the_lab.base / "papers"
        folder.mkdir()
        b.stop()
        for what, papers, _ in foreign_papers(folder, a, b):
            if papers is None:
                continue
            # What was wrong with the one before is shown until the next dial, which finds nobody here.
            poll("A finds nobody in the place of B", lambda: not problem(a, "b"), 60, hosts=[a])
            with Impostor(b, papers, frame(HELLO, hello(cluster, own, name=b"b"))) as impostor:
                expect(impostor.was_tried.wait(60), f"A has not called {what}", [a])
                said = poll(f"A says what is wrong with {what}", lambda: problem(a, "b"), 30, hosts=[a])
                print(f"    {what}: {said}")
                expect(not is_connected(a, "b"), "A is connected with an impostor", [a])
        b.start()
        expect_well(the_lab, b"s")


def is_connected(host, peer):
    return next(found["is_connected"] for found in host.status()["hosts"] if found["name"] == peer)


def problem(host, peer):
    """Why it is not connected, where that has to do with papers."""
    for found in host.status()["hosts"]:
        said = found.get("problem", "")
        if found["name"] == peer and any(word in said for word in ("certificate", "not host", "key")):
            return said
    return ""


def versions(can):
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = cluster_of_two(the_lab)
        cluster, own = identity(b)
        rows = [("a host of the future", HOST, dict(versions=(2, 9)), {}, ("2", "1")),
                ("a host that joins from the future", JOINER, dict(versions=(7, 7)), {}, ("7", "1")),
                ("versions the wrong way round", HOST, dict(versions=(3, 1)), {}, ()),
                ("version nought", HOST, dict(versions=(0, 0)), {}, ()),
                ("a hello in frames of version 7", HOST, {}, dict(version=7), ("version",)),
                ("a role that does not exist", 9, {}, {}, ()),
                ("a client at the port of hosts", CLIENT, {}, {}, ("client",)),
                ("a hello with reserved bits", HOST, dict(reserved=1), {}, ()),
                ("a hello with a tail", HOST, dict(tail=b"tail"), {}, ())]
        for what, role, words, head, told in rows:
            with Caller(a) as caller:
                caller.send(frame(HELLO, hello(cluster, own, role, **words), **head))
                kind, text = caller.answer()
                print(f"    {what}: {kind}, {text}")
                expect(kind == "refusal" and text, f"{what} gets {kind} {text}", [a])
                expect(all(word in text for word in told), f"{what} is told: {text}", [a])
        expect_event(a, "version")
        b.stop()
        answers = hello(cluster, own, versions=(2, 9), name=b"b")
        with Impostor(b, Papers.of(b), frame(HELLO, answers)):
            poll("A says that B speaks another version", lambda: "version" in next(
                h.get("problem", "") for h in a.status()["hosts"] if h["name"] == "b"), 30, hosts=[a])
        b.start()
        expect_well(the_lab, b"v")


def nonsense_before_a_session(can):
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = cluster_of_two(the_lab)
        cluster, own = identity(b)
        prng = random.Random(20140602)
        greeting = hello(cluster, own, JOINER)
        plain = [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\xff\xff" + prng.randbytes(600),
                 prng.randbytes(5000), b"\0" * 100000, b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16"]
        secret = [frame(HELLO, greeting, magic=b"MARS"), frame(HELLO, greeting, flags=1), frame(99, b"x"),
                  frame(HELLO, greeting, channel=3), frame(HELLO, greeting[:20]), frame(HELLO, b""),
                  frame(HELLO, length=4097), frame(HELLO, length=0xffffffff), frame(DATA, length=0xffffffff),
                  frame(DATA, b"x" * MIB), frame(PING, b"p"), frame(OPEN, b"\1\0\0\0\0\0\1\0"), prng.randbytes(3000),
                  frame(HELLO, greeting)[:9]]
        for number, words in enumerate(plain):
            with Caller(a, plain=True) as caller:
                caller.send(words)
                try:
                    caller.socket.shutdown(socket.SHUT_WR)  # unless marsd has closed already
                    caller.receive(MIB)
                except OSError:
                    pass
        with Caller(a, plain=True) as caller:
            try:
                tls("client", version=ssl.TLSVersion.TLSv1_2).wrap_socket(caller.socket)
                raise Failure("A talks TLS 1.2")
            except ssl.SSLError as error:
                expect("version" in str(error), f"a caller with TLS 1.2 is told: {error}", [a])
        for number, words in enumerate(secret):
            with Caller(a) as caller:
                caller.send(words)
                if number == len(secret) - 1:
                    caller.socket.close()
                    continue
                expect_turned_away(a, f"frame {number} of {len(words)} bytes", caller.answer())
        expect_well(the_lab, b"n")
        print(f"    {len(plain)} callers without TLS and {len(secret)} with it were turned away")


def callers_that_say_nothing(can):
    """More of them than A takes at once: after the time of a handshake they are put out, and B comes back."""
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = cluster_of_two(the_lab)
        silent = [Caller(a, plain=True) for _ in range(100)]
        b.kill()
        b.start()
        expect_well(the_lab, b"q")
        for caller in silent:
            caller.close()
        expect_well(the_lab, b"Q")


def nonsense_at_the_nbd_socket(can):
    """From local programs that may open it: each is answered or put out, and those who know the protocol go on."""
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = cluster_of_two(the_lab)
        prng = random.Random(20140604)
        flags, option = struct.pack(">I", 3), b"IHAVEOPT"

        def request(kind=0, offset=0, length=4096, magic=0x25609513, flags=0):
            return struct.pack(">IHHQQI", magic, flags, kind, 7, offset, length)

        go = struct.pack(">I", 1) + b"r" + struct.pack(">H", 0)
        begun = flags + option + struct.pack(">II", 7, len(go)) + go
        rows = [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096, prng.randbytes(4096), b"",
                flags + option + struct.pack(">II", 7, 1 << 31), flags + b"NOOPTION" * 3,
                flags + option + struct.pack(">II", 7, 4) + struct.pack(">I", 1 << 20),
                flags + option + struct.pack(">II", 99, 10) + b"0123456789",
                flags + option + struct.pack(">II", 1, 200) + b"n" * 200]
        rows += [begun + words for words in (
            request(magic=1), request(kind=77), request(offset=1 << 62), request(length=(1 << 32) - 1),
            request(kind=1, length=(1 << 32) - 1) + b"x" * 100000, request(kind=4, length=0), request(flags=0xffff),
            request(kind=1) + b"half", prng.randbytes(100000))]
        for words in rows + [begun + request() + prng.randbytes(prng.randrange(1, 500)) for _ in range(40)]:
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.settimeout(0.3)
                stranger.connect(str(a.run_dir / "nbd.sock"))
                try:
                    stranger.sendall(words)
                    while stranger.recv(MIB):
                        pass
                except OSError:
                    pass  # closed in the middle, or an answer and a wait for more
        expect_well(the_lab, b"N")
        print(f"    {len(rows) + 40} clients talked nonsense")


def nonsense_in_a_session(can):
    """From a stranger that may join, and from a member with the right key: the session ends with a reason."""
    with lab(can, "ab", netns=False, fuse=False) as the_lab:
        a, b = cluster_of_two(the_lab)
        cluster, own = identity(b)
        prng = random.Random(20140603)
        before = a.peak_bytes()
        for words in in_a_session(prng, (1, 2, 3, 4, 5, 6, 60000), 40):
            with Caller(a) as caller:
                caller.send(frame(HELLO, hello(cluster, uuid.uuid4().bytes, JOINER)))
                expect(caller.answer()[0] == "hello", "a stranger is not greeted", [a])
                caller.send(words)
                expect_turned_away(a, f"a stranger's {len(words)} bytes", caller.last_answer())
        b.stop()
        for number, words in enumerate(in_a_session(prng, (2, 60000), 4)):
            with Caller(a, Papers.of(b)) as caller:
                caller.send(frame(HELLO, hello(cluster, own, name=b"b", incarnation=(1 << 40) + number)))
                expect(caller.answer()[0] == "hello", "a member is not greeted", [a])
                caller.send(frame(DATA) + words)
                expect_turned_away(a, f"a member's {len(words)} bytes", caller.last_answer())
        grown = a.peak_bytes() - before
        print(f"    marsd of A has grown by {grown >> 10} KiB in all that")
        expect(grown < 64 * MIB, f"marsd of A has grown by {grown} bytes", [a])


def opening(service, window=1 << 20, payload=b""):
    return struct.pack("<HHI", service, 0, window) + payload


def in_a_session(prng, services, spoilt_frames):
    """Bytes after the greeting that no host may send."""
    rows = [frame(HELLO, length=0xffffffff), frame(DATA, length=(2 << 20) + 1), frame(DATA, b"x", channel=77),
            frame(CREDIT, b"\1\0\0\0", channel=5), frame(CREDIT, b"\1", channel=1), frame(PING, b"p" * 17),
            frame(OPEN, b""), frame(OPEN, opening(1), channel=2), frame(OPEN, opening(1), channel=0),
            frame(OPEN, opening(1, 0), channel=1), frame(OPEN, opening(1, 0xffffffff), channel=1),
            frame(OPEN, opening(1), channel=1) * 2,
            frame(OPEN, opening(1), channel=9) + frame(OPEN, opening(1), channel=7),
            frame(CLOSE, b"\xff" * 10, channel=1), frame(99, b"?"), frame(DATA, b"", version=2)]
    for service in services:
        message = prng.randbytes(300)
        rows.append(frame(OPEN, opening(service, payload=message), channel=1) +
                    frame(DATA, struct.pack("<I", len(message)) + message, channel=1) + frame(99, b"the end"))
        rows.append(frame(OPEN, opening(service), channel=1) + frame(DATA, struct.pack("<I", 0xfffffff0), channel=1) +
                    frame(99, b"the end"))
    for _ in range(spoilt_frames):
        head = frame(prng.randrange(10), prng.randbytes(prng.randrange(64)), prng.randrange(4))
        spoilt = bytearray(head)
        spoilt[prng.randrange(len(spoilt))] ^= 1 << prng.randrange(8)
        rows.append(bytes(spoilt) + frame(99, b"the end") * 200)
    return rows


def ask(host, words, wait=12, end=False):
    """Sends these bytes to the control socket; what comes back until it is closed. `end`: there will be no more."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(wait)
        control.connect(str(host.socket))
        data = b""
        try:
            control.sendall(words)
            if end:
                control.shutdown(socket.SHUT_WR)
            while more := control.recv(65536):
                data += more
        except (ConnectionError, BrokenPipeError):
            pass
        return data


def post(body, length=None, extra=""):
    size = len(body) if length is None else length
    return f"POST /v1/command HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{extra}\r\n".encode() + body


def nonsense_at_the_control_socket(can):
    with lab(can, "ab", fuse=False) as the_lab:
        a, _ = cluster_of_two(the_lab)
        prng = random.Random(20140604)
        before = a.peak_bytes()
        good = b'{"name":"status","args":{}}'
        refused = [post(b""), post(b"{"), post(b"null"), post(b"[]" * 10), post(b"[" * 60000), post(b'{"a":' * 10000),
                   post(b'{"name":7,"args":{}}'), post(b'{"name":"status","args":[]}'), post(b'{"name":"status"'),
                   post(b'{"name":"\xff\xfe","args":{}}'), post(b'{"name":"nonsense","args":{}}'),
                   post(b'{"name":"create-resource","args":{"resource":5}}'), post(b'{"name":"' + b"x" * 60000 + b'"}'),
                   post(b'{"name":"view","args":{"resource":"' + b"y" * 9000 + b'"}}'), post(b"x" * (64 * 1024 + 1)),
                   post(b"", length=1 << 62), post(b"", length=-1), post(good, extra="Content-Encoding: gzip\r\n"),
                   b"POST /v1/command HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
                   b"DELETE /v1/command HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v2/status HTTP/1.1\r\nHost: x\r\n\r\n",
                   b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"]
        for words in refused:
            data = ask(a, words)
            line = data.split(b"\r\n", 1)[0].decode(errors="replace")
            expect(line.startswith("HTTP/1.1 4"), f"{words[:60]!r} ({len(words)} bytes) gets {data[:300]!r}", [a])
            body = data.split(b"\r\n\r\n", 1)[-1]
            expect(b'"text"' in body, f"{words[:60]!r} is refused without a reason: {data!r}", [a])
        for words in (b"\0" * 70000, b"GET /" + b"a" * 100000, prng.randbytes(20000), b"GET / HTTP/9.9\r\n\r\n",
                      b"\r\n" * 9, b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n", post(good)[:50]):
            ask(a, words, end=True)
        for _ in range(200):
            spoilt = bytearray(post(good))
            for _ in range(prng.randrange(1, 6)):
                spoilt[prng.randrange(len(spoilt))] = prng.randrange(256)
            ask(a, bytes(spoilt), end=True)
        grown = a.peak_bytes() - before
        print(f"    {len(refused)} requests were refused with a reason; marsd has grown by {grown >> 10} KiB")
        expect(grown < 32 * MIB, f"marsd of A has grown by {grown} bytes", [a])
        expect_well(the_lab, b"z")


def clients_that_say_nothing_at_the_control_socket(can):
    with lab(can, fuse=False) as the_lab:
        a = the_lab.host("a")
        a.start()
        silent = []
        for _ in range(40):
            one = socket.socket(socket.AF_UNIX)
            one.connect(str(a.socket))
            one.send(b"GET /v1/sta")
            silent.append(one)
        print(f"    {len(silent)} clients are connected and say nothing")
        poll("marsadm is answered", lambda: a.adm("status").code == DONE, 60, hosts=[a])
        for one in silent:
            one.close()
        expect(a.adm("status").code == DONE, "marsadm is not answered", [a])


run_cases([callers_with_foreign_certificates, a_member_with_an_expired_certificate, servers_with_foreign_certificates,
           versions, nonsense_before_a_session, callers_that_say_nothing, nonsense_in_a_session,
           nonsense_at_the_nbd_socket, nonsense_at_the_control_socket, clients_that_say_nothing_at_the_control_socket])
