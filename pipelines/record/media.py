"""Tying a downloaded file to the exchanges that brought it.

`original`   the file is, byte for byte, the content of one record, or of several in order where a
             server answered in ranges
`assembled`  it is the contents of several records (HLS, DASH segments) in order
`assembled`  as well, when they are so once they are decrypted with recorded keys; it is kept itself then
otherwise    nothing recorded accounts for it, and it is kept itself

The claim is about the file on disk, so yt-dlp is not believed: the whole file is read, and each
stretch compared by SHA-256 with what was digested as it arrived.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from pipelines.record.decrypted import decrypted
from pipelines.record.rebuild import content_of, kept
from pipelines.record.spool import open_spooled

_READ: Final = 1 << 18
_WINDOW: Final = 64
"""Answers before and behind the expected one that are tried: segments are fetched by several threads."""
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
    decrypted: str = ""
    """What it is the decryption of, in words; `records` is empty then."""


def tie(path: Path, warc: Path, lines: Sequence[Line], sha256: str = "") -> Tied:
    """Compare `path` with the answers in `lines`, index lines of `warc` in order; `sha256` if known. Raises OSError."""
    answers = [line for line in lines if line.get("status") in _OK and line.get("content_size")]
    with open_spooled(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        sha256 = sha256 or _sha256_of(stream, 0, size)
        used = [line for line in answers if line["content"] == sha256 and not line.get("truncated")][-1:]
        if not used:
            used = _in_order(stream, size, warc, answers)
        segments, keys = decrypted(stream, warc, answers) if not used else ([], [])
    if segments:
        said = f"{len(segments)} recorded answers decrypted with {len(keys)} recorded keys (AES-128)"
        return Tied(sha256, size, (), ranges=False, decrypted=said)
    return Tied(sha256, size, tuple(line["id"] for line in used), bool(used) and _are_ranges(used))


def fill(path: Path, warc: Path, lines: Sequence[Line], kept_bodies: Mapping[str, Path]) -> Tied:
    """Make the file that yt-dlp left hollow at `path`: one record's content, or of several the last that has it.

    `kept_bodies` are bodies by the id of their record: a whole one becomes the file as it is. A file that
    the records do not fill stays hollow, and has none. Raises OSError.
    """
    with open_spooled(path) as stream:
        at = size = os.fstat(stream.fileno()).st_size
    used: list[Line] = []
    for line in reversed([line for line in lines if line.get("status") in _OK and line.get("content_size")]):
        start = line.get("range_start", 0)
        if start < at <= start + line["content_size"] and (used or start + line["content_size"] == size):
            used.insert(0, line)
            at = start
    if at or not size:
        return Tied("", size, (), ranges=False)
    path.unlink()
    body = kept_bodies.get(used[0]["id"])
    if len(used) == 1 and body is not None and used[0]["content"] == used[0]["payload"]:
        body.rename(path)
        return Tied(used[0]["content"], size, (used[0]["id"],), ranges=True)
    for line in lines:  # of no use here: their bytes need not lie on the disk a third time
        if line["id"] in kept_bodies:
            kept_bodies[line["id"]].unlink(missing_ok=True)
    digest = hashlib.sha256()
    with path.open("xb") as out:
        for line, keep in zip(used, kept(used), strict=True):
            for piece in content_of(warc, line, keep):
                digest.update(piece)
                out.write(piece)
    return Tied(digest.hexdigest(), size, tuple(line["id"] for line in used), ranges=True)


def media_type(path: Path) -> str:
    """The type that the file's first bytes show; else application/octet-stream. Raises OSError."""
    with open_spooled(path) as stream:
        start = stream.read(189)
    if start[:1] == start[188:] == b"G":
        return "video/mp2t"
    shown = (kind for at, magic, kind in _MAGIC if start[at:].startswith(magic))
    return next(shown, "application/octet-stream")


def _in_order(stream: BinaryIO, size: int, warc: Path, answers: Sequence[Line]) -> list[Line]:
    """The answers whose contents, one behind the other, are the file; none if they do not fill it.

    They were asked for about in order, so what lies behind the last one that fitted is tried first.
    """
    used: list[Line] = []
    left = list(_pieces(warc, answers))
    at = after = 0
    while at < size:
        near = range(max(after - _WINDOW, 0), min(after + _WINDOW, len(left)))
        order = sorted(near, key=lambda number: (number < after, abs(number - after)))
        found = _first_that_fits(stream, at, size, left, order)
        if found is None:
            return []
        line, length, _ = left.pop(found)
        used.append(line)
        at, after = at + length, found
    return used


def _pieces(warc: Path, answers: Sequence[Line]) -> Iterator[tuple[Line, int, str]]:
    """(line, bytes of its content that count, their SHA-256) of each answer that may be a part of a file."""
    answers = _resumed(answers)
    for line, keep in zip(answers, kept(answers), strict=True):
        if keep is None and not line.get("truncated"):
            yield line, line["content_size"], line["content"]
        elif keep and keep <= line["content_size"]:  # a later answer took up before the cut
            digest = hashlib.sha256()
            for piece in content_of(warc, line, keep):
                digest.update(piece)
            yield line, keep, digest.hexdigest()


def _resumed(answers: Sequence[Line]) -> list[Line]:
    """The answers in order, but one that was cut directly before the one that took up from it."""
    ordered: list[Line] = []
    for line in answers:
        cut = [n for n, one in enumerate(ordered) if one["uri"] == line["uri"] and one.get("truncated")]
        ordered.insert(cut[-1] + 1 if cut and "range_start" in line else len(ordered), line)
    return ordered


def _first_that_fits(
    stream: BinaryIO, at: int, size: int, pieces: Sequence[tuple[Line, int, str]], order: Sequence[int]
) -> int | None:
    """The first number in `order` whose piece stands at `at`; each length there is hashed once."""
    seen: dict[int, str] = {}
    for number in order:
        _, length, content = pieces[number]
        if length <= size - at:
            if length not in seen:
                seen[length] = _sha256_of(stream, at, length)
            if seen[length] == content:
                return number
    return None


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
