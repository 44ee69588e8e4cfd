"""Tying a downloaded file to the exchanges that brought it.

`original`   the file is, byte for byte, the content of one record, or of several in order where a
             server answered in ranges
`assembled`  it is the contents of several records (HLS, DASH segments) in order
otherwise    nothing recorded accounts for it, and it is kept itself

The claim is about the file on disk, so yt-dlp is not believed: the whole file is read, and each
stretch compared by SHA-256 with what was digested as it arrived.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from pipelines.record.rebuild import content_of, kept
from pipelines.record.spool import open_spooled

_READ: Final = 1 << 18
_OK: Final = frozenset({200, 206})
_MAGIC: Final = (
    (4, b"ftypM4A", "audio/mp4"), (4, b"ftyp", "video/mp4"), (0, b"\x1aE\xdf\xa3", "video/webm"),
    (0, b"OggS", "video/ogg"), (0, b"FLV\x01", "video/x-flv"),
    (0, b"ID3", "audio/mpeg"), (0, b"\xff\xfb", "audio/mpeg"), (0, b"\xff\xf1", "audio/aac"),
)  # fmt: skip
"""Where in a file which bytes show its type."""

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tied:
    """A file's SHA-256 and size, and the records (`<urn:uuid:…>`, in order) it came in; none if it did not."""

    sha256: str
    size: int
    records: tuple[str, ...]
    ranges: bool
    """Whether the records are ranges of one resource, or one record: the file is an original."""


def tie(path: Path, warc: Path, lines: Sequence[Line], sha256: str = "") -> Tied:
    """Compare `path` with the answers in `lines`, index lines of `warc` in order; `sha256` if known. Raises OSError."""
    answers = [line for line in lines if line.get("status") in _OK and line.get("content_size")]
    with open_spooled(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        sha256 = sha256 or _sha256_of(stream, 0, size)
        used = [line for line in answers if line["content"] == sha256 and not line.get("truncated")][-1:]
        if not used:
            used = _in_order(stream, size, warc, answers)
    return Tied(sha256, size, tuple(line["id"] for line in used), bool(used) and _are_ranges(used))


def digest_of(path: Path) -> str:
    """SHA-256 of a file that a child wrote. Raises OSError."""
    with open_spooled(path) as stream:
        return _sha256_of(stream, 0, sys.maxsize)


def media_type(path: Path) -> str:
    """The type that the file's first bytes show; else application/octet-stream. Raises OSError."""
    with open_spooled(path) as stream:
        start = stream.read(189)
    if start[:1] == start[188:] == b"G":
        return "video/mp2t"
    shown = (kind for at, magic, kind in _MAGIC if start[at:].startswith(magic))
    return next(shown, "application/octet-stream")


def _in_order(stream: BinaryIO, size: int, warc: Path, answers: Sequence[Line]) -> list[Line]:
    """The answers whose contents, one behind the other, are the file; none if they do not fill it."""
    used, at = [], 0
    for line, keep in zip(answers, kept(answers), strict=True):
        length = line["content_size"] if keep is None else keep
        if (keep is None and line.get("truncated")) or not 0 < length <= min(size - at, line["content_size"]):
            continue
        if length == line["content_size"]:
            content = line["content"]
        else:  # a later answer took up before the cut
            digest = hashlib.sha256()
            for piece in content_of(warc, line, length):
                digest.update(piece)
            content = digest.hexdigest()
        if _sha256_of(stream, at, length) == content:
            used.append(line)
            at += length
    return used if at == size else []


def _are_ranges(used: Sequence[Line]) -> bool:
    """Whether each record takes up where the one before ended: parts of one resource, from its beginning."""
    end = 0
    for line in used:
        start = line.get("range_start", end if line is used[0] else sys.maxsize)
        if start > end:
            return False
        end = start + line["content_size"]
    return True


def _sha256_of(stream: BinaryIO, start: int, length: int) -> str:
    digest = hashlib.sha256()
    stream.seek(start)
    while length and (data := stream.read(min(_READ, length))):
        digest.update(data)
        length -= len(data)
    return digest.hexdigest()
