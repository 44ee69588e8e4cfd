r"""Undoing, while bytes arrive, what HTTP did to a body: chunk framing, then content codings.

    4\r\nWiki\r\n0\r\n\r\n   →   Wiki        (RFC 9112 §7.1; extensions and trailers are skipped)

Bounded memory whatever the input claims: output is handed on in pieces of at most 1 MiB.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import brotli  # type: ignore[import-untyped]

from pipelines.record.heads import Head

PIECE: Final = 1 << 20
_LINE_MAX: Final = 1 << 16
_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,16}")
_GZIP: Final = zlib.MAX_WBITS | 16

Step = Callable[[bytes], Iterable[bytes]]


class UndecodableError(Exception):
    """The body does not follow the coding that its head names."""


class Dechunker:
    """Takes chunk framing away; `ended` once the last chunk and its trailers were seen."""

    def __init__(self) -> None:
        self.ended = False
        self._line = b""
        self._left = 0
        self._expects = self._size_line

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The content in `data`. Raises UndecodableError on broken framing."""
        at = 0
        while at < len(data) and not self.ended:
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                yield piece
                continue
            end = data.find(b"\n", at, at + _LINE_MAX) + 1
            self._line += data[at : end or len(data)]
            at = end or len(data)
            if len(self._line) > _LINE_MAX:
                raise UndecodableError("chunk line too long")
            if end:
                line, self._line = self._line.strip(), b""
                self._expects(line)

    def _size_line(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip()
        if not _SIZE.fullmatch(size):
            raise UndecodableError(f"chunk size {line[:20]!r}")
        self._left = int(size, 16)
        self._expects = self._after_data if self._left else self._trailer

    def _after_data(self, line: bytes) -> None:
        if line:
            raise UndecodableError("no line end after a chunk")
        self._expects = self._size_line

    def _trailer(self, line: bytes) -> None:
        self.ended = not line


class ContentDecoder:
    """The content of one body, from the bytes of its payload: `feed` them, take what comes out."""

    def __init__(self, head: Head, *, framing: bool = True) -> None:
        """`framing`: whether chunk framing is still to be undone. Raises UndecodableError for an unknown coding."""
        self._steps: list[Step] = [Dechunker().feed] if framing and head.chunked else []
        self._steps += [_step(coding) for coding in reversed(head.encodings)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of content. Raises UndecodableError."""
        try:
            yield from _through(self._steps, data)
        except (zlib.error, brotli.error) as error:
            raise UndecodableError(str(error)) from None


def _through(steps: list[Step], data: bytes) -> Iterator[bytes]:
    if not steps:
        yield data
        return
    for piece in steps[0](data):
        yield from _through(steps[1:], piece)


def _step(coding: str) -> Step:
    if coding in {"gzip", "x-gzip", "deflate"}:
        return _Inflater(coding).feed
    if coding == "br":
        return _brotli()
    raise UndecodableError(f"content coding {coding!r}")


class _Inflater:
    """gzip (RFC 1952, members may follow one another) or deflate (zlib, or raw as some servers send it)."""

    def __init__(self, coding: str) -> None:
        self._inflate = None if coding == "deflate" else zlib.decompressobj(_GZIP)

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate is None:  # zlib's header begins with 8 in the lower half (RFC 1950 §2.2)
                zlib_header = data[0] & 15 == zlib.DEFLATED
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS)
            yield self._inflate.decompress(data, PIECE)
            data = self._inflate.unconsumed_tail
            if self._inflate.eof and self._inflate.unused_data:
                data = self._inflate.unused_data
                self._inflate = zlib.decompressobj(_GZIP)


def _brotli() -> Step:
    decoder = brotli.Decompressor()

    def feed(data: bytes) -> Iterator[bytes]:
        while piece := decoder.process(data, output_buffer_limit=PIECE):
            yield piece
            data = b""

    return feed
