"""A door before a TLS server that reads each client's ClientHello (RFC 8446 §4.1.2) and passes all bytes on."""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

GREASE = {0x0A0A + 0x1010 * n for n in range(16)}
"""RFC 8701: values that a client makes up, others each time."""
_SNI, _GROUPS, _SIGNATURES, _ALPN, _PADDING, _PSK, _VERSIONS = 0, 10, 13, 16, 21, 41, 43


@dataclass(frozen=True)
class Fingerprint:
    """As JA4 takes it, unhashed: what a server can tell a client by, without GREASE and in sorted order."""

    versions: tuple[int, ...]
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...]
    """Without padding and pre-shared keys, which say how long a name is, and that it was there before."""
    alpn: tuple[str, ...]
    signatures: tuple[int, ...]
    """In the client's order."""
    groups: tuple[int, ...]
    server_name: str


class HelloDoor:
    """Listens at `port` of 127.0.0.1, connects to `target` there; `hellos` in the order they came."""

    def __init__(self, target: int) -> None:
        self.hellos: list[Fingerprint] = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            record = b""
            while len(record) < 5 or len(record) < 5 + int.from_bytes(record[3:5], "big"):
                more = client.recv(1 << 16)
                if not more:
                    return
                record += more
            self.hellos.append(fingerprint(record))
            server.sendall(record)
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            _pass_on(client, server)
            back.join()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for sock in (source, sink):
            sock.close()


def fingerprint(record: bytes) -> Fingerprint:
    """Of one TLS record with a whole ClientHello. Raises ValueError when it is none."""
    if record[0] != 22 or record[5] != 1:
        raise ValueError("no ClientHello")
    at = 5 + 4 + 2 + 32
    at += 1 + record[at]
    ciphers, at = _vector(record, at, 2)
    _, at = _vector(record, at, 1)
    block, _ = _vector(record, at, 2)
    found: dict[int, bytes] = {}
    at = 0
    while at < len(block):
        kind = int.from_bytes(block[at : at + 2], "big")
        found[kind], at = _vector(block, at + 2, 2)
    names, at = [], 2
    while at < len(found.get(_ALPN, b"")):
        name, at = _vector(found[_ALPN], at, 1)
        names.append(name.decode())
    return Fingerprint(
        versions=tuple(sorted(_numbers(found.get(_VERSIONS, b"\0")[1:]))),
        ciphers=tuple(sorted(_numbers(ciphers))),
        extensions=tuple(sorted(set(found) - GREASE - {_PADDING, _PSK})),
        alpn=tuple(names),
        signatures=tuple(_numbers(found.get(_SIGNATURES, b"")[2:])),
        groups=tuple(_numbers(found.get(_GROUPS, b"")[2:])),
        server_name=found.get(_SNI, b"")[5:].decode(),
    )


def _vector(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    length = int.from_bytes(data[at : at + size], "big")
    return data[at + size : at + size + length], at + size + length


def _numbers(data: bytes) -> list[int]:
    numbers = (int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    return [number for number in numbers if number not in GREASE]
