"""Where in a damaged WARC the damage lies: as the byte range of one record.

`damaged_range` is for a file whose reading stopped inside a gzip member, so that its end is not
known: it ends where the next run of sound records begins. `suspects` is for a file whose digest
is wrong though every record is sound: then a bit changed that has no meaning (the padding in
deflate data), and compressing a record again, as the recorder does, shows which.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, TypeAlias

from evidence.errors import WarcError
from evidence.warc_check import RecordSpan, read_warc

OpenAt: TypeAlias = Callable[[int, int | None], BinaryIO]
"""Opens the file at an offset, for a length or (None) to its end."""

_CHUNK: Final = 1 << 20
_START: Final = re.compile(rb"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00[\xff\x03\x07\x13]")
_START_BYTES: Final = 10
_STORED: Final = b"\xff"
_LEVEL: Final = 6
_MAX_AGAIN: Final = 64 << 20
"""Bytes of the largest record that is compressed again in memory."""


def damaged_range(open_at: OpenAt, start: int, size: int) -> tuple[int, int]:
    """(offset, length) of the damage that begins with the record at `start`, in a file of `size` bytes.

    It ends where sound records begin that run to the end of the file: a WARC recorded inside this
    one does not, so the range always covers the damage. It also covers further damage behind.
    """
    passed: set[int] = set()
    for offset in _candidates(open_at, start + 1):
        if offset in passed:  # on a run that is known to break off later
            continue
        sound, whole = _sound_run(open_at, offset)
        if whole:
            return start, offset - start
        passed |= sound
    return start, size - start


def suspects(open_at: OpenAt) -> list[RecordSpan]:
    """Records whose deflate data the recorder's own compression would not have given.

    Empty when nothing can be told: none differs, or most do (another zlib wrote the file).
    """
    compared = 0
    different = []
    for span in read_warc(open_at(0, None)):
        if span.length > _MAX_AGAIN:
            continue
        with open_at(span.offset, span.length) as stream:
            member = stream.read(span.length)
        if member[_START_BYTES - 1 : _START_BYTES] == _STORED:
            continue
        compared += 1
        again = zlib.compressobj(_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        if again.compress(zlib.decompress(member, zlib.MAX_WBITS | 16)) + again.flush() != member:
            different.append(span)
    return different if len(different) * 2 <= compared else []


def _candidates(open_at: OpenAt, start: int) -> Iterator[int]:
    """Offsets from `start` on at which a gzip member may begin."""
    offset, held = start, b""
    with open_at(start, None) as stream:
        while data := stream.read(_CHUNK):
            held += data
            for match in _START.finditer(held):
                yield offset + match.start()
            offset += max(0, len(held) - _START_BYTES + 1)
            held = held[-_START_BYTES + 1 :]


def _sound_run(open_at: OpenAt, offset: int) -> tuple[set[int], bool]:
    """Offsets of the sound records that follow one another from `offset`, and whether to the end."""
    sound: set[int] = set()
    with open_at(offset, None) as stream:
        try:
            sound.update(span.offset for span in read_warc(stream, offset))
        except WarcError:
            return sound, False
    return sound, True
