r"""One gzip member (RFC 1952) read strictly, in constant memory: the container of one WARC record.

    1f 8b 08 00 00 00 00 00 00 ff        header of a stored member: no flag, no time
      00 <len LE> <~len LE> <bytes>      stored block (RFC 1951 §3.2.4) of 1 to 65535 bytes, repeated
      01 00 00 ff ff                     the last block, empty
    1f 8b 08 00 00 00 00 00 00 03        header of a deflated member (03: Unix; 07 and 13: macOS)
      <deflate data>
    <CRC-32 LE> <size mod 2^32 LE>       both kinds

A general reader ignores header fields and padding bits; here every byte of a stored member, and of
every header and trailer, has one permitted value. Only padding bits inside deflate data are left
to the whole file's digest.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final, Protocol

PIECE: Final = 1 << 16
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00"
_STORED: Final = 0xFF
_DEFLATED: Final = frozenset({0x03, 0x07, 0x13})
_LAST_BLOCK: Final = b"\x01\x00\x00\xff\xff"


class DefectError(ValueError):
    """What is read breaks `rule`; here gzip-header, gzip-data, gzip-check, gzip-torn (the file ends in it)."""

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
    header = raw.take(len(_HEADER) + 1)
    system = header[-1]
    if header[:-1] != _HEADER or system not in {_STORED, *_DEFLATED}:
        raise DefectError("gzip-header", "no gzip member of the one permitted form starts here")
    pieces = _stored(raw) if system == _STORED else _inflated(raw)
    return io.BufferedReader(_Pieces(_checked(raw, pieces)), PIECE)


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


def _checked(raw: RawReader, pieces: Iterator[bytes]) -> Iterator[bytes]:
    crc = size = 0
    for piece in pieces:
        crc, size = zlib.crc32(piece, crc), size + len(piece)
        yield piece
    if raw.take(8) != struct.pack("<II", crc, size & 0xFFFFFFFF):
        raise DefectError("gzip-check", "check sum or size of the member is wrong")


def _stored(raw: RawReader) -> Iterator[bytes]:
    while (head := raw.take(len(_LAST_BLOCK))) != _LAST_BLOCK:
        kind, length, complement = struct.unpack("<BHH", head)
        if kind or not length or length ^ complement != 0xFFFF:  # noqa: PLR2004
            raise DefectError("gzip-data", "no stored block where one belongs")
        yield raw.take(length)


def _inflated(raw: RawReader) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflate.eof:
        data = raw.peek()
        if not data:
            raise DefectError("gzip-torn", "the file ends inside a record")
        try:
            piece = inflate.decompress(data, PIECE)
        except zlib.error as error:
            raise DefectError("gzip-data", f"the deflate data is damaged: {error}") from error
        raw.skip(len(data) - len(inflate.unused_data or inflate.unconsumed_tail))
        if piece:
            yield piece
