"""What crosses one socket above TLS, told apart into HTTP messages.

HTTP/1.1 needs no more than to know where a head ends: Chromium never pipelines, so all bytes between two
requests on a socket belong to the first. HTTP/2 (RFC 9113 §4.1) needs its DATA frames, the heads being in
the log already:

    length (24 bits) | type (8) | flags (8) | stream (1 reserved + 31 bits) | payload
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from pipelines.record.netlog import unescape

PREFACE: Final = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
"""What a client sends before its first frame (RFC 9113 §3.4)."""
_FRAME_HEAD: Final = 9
_DATA: Final = 0
_PADDED: Final = 0x8
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_HEAD_MAX: Final = 1 << 19
"""Chromium itself refuses heads above 256 KiB."""


class DataFrames:
    """Takes one direction of an HTTP/2 connection and gives the content of its DATA frames."""

    def __init__(self, *, preface: int = 0) -> None:
        self._skip = preface
        self._head = b""
        self._stream = 0
        self._left = 0
        self._padding: int | None = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Pieces of content in `data`, each with its stream's number."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
            elif self._left:
                piece = data[at : at + self._left]
                self._left -= len(piece)
                at += len(piece)
                yield self._stream, piece
                self._end_content()
            elif self._padding is None:
                at += self._pad(data[at])
            else:
                need = _FRAME_HEAD - len(self._head)
                self._head += data[at : at + need]
                at += need
                if len(self._head) == _FRAME_HEAD:
                    self._begin(self._head)
                    self._head = b""

    def _begin(self, head: bytes) -> None:
        length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        if kind != _DATA:
            self._skip = length
            return
        self._stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        if flags & _PADDED and length:
            self._padding, self._length = None, length
        else:
            self._left = length

    def _pad(self, padding: int) -> int:
        self._padding = padding
        self._left = max(0, self._length - 1 - padding)
        self._end_content()
        return 1

    def _end_content(self) -> None:
        if not self._left and self._padding:
            self._skip, self._padding = self._padding, 0


class HeadReader:
    """Gathers an HTTP/1.1 head from pieces; `head` is set once it is whole."""

    def __init__(self) -> None:
        self.head = b""
        self._gathered = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; gives those that lie behind the head (all of them, once it is whole)."""
        if self.head:
            return data
        self._gathered += data
        end = _HEAD_END.search(self._gathered)
        if end is None and len(self._gathered) < _HEAD_MAX:
            return b""
        cut = end.end() if end else len(self._gathered)
        self.head, rest = self._gathered[:cut], self._gathered[cut:]
        self._gathered = b""
        return rest

    @property
    def partial(self) -> bytes:
        """What came of a head that never became whole."""
        return self._gathered


def render_request(fields: list[str]) -> tuple[str, bytes]:
    """Method and head of an HTTP/2 request, the head rendered as HTTP/1.1 text."""
    pseudo, rest = _split(fields)
    method = pseudo.get(b":method", b"GET")
    lines = [
        b"%b %b HTTP/1.1" % (method, pseudo.get(b":path", b"/")),
        b"host: " + pseudo.get(b":authority", b""),
    ]
    return method.decode("latin-1"), b"\r\n".join([*lines, *rest, b"", b""])


def render_response(fields: list[str]) -> tuple[int, bytes]:
    """Status and head of an HTTP/2 response, rendered as HTTP/1.1 text (which has a reason phrase: empty)."""
    pseudo, rest = _split(fields)
    status = pseudo.get(b":status", b"0")
    return int(status), b"\r\n".join([b"HTTP/1.1 %b " % status, *rest, b"", b""])


def _split(fields: list[str]) -> tuple[dict[bytes, bytes], list[bytes]]:
    pseudo: dict[bytes, bytes] = {}
    rest: list[bytes] = []
    for field in fields:
        raw = unescape(field)
        name, _, value = (raw[1:] if raw.startswith(b":") else raw).partition(b": ")
        if raw.startswith(b":"):
            pseudo[b":" + name] = value
        else:  # Chromium joins a repeated field's values with NUL
            rest += [name + b": " + one for one in value.split(b"\0")]
    return pseudo, rest
