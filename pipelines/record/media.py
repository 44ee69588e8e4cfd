"""Tying a downloaded file to the exchanges that brought it.

`original`   the file is, byte for byte, the content of one record, or of several in order where a
             server answered in ranges
`assembled`  it is the contents of several records (HLS, DASH segments) in order
otherwise    nothing recorded accounts for it, and it is kept itself

The claim is about the file on disk, so yt-dlp is not believed. Its file is read once, and each
stretch compared by SHA-256 with what was digested as it arrived. Where one answer of the same size
and the same ends is still at hand, that recorded body itself takes the place of yt-dlp's copy:
then there is nothing to compare.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from pipelines.record.rebuild import content_of, first_bytes, kept
from pipelines.record.spool import open_spooled

_READ: Final = 1 << 18
_END: Final = 1 << 16
_OK: Final = frozenset({200, 206})

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tied:
    """A file's SHA-256 and size, and the records (`<urn:uuid:…>`, in order) it came in; none if it did not."""

    sha256: str
    size: int
    records: tuple[str, ...]
    ranges: bool
    """Whether the records are ranges of one resource, or one record: the file is an original."""


def tie(path: Path, warc: Path, lines: Sequence[Line]) -> Tied:
    """Compare `path` with the answers in `lines`, index lines of `warc` in order. Raises OSError."""
    candidates = [line for line in lines if _carries_media(line)]
    with open_spooled(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        walk = _Walk(stream, size)
        used = [line for line in reversed(candidates) if _is_whole(line, size) and walk.accepts(line)][:1]
        if not used:
            used = [
                line
                for line, keep in zip(candidates, kept(candidates), strict=True)
                if not walk.at_end and _continues(walk, warc, line, keep)
            ]
        records = tuple(line["id"] for line in used) if walk.at_end else ()
        return Tied(walk.finish(), size, records, bool(records) and _are_ranges(used))


def same_ends(one: Path, other: Path) -> bool:
    """Whether two files agree in their sizes and in their first and last 64 KiB. Raises OSError."""
    with open_spooled(one) as first, open_spooled(other) as second:
        size = os.fstat(first.fileno()).st_size
        if size != os.fstat(second.fileno()).st_size:
            return False
        spans = [(0, _END), (max(size - _END, 0), _END)]
        return all(
            os.pread(first.fileno(), length, at) == os.pread(second.fileno(), length, at)
            for at, length in spans
        )


def media_type(path: Path) -> str:
    """The type that the file's first bytes show; else application/octet-stream. Raises OSError."""
    with open_spooled(path) as stream:
        start = stream.read(189)
    if start[4:8] == b"ftyp":
        return "audio/mp4" if start[8:11] == b"M4A" else "video/mp4"
    if start[:1] == b"G" and start[188:189] in {b"G", b""}:
        return "video/mp2t"
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    return "application/octet-stream"


_MAGIC: Final = {
    b"\x1aE\xdf\xa3": "video/webm",
    b"OggS": "video/ogg",
    b"FLV\x01": "video/x-flv",
    b"ID3": "audio/mpeg",
    b"\xff\xf1": "audio/aac",
    b"\xff\xf9": "audio/aac",
    b"\xff\xfb": "audio/mpeg",
    b"\x00\x00\x01\xba": "video/mpeg",
    b"GIF8": "image/gif",
}


def _carries_media(line: Line) -> bool:
    return line["type"] == "response" and line["status"] in _OK and line.get("content_size", 0) > 0


def _is_whole(line: Line, size: int) -> bool:
    return not line.get("truncated") and int(line["content_size"]) == size


def _continues(walk: _Walk, warc: Path, line: Line, keep: int | None) -> bool:
    """Whether the record's content, or its first `keep` bytes where a later answer resumed, comes next."""
    if line.get("truncated") and keep is None:
        return False
    if keep is None or keep == line["content_size"]:
        return walk.accepts(line)
    return 0 < keep < line["content_size"] and walk.accepts_bytes(
        first_bytes(content_of(warc, line), keep), keep
    )


def _are_ranges(used: Sequence[Line]) -> bool:
    """Whether each record takes up where the one before ended: parts of one resource, from its beginning."""
    end = 0
    for line in used:
        start = line.get("range_start", 0)
        if start > end:
            return False
        if line is not used[0] and "range_start" not in line:
            return False
        end = start + line["content_size"]
    return True


class _Walk:
    """Reads a file from front to back, digesting what is accepted and going back where nothing matched."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._size = size
        self._sha256 = hashlib.sha256()
        self.offset = 0

    @property
    def at_end(self) -> bool:
        return self.offset >= self._size

    def accepts(self, line: Line) -> bool:
        """Whether the content of a record comes next, by its digest; if so its bytes are accepted."""
        size = line["content_size"]
        if self.offset + size > self._size:
            return False
        whole = self._sha256.copy()
        stretch = whole if self.offset == 0 else hashlib.sha256()
        self._stream.seek(self.offset)
        left = size
        while left and (data := self._stream.read(min(_READ, left))):
            left -= len(data)
            whole.update(data)
            if stretch is not whole:
                stretch.update(data)
        if left or stretch.hexdigest() != line["content"]:
            return False
        self._accept(size, whole)
        return True

    def accepts_bytes(self, pieces: Iterator[bytes], size: int) -> bool:
        """Whether the next `size` bytes are these; if so they are accepted."""
        if self.offset + size > self._size:
            return False
        whole = self._sha256.copy()
        self._stream.seek(self.offset)
        seen = 0
        for piece in pieces:
            if self._exactly(len(piece)) != piece:
                return False
            whole.update(piece)
            seen += len(piece)
        if seen != size:
            return False
        self._accept(size, whole)
        return True

    def finish(self) -> str:
        """The SHA-256 of the whole file, accepted or not."""
        self._stream.seek(self.offset)
        while data := self._stream.read(_READ):
            self._sha256.update(data)
        return self._sha256.hexdigest()

    def _accept(self, size: int, sha256: Any) -> None:
        self.offset += size
        self._sha256 = sha256

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (more := self._stream.read(size - len(data))):
            data += more
        return data
