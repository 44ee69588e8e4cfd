r"""One gzip member (RFC 1952) read strictly, in constant memory: the container of one WARC record.

    1f 8b 08 00 00 00 00 00 00 ff        header of a stored member: no flag, no time
    1f 8b 08 00 00 00 00 00 00 03        header of a deflated member (03: Unix; 07 and 13: macOS)
      <deflate data>                     stored blocks, or compressed ones
    <CRC-32 LE> <size mod 2^32 LE>       both kinds

A general reader ignores header fields; here each has one permitted value. Only padding bits inside
deflate data are left to the whole file's digest.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from typing import Any, Final, Protocol

PIECE: Final = 1 << 16
HEADER: Final = re.compile(rb"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00[\xff\x03\x07\x13]")
HEADER_BYTES: Final = 10


class DefectError(ValueError):
    """What is read breaks `rule`; here gzip-header, gzip-data or gzip-torn (the file ends in it)."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule


class Readable(Protocol):
    """All that is asked of a stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, empty only at the end."""
        ...


class RawReader:
    """A stream that knows its offset and can look ahead."""

    def __init__(self, stream: Readable, offset: int = 0) -> None:
        self._stream = stream
        self._held = b""
        self.offset = offset

    def peek(self) -> bytes:
        """The next bytes, at least one unless the stream has ended."""
        self._held = self._held or self._stream.read(PIECE)
        return self._held

    def skip(self, size: int) -> None:
        """Go on behind `size` of the bytes that `peek` gave."""
        self._held = self._held[size:]
        self.offset += size

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises DefectError (gzip-torn) where the stream ends before."""
        data = b""
        while len(data) < size:
            part = self.peek()[: size - len(data)]
            if not part:
                raise DefectError("gzip-torn", "the file ends inside a record")
            self.skip(len(part))
            data += part
        return data


def open_member(raw: RawReader) -> io.BufferedReader:
    """The content of the member that starts at the reader's offset, to be read once, forwards.

    At its end, check sum and size were found right. Raises DefectError, and so does all reading.
    """
    header = raw.take(HEADER_BYTES)
    if not HEADER.fullmatch(header):
        raise DefectError("gzip-header", "no gzip member of the one permitted form starts here")
    return io.BufferedReader(_Pieces(_inflated(raw, header)), PIECE)


class _Pieces(io.RawIOBase):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._held = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        room = memoryview(buffer)
        data = self._held or next(self._pieces, b"")
        size = min(len(data), len(room))
        room[:size], self._held = data[:size], data[size:]
        return size


def _inflated(raw: RawReader, header: bytes) -> Iterator[bytes]:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)  # checks the trailer too
    inflate.decompress(header)
    while not inflate.eof:
        data = raw.peek()
        if not data:
            raise DefectError("gzip-torn", "the file ends inside a record")
        try:
            piece = inflate.decompress(data, PIECE)
        except zlib.error as error:
            raise DefectError("gzip-data", f"the member is damaged: {error}") from error
        raw.skip(len(data) - len(inflate.unused_data or inflate.unconsumed_tail))
        if piece:
            yield piece
