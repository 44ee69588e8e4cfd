"""What the server received and sent, byte for byte: the truth that recordings are compared with."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.site.messages import Headers, Source, header_pairs


@dataclass
class ServedExchange:
    """One exchange; whole once `done` is set."""

    number: int
    connection: int
    host: str
    """Name in the Host header, without the port."""
    port: int
    client_port: int
    tls: str
    """`TLSv1.3` or `TLSv1.2`."""
    cipher: str
    """OpenSSL's name of the cipher suite."""
    request_head: bytes
    request_body: bytes
    received: datetime = field(default_factory=lambda: datetime.now(UTC))
    response_head: bytes = b""
    interim: list[bytes] = field(default_factory=list)
    """Heads of interim answers (1xx), as sent."""
    frames_in: bytearray = field(default_factory=bytearray)
    """What came over the connection once it was a WebSocket's."""
    frames_out: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    """A response body that went chunked, as sent, framing included."""
    source: Source | None = None
    """Where a response body with a length came from."""
    start: int = 0
    """The first byte of `source` that was sent."""
    sent: int = 0
    """Bytes of body handed to the socket, framing included; where the client left early (`completed` is
    false) it got these or fewer, so what it recorded is a prefix."""
    completed: bool = False
    """Whether all of the response was handed to the socket."""
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def method(self) -> str:
        return self.request_head.split(b" ", 1)[0].decode("ascii")

    @property
    def target(self) -> str:
        """Path with query, as sent."""
        return self.request_head.split(b" ", 2)[1].decode("latin-1")

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}{self.target}"

    @property
    def status(self) -> int:
        """The response's status; 0 when none was sent, or something else in its place."""
        return int(self.response_head.split(None, 2)[1]) if self.response_head.startswith(b"HTTP/") else 0

    @property
    def request_headers(self) -> Headers:
        return header_pairs(self.request_head)

    @property
    def response_headers(self) -> Headers:
        return header_pairs(self.response_head)

    def header(self, name: str) -> str:
        """The first value of a response header, or an empty string."""
        return next((v for n, v in self.response_headers if n.lower() == name.lower()), "")

    def body(self) -> Iterator[bytes | memoryview]:
        """The response body as sent, chunk framing included."""
        if self.source is None:
            yield bytes(self.kept)
        else:
            yield from self.source.read(self.start, self.start + self.sent)

    def body_bytes(self) -> bytes:
        """The response body as sent; for bodies that fit into memory."""
        return b"".join(self.body())

    def body_sha256(self) -> str:
        """Hex SHA-256 of the response body as sent, computed when asked for."""
        digest = hashlib.sha256()
        for piece in self.body():
            digest.update(piece)
        return digest.hexdigest()

    def payload(self) -> bytes:
        """The response body without its chunk framing, still content-encoded."""
        data = self.body_bytes()
        return dechunk(data) if self.header("Transfer-Encoding") == "chunked" else data

    def as_json(self, *, body_up_to: int = 8 << 20) -> dict[str, Any]:
        """For a reader in another process; bodies beyond `body_up_to` bytes go as size and digest only."""
        return {
            "number": self.number,
            "connection": self.connection,
            "host": self.host,
            "port": self.port,
            "client_port": self.client_port,
            "tls": self.tls,
            "cipher": self.cipher,
            "received": self.received.isoformat(),
            "url": self.url,
            "method": self.method,
            "status": self.status,
            "completed": self.completed,
            "request_head": base64.b64encode(self.request_head).decode(),
            "request_body": base64.b64encode(self.request_body).decode(),
            "response_head": base64.b64encode(self.response_head).decode(),
            "response_body": base64.b64encode(self.body_bytes()).decode()
            if self.sent <= body_up_to
            else None,
            "response_body_size": self.sent,
            "response_body_sha256": self.body_sha256(),
        }


class ServedLog:
    """All exchanges since the start, in the order in which the requests arrived. Thread-safe."""

    def __init__(self) -> None:
        self._exchanges: list[ServedExchange] = []
        self._lock = threading.Lock()

    def open(self, **facts: Any) -> ServedExchange:
        """Enter a request that has just been read."""
        with self._lock:
            exchange = ServedExchange(number=len(self._exchanges), **facts)
            self._exchanges.append(exchange)
        return exchange

    def mark(self) -> int:
        """The number that the next exchange will get: take it before, give it to `since` after."""
        with self._lock:
            return len(self._exchanges)

    def since(self, mark: int = 0, *, wait: float = 10.0) -> list[ServedExchange]:
        """Exchanges numbered from `mark` on, each whole. Raises TimeoutError after `wait` seconds."""
        with self._lock:
            exchanges = self._exchanges[mark:]
        for exchange in exchanges:
            if not exchange.done.wait(wait):
                raise TimeoutError(f"still being served: {exchange.method} {exchange.url}")
        return exchanges

    def asked(self, path: str, mark: int = 0) -> bool:
        """Whether a path that begins so was asked for since then, answered or not."""
        with self._lock:
            return any(exchange.target.startswith(path) for exchange in self._exchanges[mark:])

    def find(self, path: str, *, since: int = 0) -> list[ServedExchange]:
        """Exchanges for exactly this path, whatever the query."""
        return [e for e in self.since(since) if e.target.partition("?")[0] == path]


def dechunk(data: bytes) -> bytes:
    """Undo chunked transfer coding without trailers (RFC 9112 §7.1); a body that was cut ends early."""
    out, at = bytearray(), 0
    while (line_end := data.find(b"\r\n", at)) > 0:
        size = int(data[at:line_end], 16)
        out += data[line_end + 2 : line_end + 2 + size]
        at = line_end + 2 + size + 2
    return bytes(out)
