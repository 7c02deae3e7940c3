"""What a stranger at the port between hosts has in its hands: certificates of any kind, TLS, and frames of any shape.

Frames as in doc/format/frame.md. Nothing here keeps a rule of the protocol by itself: the tests break each of them.
"""

import json
import socket
import ssl
import struct
import threading
import uuid

from common import run

HELLO, REFUSAL, PING, PONG, OPEN, DATA, CREDIT, CLOSE = range(1, 9)
HOST, JOINER, CLIENT = 1, 2, 3
MAGIC = b"MARF"


class Papers:
    """A key and a certificate, as two files in `folder`."""

    def __init__(self, folder, name):
        self.key = folder / f"{name}.key"
        self.certificate = folder / f"{name}.pem"

    @staticmethod
    def make(folder, name, uri, issuer=None, key=None, expired=False):
        """issuer: the Papers of a CA; without one it signs itself. expired: it ended long ago."""
        papers = Papers(folder, name)
        if key:
            papers.key = key
        else:
            run("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", papers.key)
        request, text, serial = folder / f"{name}.csr", folder / f"{name}.cnf", folder / f"{name}.serial"
        index = folder / f"{name}.index"
        index.write_text("")
        serial.write_text(f"{uuid.uuid4().int % 2**60:016x}\n")
        dates = ("20010101000000Z", "20020101000000Z") if expired else ("20010101000000Z", "20990101000000Z")
        constraints = "CA:TRUE" if uri is None else "CA:FALSE"
        names = f"subjectAltName = URI:{uri}\n" if uri else ""
        text.write_text(f"[ca]\ndefault_ca = x\n[x]\ndatabase = {index}\nserial = {serial}\nnew_certs_dir = {folder}\n"
                        f"default_md = sha256\npolicy = p\nx509_extensions = e\nunique_subject = no\n"
                        f"[p]\ncommonName = supplied\norganizationalUnitName = optional\n"
                        f"[e]\nbasicConstraints = critical,{constraints}\n{names}")
        run("openssl", "req", "-new", "-key", papers.key, "-subj", f"/CN={name}/OU=host", "-out", request)
        signer = ["-cert", issuer.certificate, "-keyfile", issuer.key] if issuer else ["-selfsign", "-keyfile",
                                                                                       papers.key]
        run("openssl", "ca", "-batch", "-notext", "-preserveDN", "-config", text, "-startdate", dates[0], "-enddate",
            dates[1], "-in", request, "-out", papers.certificate, *signer)
        return papers

    @staticmethod
    def of(host):
        """Those of a member, as they lie in its state directory."""
        papers = Papers(host.state, "none")
        papers.key, papers.certificate = host.state / "key.pem", host.state / "cert.pem"
        return papers

    @staticmethod
    def of_ca(host):
        papers = Papers(host.state, "none")
        papers.key, papers.certificate = host.state / "ca-key.pem", host.state / "ca.pem"
        return papers


def identity(host):
    """Cluster and host, as bytes, from its own files."""
    words = json.loads((host.state / "host.json").read_text())
    return uuid.UUID(words["cluster"]).bytes, uuid.UUID(words["host"]).bytes


def uri_of(host):
    cluster, own = (uuid.UUID(bytes=part) for part in identity(host))
    return f"mars:{cluster}/host/{own}"


def tls(side, papers=None, version=ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if side == "client" else ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if papers:
        context.load_cert_chain(papers.certificate, papers.key)
    return context


def frame(kind, payload=b"", channel=0, version=1, flags=0, length=None, magic=MAGIC):
    announced = len(payload) if length is None else length
    return struct.pack("<4sHBBII", magic, version, kind, flags, channel, announced) + payload


def hello(cluster, host, role=HOST, versions=(1, 1), name=b"stranger", incarnation=1 << 40, reserved=0, tail=b""):
    fixed = struct.pack("<HHBBH16s16sQQ", *versions, role, len(name), reserved, cluster, host, incarnation, 0)
    return fixed + name + tail


class Caller:
    """A connection to the port of a marsd; secured unless `plain`."""

    def __init__(self, host, papers=None, plain=False, timeout=15):
        port = host.lab.network.ports[host.name][1]
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        if not plain:
            self.socket = tls("client", papers).wrap_socket(self.socket)

    def send(self, data):
        """False: the other side has closed already."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            return False

    def receive(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                return data
            data += more
        return data

    def answer(self):
        """What comes back: ("hello" | "refusal" | "frame", text), ("closed", why)."""
        try:
            head = self.receive(16)
            if len(head) < 16:
                return "closed", "without a word"
            magic, _, kind, _, _, length = struct.unpack("<4sHBBII", head)
            payload = self.receive(length)
        except OSError as error:
            return "closed", str(error)
        if magic != MAGIC:
            return "closed", f"not a frame: {head!r}"
        if kind == REFUSAL:
            size = struct.unpack("<H", payload[2:4])[0]
            return "refusal", payload[4:4 + size].decode(errors="replace")
        return ("hello", "") if kind == HELLO else ("frame", str(kind))

    def last_answer(self):
        """The frames up to a refusal or to the end, of which the last counts."""
        while True:
            found = self.answer()
            if found[0] in ("refusal", "closed"):
                return found

    def close(self):
        try:
            self.socket.close()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Impostor:
    """A server in the place of a host that is down: answers TLS with these papers, and says `words` to each caller.
    `was_tried`: the handshake of a caller has ended, well or not."""

    def __init__(self, host, papers, words=b""):
        self.words = words
        self.was_tried = threading.Event()
        self.context = tls("server", papers)
        self.server = socket.create_server(("127.0.0.1", host.lab.network.ports[host.name][1]))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            try:
                connection.settimeout(5)
                with self.shake_hands(connection) as secure:
                    secure.recv(4096)
                    secure.sendall(self.words)
                    secure.recv(4096)
            except OSError:
                pass
            finally:
                connection.close()

    def shake_hands(self, connection):
        try:
            return self.context.wrap_socket(connection, server_side=True)
        finally:
            self.was_tried.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(15)
