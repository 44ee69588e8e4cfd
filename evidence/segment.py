r"""A segment: one write-once object with 1 to 256 entries. Its creation commits them and fences rivals.

    {"count":2,"first":7,"prev":"<64 hex: leaf hash of entry 6>","v":1}\n
    {"body":{…},"index":7,"prev":"<the same 64 hex>",…}\n
    {"body":{…},"index":8,"prev":"<leaf hash of entry 7>",…}\n

Key: `ledger/segments/000000000007`. Every line is canonical JSON, so that no line holds a newline,
and ends in exactly one; nothing follows the last. The header's `prev` equals the first entry's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from evidence.canonical import canonical, parse
from evidence.entry import Entry, chain
from evidence.errors import CheckFailedError, SegmentError
from evidence.shape import Count, Sha256, require

PREFIX: Final = "ledger/segments/"
MAX_ENTRIES: Final = 256
"""Entries in one segment, as many as an entry bundle of tlog-tiles has: bounds a reader's memory."""

_NONE_KNOWN: Final[Mapping[bytes, Entry]] = MappingProxyType({})
_HEADER: Final = {"count": Count, "first": Count, "prev": Sha256, "v": int}


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it lies in the object: `length` counts its newline, which `data` does not hold."""

    data: bytes
    offset: int
    length: int

    @property
    def torn(self) -> bool:
        """Whether the newline is missing."""
        return self.length == len(self.data)


@dataclass(frozen=True, slots=True)
class SegmentEntry(Line):
    """One entry of a segment, decoded, with its exact bytes and where they lie."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that keeps every rule within itself."""

    first: int
    entries: tuple[SegmentEntry, ...]


def segment_key(first: int) -> str:
    """The object's key: the first entry's index in 12 digits."""
    return f"{PREFIX}{first:012d}"


def encode_segment(entries: Sequence[bytes], known: Mapping[bytes, Entry] = _NONE_KNOWN) -> bytes:
    """The segment of consecutive entries' bytes. Raises SegmentError for what must not be published.

    `known` are bytes that the caller itself has encoded, with what they were encoded from: of these only the
    place in the chain is checked, all others are decoded. What `parse_segment` would refuse is never made.
    """
    if not 0 < len(entries) <= MAX_ENTRIES:
        raise SegmentError(f"{len(entries)} entries are not 1 to {MAX_ENTRIES}", rule="segment-count")
    lines = [Line(data, 0, len(data) + 1) for data in entries]
    decoded = [known.get(line.data) or parse_line(line) for line in lines]
    first, prev = decoded[0].index, decoded[0].prev
    for index, (line, entry) in enumerate(zip(lines, decoded, strict=True), start=first):
        prev = _follow(line, entry, index, prev)
    header = {"count": len(entries), "first": first, "prev": decoded[0].prev, "v": 1}
    return b"".join(line + b"\n" for line in (canonical(header), *entries))


def parse_segment(data: bytes) -> Segment:
    """The segment of exactly these bytes. Raises SegmentError at the first rule that breaks.

    Its `offset` and `length` are those of the line concerned, its `rule` one of `segment-newline`,
    `segment-header`, `segment-count`, `segment-entry`, `segment-index`, `segment-chain`.
    """
    head, *rest = lines = list(split_lines(data))
    if lines[-1].torn:
        raise _broken(lines[-1], "segment-newline", "the last line does not end in a newline")
    header = parse_header(head)
    if header["count"] != len(rest):
        raise _broken(head, "segment-count", f"{header['count']} entries announced, {len(rest)} present")
    entries: list[SegmentEntry] = []
    prev = header["prev"]
    for index, line in enumerate(rest, start=header["first"]):
        entry = parse_line(line)
        prev = _follow(line, entry, index, prev)
        entries.append(SegmentEntry(line.data, line.offset, line.length, entry))
    return Segment(header["first"], tuple(entries))


def _follow(line: Line, entry: Entry, index: int, prev: str) -> str:
    """The `prev` of the next entry, if this one has its place in the chain."""
    if entry.index != index:
        raise _broken(line, "segment-index", f"entry {entry.index} where {index} belongs")
    if entry.prev != prev:
        raise _broken(line, "segment-chain", f"`prev` of entry {index} is not the hash of the one before")
    return chain(line.data)


def split_lines(data: bytes) -> Iterator[Line]:
    """The lines of a segment, header first; a torn end, or no bytes at all, is a last line that is torn."""
    offset = 0
    *lines, torn = data.split(b"\n")
    for line in lines:
        yield Line(line, offset, len(line) + 1)
        offset += len(line) + 1
    if torn or not data:
        yield Line(torn, offset, len(torn))


def parse_header(line: Line) -> dict[str, Any]:
    """A segment's first line: `count`, `first`, `prev`, `v`. Raises SegmentError (rule `segment-header`)."""
    try:
        header: Any = parse(line.data)
        require(header, _HEADER, SegmentError, rule="segment-header")
    except CheckFailedError as error:
        raise _broken(line, "segment-header", str(error)) from error
    if header["v"] != 1:
        raise _broken(line, "segment-header", f"version {header['v']} is not known")
    if not 0 < header["count"] <= MAX_ENTRIES:
        raise _broken(line, "segment-count", f"{header['count']} entries are not 1 to {MAX_ENTRIES}")
    return dict(header)


def parse_line(line: Line) -> Entry:
    """The entry of a line. Raises SegmentError (rule `segment-newline`, `segment-entry`)."""
    if line.torn:
        raise _broken(line, "segment-newline", "the line does not end in a newline")
    try:
        return Entry.decode(line.data)
    except CheckFailedError as error:
        raise _broken(line, "segment-entry", f"{error.rule}: {error.detail}") from error


def _broken(line: Line, rule: str, detail: str) -> SegmentError:
    return SegmentError(detail, rule=rule, offset=line.offset, length=line.length)
