r"""HTTP messages told apart in what crosses one socket above TLS.

HTTP/1.1 needs no more than to know where a head ends: Chromium never pipelines, so all bytes between two
requests on a socket belong to the first. HTTP/2 (RFC 9113 §4.1) needs its DATA frames, the heads being in
the log already:

    length (24 bits) | type (8) | flags (8) | stream (1 reserved + 31 bits) | payload
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends before its first frame (RFC 9113 §3.4)."""
_FRAME_HEAD: Final = 9
_DATA: Final = 0
_PADDED: Final = 0x8
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_HEAD_MAX: Final = 1 << 19
"""Chromium itself refuses heads above 256 KiB; what has none (HTTP/0.9) is cut here."""
_ESCAPED: Final = "%ESCAPED:\u200b "


def take_head(buffer: bytearray) -> bytes:
    """Take an HTTP/1.1 head off the buffer's front; empty while it is not whole."""
    end = _HEAD_END.search(buffer)
    cut = end.end() if end else len(buffer) if len(buffer) >= _HEAD_MAX else 0
    head = bytes(buffer[:cut])
    del buffer[:cut]
    return head


class DataFrames:
    """What one side of an HTTP/2 connection sends in its DATA frames.

    Content is given as it comes: Chromium, too, takes a frame as ended before its padding is there.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = self._content = self._skip = 0
        """Of the frame under way: its stream, and bytes of content and of all else that are still to come."""

    def take(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take what came; gives (stream, content) of what is in it."""
        buffer, found = self._buffer, []
        buffer += data
        if buffer.startswith(_PREFACE):
            del buffer[: len(_PREFACE)]
        while self._content or self._skip or self._begin():
            if piece := bytes(buffer[: self._content]):
                found.append((self._stream, piece))
            passed = min(self._skip, len(buffer) - len(piece))
            del buffer[: len(piece) + passed]
            self._content, self._skip = self._content - len(piece), self._skip - passed
            if self._content or self._skip:
                break
        return found

    def _begin(self) -> bool:
        buffer = self._buffer
        if len(buffer) <= _FRAME_HEAD and not (len(buffer) == _FRAME_HEAD and buffer[:3] == b"\0\0\0"):
            return False  # with the byte behind the head, which may be the length of the padding
        if _PREFACE.startswith(buffer):
            return False
        length, kind, flags = int.from_bytes(buffer[:3], "big"), buffer[3], buffer[4]
        self._stream = int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF
        before = 1 if kind == _DATA and flags & _PADDED and length else 0
        padding = buffer[_FRAME_HEAD] if before else 0
        del buffer[: _FRAME_HEAD + before]
        self._content = max(length - before - padding, 0) if kind == _DATA else 0
        self._skip = length - before - self._content
        return True


def render_head(fields: list[str]) -> bytes:
    """An HTTP/2 head as HTTP/1.1 text; the reason phrase, which HTTP/2 has not, is empty."""
    get = {name: value for name, _, value in _pairs(fields) if name.startswith(b":")}.get
    if status := get(b":status"):
        first = [b"HTTP/1.1 " + status + b" "]
    else:
        first = [
            b"%b %b HTTP/1.1" % (get(b":method", b""), get(b":path", b"")),
            b"host: " + get(b":authority", b""),
        ]
        if protocol := get(b":protocol"):  # RFC 8441 §4
            first.append(b"upgrade: " + protocol)
    return b"\r\n".join([*first, render_lines(fields), b""])


def render_lines(fields: list[str]) -> bytes:
    """The fields of an HTTP/2 head or of trailers as HTTP/1.1 lines, pseudo-fields left out."""
    lines = []
    for name, mark, value in _pairs(fields):
        if not name.startswith(b":"):  # Chromium joins a repeated field's values with NUL
            lines += [name + mark + one + b"\r\n" for one in value.split(b"\0")]
    return b"".join(lines)


def _pairs(fields: list[str]) -> Iterator[tuple[bytes, bytes, bytes]]:
    for raw in map(unescape, fields):
        name, mark, value = raw[1:].partition(b": ")  # a pseudo-field's name begins with the colon
        yield raw[:1] + name, mark, value


def unescape(text: str) -> bytes:
    """The bytes of a string as NetLog prints them: non-ASCII ones come as `%ESCAPED:\u200b ` + percent codes."""
    if text.startswith(_ESCAPED):
        return unquote_to_bytes(text.removeprefix(_ESCAPED))
    return text.encode("utf-8")
