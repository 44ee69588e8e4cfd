"""HTTP/1.1 requests as received and responses to be sent (RFC 9112), with nothing normalised."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

Headers = list[tuple[str, str]]
"""Name and value in order, repeats kept; values are sent as UTF-8."""


class Source(Protocol):
    """A body that is too large for memory: any part of it can be made again at any time."""

    size: int

    def read(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes start ≤ n < end in large pieces."""


class Held:
    """A body in memory as a `Source`; shared, never copied."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def read(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes start ≤ n < end in one piece."""
        yield memoryview(self._data)[start:end]


@dataclass(frozen=True)
class Request:
    """One request; `head` are the exact bytes up to and with the empty line."""

    head: bytes
    body: bytes
    port: int
    """The port it came in at; pages name each other by it."""

    @property
    def method(self) -> str:
        return self.head.split(b" ", 1)[0].decode("ascii")

    @property
    def target(self) -> str:
        """Path and query as sent."""
        return self.head.split(b" ", 2)[1].decode("latin-1")

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)

    def header(self, name: str, default: str = "") -> str:
        """The first value of the header `name`."""
        return next((v for n, v in header_pairs(self.head) if n.lower() == name.lower()), default)

    @property
    def host(self) -> str:
        """The host's name without its port, from the Host header."""
        return self.header("Host").rsplit(":", 1)[0]

    def number(self, name: str, default: float) -> float:
        """A number from the query."""
        return float(self.query.get(name, [str(default)])[0])


@dataclass
class Response:
    """What to answer. A `Source` or bytes goes with Content-Length, an iterator goes chunked."""

    body: bytes | Source | Iterator[bytes] = b""
    status: int = 200
    headers: Headers = field(default_factory=list)
    ranges: bool = False
    """Whether a single byte range is honoured (RFC 9110 §14)."""
    cut_at: int | None = None
    """The connection is cut before this byte of the whole body."""
    delay: float = 0.0
    """Seconds before the head goes out."""
    script: Callable[[Any], None] | None = None
    """Gets the connection as a `tests.site.wire.Wire` and sends what it likes; all else here is ignored."""

    @property
    def size(self) -> int | None:
        """Length of the whole body; None when it goes chunked."""
        if isinstance(self.body, bytes):
            return len(self.body)
        return self.body.size if hasattr(self.body, "size") else None

    def head(self, extra: Headers, status: int | None = None) -> bytes:
        """The status line and headers, `extra` after the response's own, as sent."""
        code = self.status if status is None else status
        reason = HTTPStatus(code).phrase
        lines = [f"HTTP/1.1 {code} {reason}", *(f"{n}: {v}" for n, v in (*self.headers, *extra))]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def header_pairs(head: bytes) -> Headers:
    """The headers of a head in order, repeats kept (values as Latin-1, so that every byte survives)."""
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return [(name, value.strip()) for name, _, value in pairs]


def html(text: str, *, status: int = 200, headers: Headers | None = None) -> Response:
    """A page."""
    return Response(text.encode(), status, [("Content-Type", "text/html; charset=utf-8"), *(headers or [])])


def typed(data: bytes | Source | Iterator[bytes], kind: str, **more: object) -> Response:
    """A body of the media type `kind`."""
    return Response(data, headers=[("Content-Type", kind)], **more)  # type: ignore[arg-type]


def redirect(to: str, status: int = 302) -> Response:
    """A hop."""
    return Response(b"<p>Moved.</p>", status, [("Content-Type", "text/html"), ("Location", to)])


def gzipped(response: Response) -> Response:
    """The same response with a gzip content coding, equal bytes at every call."""
    assert isinstance(response.body, bytes)
    response.body = gzip.compress(response.body, 6, mtime=0)
    response.headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
    return response


def chunked(response: Response, size: int = 1000) -> Response:
    """The same response without a length, in chunks of `size` bytes."""
    assert isinstance(response.body, bytes)
    data = response.body
    response.body = (data[n : n + size] for n in range(0, len(data), size))
    return response
