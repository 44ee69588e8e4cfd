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

import struct
import zlib
from collections.abc import Iterator
from typing import Final, Protocol

_PIECE: Final = 1 << 16
_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00"
_STORED: Final = 0xFF
_DEFLATED: Final = frozenset({0x03, 0x07, 0x13})
_LAST_BLOCK: Final = b"\x01\x00\x00\xff\xff"


class GzipError(ValueError):
    """The member breaks `rule`: gzip-header, gzip-data, gzip-check or gzip-torn (the file ends in it)."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.rule = rule


class Readable(Protocol):
    """All that is asked of a stream."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, empty only at the end."""
        ...


class RawReader:
    """A stream with its offset, out of which exact runs are taken and to which bytes can be given back."""

    def __init__(self, stream: Readable, offset: int = 0) -> None:
        self._stream = stream
        self._held = b""
        self.offset = offset

    def some(self) -> bytes:
        """The next bytes, at least one unless the stream has ended."""
        data = self._held or self._stream.read(_PIECE)
        self._held = b""
        self.offset += len(data)
        return data

    def give_back(self, data: bytes) -> None:
        """Bytes that belong to what follows."""
        self._held = data + self._held
        self.offset -= len(data)

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises GzipError (gzip-torn) where the stream ends before."""
        parts: list[bytes] = []
        while size and (data := self.some()):
            parts.append(data[:size])
            self.give_back(data[size:]) if len(data) > size else None
            size -= len(parts[-1])
        if size:
            raise GzipError("gzip-torn", "the file ends inside a record")
        return b"".join(parts)

    def at_end(self) -> bool:
        """Whether nothing is left."""
        data = self.some()
        self.give_back(data)
        return not data


class Content:
    """The content of the member that starts at the reader's offset; a file to read once, forwards.

    Raises GzipError from every method.
    """

    def __init__(self, raw: RawReader) -> None:
        header = raw.take(len(_HEADER) + 1)
        system = header[-1]
        if header[:-1] != _HEADER or system not in {_STORED, *_DEFLATED}:
            raise GzipError("gzip-header", "no gzip member of the one permitted form starts here")
        self._pieces = _checked(raw, _stored(raw) if system == _STORED else _inflated(raw))
        self._held = b""

    def read(self, size: int) -> bytes:
        """At most `size` bytes; empty only at the end, when check sum and size were found right."""
        data = self._held or next(self._pieces, b"")
        self._held = data[size:]
        return data[:size]

    def readline(self, limit: int) -> bytes:
        """Bytes up to and with the next newline, at most `limit`; empty only at the end."""
        line = b""
        while len(line) < limit and not line.endswith(b"\n"):
            data = self._held or next(self._pieces, b"")
            if not data:
                break
            end = data.find(b"\n", 0, limit - len(line)) + 1 or min(len(data), limit - len(line))
            line += data[:end]
            self._held = data[end:]
        return line

    def drain(self) -> None:
        """Read to the end, so that the member's end is known and its check sum is checked."""
        while self.read(_PIECE):
            pass


def _checked(raw: RawReader, pieces: Iterator[bytes]) -> Iterator[bytes]:
    crc = size = 0
    for piece in pieces:
        crc, size = zlib.crc32(piece, crc), size + len(piece)
        yield piece
    if raw.take(8) != struct.pack("<II", crc, size & 0xFFFFFFFF):
        raise GzipError("gzip-check", "check sum or size of the member is wrong")


def _stored(raw: RawReader) -> Iterator[bytes]:
    while (head := raw.take(len(_LAST_BLOCK))) != _LAST_BLOCK:
        kind, length, complement = struct.unpack("<BHH", head)
        if kind or not length or length ^ complement != 0xFFFF:  # noqa: PLR2004
            raise GzipError("gzip-data", "no stored block where one belongs")
        yield raw.take(length)


def _inflated(raw: RawReader) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    while not inflate.eof:
        data = inflate.unconsumed_tail or raw.some()
        if not data:
            raise GzipError("gzip-torn", "the file ends inside a record")
        try:
            piece = inflate.decompress(data, _PIECE)
        except zlib.error as error:
            raise GzipError("gzip-data", f"the deflate data is damaged: {error}") from error
        if piece:
            yield piece
    raw.give_back(inflate.unused_data)
