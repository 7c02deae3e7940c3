"""A small NBD client: fixed newstyle, one request at a time, so that a test knows exactly what was acknowledged."""

import os
import socket
import struct
from urllib.parse import parse_qs, unquote, urlparse

READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3


class NbdError(OSError):
    """The server refused or answered with an error."""


class Nbd:
    """uri: nbd+unix:///EXPORT?socket=PATH, as marsd prints it."""

    def __init__(self, uri, timeout=30):
        parts = urlparse(uri)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(unquote(parse_qs(parts.query)["socket"][0]))
        self.cookie = 0
        self.size = self.negotiate(unquote(parts.path.lstrip("/")).encode())

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise ConnectionResetError("the NBD server closed the connection")
            data += more
        return bytes(data)

    def negotiate(self, export):
        magic, options, _ = struct.unpack(">8s8sH", self.receive(18))
        if (magic, options) != (b"NBDMAGIC", b"IHAVEOPT"):
            raise NbdError("this is no NBD server")
        go = struct.pack(">I", len(export)) + export + struct.pack(">H", 0)
        self.socket.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 7, len(go)) + go)
        size = None
        while True:
            _, _, kind, length = struct.unpack(">QIII", self.receive(20))
            data = self.receive(length)
            if kind & 0x80000000:
                raise NbdError(f"the server refuses the export: {data.decode(errors='replace')}")
            if kind == 3 and struct.unpack(">H", data[:2])[0] == 0:
                size = struct.unpack(">Q", data[2:10])[0]
            if kind == 1:
                return size

    def request(self, kind, offset=0, length=0, data=b"", fua=False):
        self.cookie += 1
        flags = 1 if fua else 0
        self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, flags, kind, self.cookie, offset, length) + data)
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        if magic != 0x67446698 or cookie != self.cookie:
            raise NbdError("an answer that does not fit the request")
        if error:
            raise NbdError(error, os.strerror(error))
        return self.receive(length) if kind == READ else b""

    def write(self, offset, data, fua=False):
        self.request(WRITE, offset, len(data), data, fua)

    def read(self, offset, length):
        return self.request(READ, offset, length)

    def flush(self):
        self.request(FLUSH)

    def close(self):
        try:
            self.socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, DISCONNECT, 0, 0, 0))
        except OSError:
            pass
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
