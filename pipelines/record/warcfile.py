r"""warcio's WARCWriter with three things of ours: sha256 digests, gzip levels, streaming of large bodies.

Each record is one gzip member (WARC 1.1 annex D.2). A member at level 0 holds *stored* blocks
(RFC 1951 §3.2.4), so media is copied, not compressed, and can be found by offset:

    1f 8b 08 00 00 00 00 00 00 ff                        gzip header, no time, no name
    00 | len, 2 bytes LE | ~len, 2 bytes LE | bytes      stored block of at most 65535 bytes, repeated
    01 00 00 ff ff                                       last block, empty
    crc32, 4 bytes LE | size mod 2^32, 4 bytes LE
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from warcio.warcwriter import WARCWriter

_BLOCK: Final = 65535
_READ: Final = 4 * _BLOCK
"""Bytes moved at a time: whole stored blocks, small enough to stay in the processor's cache."""
_GZIP: Final = zlib.MAX_WBITS | 16
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK: Final = b"\x01\x00\x00\xff\xff"
STORED: Final = 0
TEXT: Final = 6


class WarcFile:
    """A file that is only ever added to, or cut back: knows its offset."""

    def __init__(self, path: Path) -> None:
        """Create `path`, or go on behind what it holds. Raises OSError."""
        self._raw = path.open("ab", buffering=0)
        self.offset = self._raw.tell()

    def write(self, *parts: bytes | memoryview) -> None:
        """Append all of the bytes, uncopied (writev). Raises OSError, e.g. when the disk is full."""
        left = [memoryview(part) for part in parts if part]
        while left:
            written = os.writev(self._raw.fileno(), left)
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if left:
                left[0] = left[0][written:]
        self.offset += sum(map(len, parts))

    def truncate(self, offset: int) -> None:
        """Drop what a failed record left behind `offset`."""
        self._raw.truncate(offset)
        self.offset = offset

    def close(self) -> None:
        """Close after fsync. Raises OSError."""
        os.fsync(self._raw.fileno())
        self._raw.close()


class GzipMember:
    """One gzip member; `flush` ends it. Level 0 is framed here, at twice the speed of zlib's level 0."""

    def __init__(self, out: WarcFile, level: int) -> None:
        self._out = out
        self._compress = zlib.compressobj(level, zlib.DEFLATED, _GZIP) if level else None
        self._crc = self._size = 0
        if not level:
            out.write(_GZIP_HEADER)

    def write(self, data: bytes) -> None:
        """Add bytes of the record."""
        if self._compress is not None:
            self._out.write(self._compress.compress(data))
            return
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        view = memoryview(data)
        parts: list[bytes | memoryview] = []
        for start in range(0, len(data), _BLOCK):
            block = view[start : start + _BLOCK]
            parts += (struct.pack("<BHH", 0, len(block), len(block) ^ 0xFFFF), block)
        self._out.write(*parts)

    def flush(self) -> None:
        """End the member."""
        if self._compress is not None:
            self._out.write(self._compress.flush())
        else:
            self._out.write(_LAST_BLOCK + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))


class RecordWriter(WARCWriter):  # type: ignore[misc]  # warcio has no types
    """WARC/1.1 records by warcio, each one gzip member at the level given; digests must be there already."""

    def __init__(self, out: WarcFile) -> None:
        super().__init__(out, gzip=False, warc_version="1.1")

    def write(self, record: Any, head: bytes, body: BinaryIO, length: int, level: int) -> None:
        """Write `record` with `head` and `body` as its block. Raises OSError, also if that is not `length` bytes."""
        record.raw_stream, record.length, record.payload_length = (head, body, length), length, length
        self._write_warc_record(GzipMember(self.out, level), record)

    def ensure_digest(self, record: Any, block: bool = True, payload: bool = True) -> None:
        """Nothing: the sink sets digests that were taken in flight, in hexadecimal."""

    @staticmethod
    def _iter_stream(stream: tuple[bytes, BinaryIO, int]) -> Iterator[bytes]:
        head, body, length = stream
        given = len(head)
        yield head
        while data := body.read(_READ):
            given += len(data)
            yield data
        if given != length:
            raise OSError(f"a body of {length} bytes was {given} bytes when it was written")


def trim_torn_tail(path: Path) -> int:
    """Cut a WARC that a killed process left back to its last whole gzip member; gives the bytes cut off.

    A member is whole when its CRC and size are right. Constant memory. Raises OSError.
    """
    whole = offset = 0
    inflate = zlib.decompressobj(_GZIP)
    with path.open("r+b") as stream:
        try:
            while data := stream.read(_READ):
                while data:
                    inflate.decompress(data, _READ)
                    left = inflate.unconsumed_tail or inflate.unused_data
                    offset += len(data) - len(left)
                    data = left
                    if inflate.eof:
                        whole, inflate = offset, zlib.decompressobj(_GZIP)
        except zlib.error:
            pass  # torn here
        return stream.seek(0, os.SEEK_END) - stream.truncate(whole)
