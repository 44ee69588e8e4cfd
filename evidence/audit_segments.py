"""Steps 2 and 3 of the audit as a stream: the log, stretch by stretch, in bounded memory.

    ledger/segments/…000   256 entries   fits what went before   →  a stretch, given out when the next fits it
    ledger/segments/…256   256 entries   fits                    →  a stretch
    ledger/segments/…512   a line was changed                    ┐
    ledger/segments/…768   256 entries   does not fit            ├  one stretch, diagnosed: evidence/audit_chain.py
    ledger/segments/…1024  256 entries   fits the one before     ┘  vouches for it, and starts anew

A segment fits when it keeps every rule of its format (`parse_segment`), lies under its first entry's key
and goes on, index and hash, where the one before ended. A log of up to WINDOW bytes is diagnosed whole;
of a larger one, as much as lies between sound segments, in parts of WINDOW bytes: what vouches for the
last line of a part is then not known, and what contradicts it is found at the next segment's header.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final

from evidence.audit_chain import Above, Chain, Slot, judge, reconstruct
from evidence.audit_reading import Reading, Told, read_segment, tell
from evidence.audit_report import AuditReport, Finding, Means, ObjectSource, fetch
from evidence.canonical import canonical
from evidence.entry import MAX_ENTRY, NO_PREVIOUS, Entry
from evidence.errors import SegmentError
from evidence.segment import MAX_ENTRIES, PREFIX, parse_header, parse_line, segment_key, split_lines
from evidence.tree import HASH_BYTES, Frontier, leaf_hash

SEGMENT_KEY: Final = re.compile(re.escape(PREFIX) + r"(\d{12})", re.ASCII)
WINDOW: Final = 16 << 20
"""Bytes of segments that are held, and diagnosed together, at most; one segment more may be."""
MAX_LOST: Final = 1 << 24
"""Entries that may be missing and are told one by one; what claims to lie further off is named as a whole."""
_MAX_SEGMENT: Final = (MAX_ENTRIES + 1) * (MAX_ENTRY + 1)


@dataclass(slots=True)
class Stretch:
    """The entries from index `base` on; where a line or a leaf hash was lost there is None."""

    base: int
    leaves: Sequence[bytes | None]
    lines: Sequence[bytes | None]
    told: Sequence[Told]
    place: Callable[[int], Slot]
    """The line of an entry that is there."""
    findings: Sequence[Finding] = ()
    damaged: Sequence[range] = ()

    @property
    def end(self) -> int:
        """The index behind the last."""
        return self.base + len(self.leaves)


@dataclass(slots=True)
class _Segment:
    first: int
    data: bytes
    reading: Reading | None

    def fits(self, expected: tuple[int, str | None] | None) -> bool:
        if self.reading is None or expected is None:
            return False
        return self.first == expected[0] and expected[1] in {None, self.reading[1]}

    def place(self, index: int) -> Slot:
        """The line of an entry that is there."""
        lines = self.data.split(b"\n")
        number = index - self.first + 1
        line, offset = lines[number], sum(len(line) + 1 for line in lines[:number])
        leaf = leaf_hash(line).hex()
        return Slot(segment_key(self.first), offset, len(line) + 1, index, leaf, Entry.decode(line))

    @property
    def leaves(self) -> list[bytes]:
        hashes = self.reading[3] if self.reading else b""
        return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]

    @property
    def end(self) -> tuple[int, str] | None:
        """Index and `prev` of what follows, None where that cannot be said."""
        return (self.first + len(self.reading[3]) // HASH_BYTES, self.reading[2]) if self.reading else None


@dataclass(slots=True)
class _Past:
    """What was given out already: up to which index, `prev` of what follows and the tree, None if not known."""

    index: int
    prev: str | None
    tree: Frontier | None

    def copy(self) -> _Past:
        return _Past(self.index, self.prev, self.tree.copy() if self.tree else None)

    def follow(
        self, leaves: Sequence[bytes | None], wanted: Mapping[int, bytes], roots: dict[int, bytes]
    ) -> None:
        """Go on by these leaves, and enter roots at the sizes that are wanted."""
        for leaf in leaves:
            if self.tree is not None and leaf is not None:
                self.tree.push(leaf)
                if self.tree.size in wanted:
                    roots[self.tree.size] = self.tree.root()
            else:
                self.tree = None
        self.index += len(leaves)
        if leaves:
            self.prev = leaves[-1].hex() if leaves[-1] is not None else None


class Segments:
    """All segments, as they are listed when this is made; to be gone through as often as need be."""

    def __init__(self, source: ObjectSource, means: Means, key: bytes) -> None:
        self._source, self._means, self._key = source, means, key
        firsts, bytes_ = array("Q"), 0
        for head in source.list(PREFIX):
            if matched := SEGMENT_KEY.fullmatch(head.key):
                firsts.append(int(matched[1]))
                bytes_ += head.size
        self.horizon = MAX_ENTRIES * len(firsts) + MAX_LOST
        """No entry of a log with so many segments has this index."""
        self._firsts = firsts[: bisect_left(firsts, self.horizon)]
        self.far = [segment_key(first) for first in firsts[len(self._firsts) :]]
        """Segments beyond the horizon, which are not read."""
        self._small = bytes_ <= WINDOW
        self._kept: list[Stretch] = []
        self.trusted: Mapping[int, bytes] = {}
        """Roots by size."""
        self.roots: dict[int, bytes] = {}
        """What the entries give at these sizes, as far as the last passing met every leaf hash."""

    def opened(self) -> tuple[Slot, Entry] | None:
        """The line that opened the log, as it stands there: whether it was changed is not said."""
        for first, data in self._read(self._firsts[:1], AuditReport()):
            for slot in _slots(first, data):
                if slot.entry and slot.entry.type == "log.opened":
                    return slot, slot.entry
        return None

    def about_keys(self) -> Iterator[Entry]:
        """The entries about keys, as they stand there: whether one was changed is not said. Reads all."""
        for first, data in self._read(self._firsts, AuditReport()):
            for slot in _slots(first, data) if b'"type":"key.' in data else ():
                if slot.entry and slot.entry.type.startswith("key."):
                    yield slot.entry

    def stretches(self, report: AuditReport, since: int = 0) -> Iterator[Stretch]:
        """The log from its beginning, or from the segment with entry `since` on, which is taken to fit.

        Counts, and versions that should not be, go to the report. A small log is read once, and kept.
        """
        if not self._small:
            return self._passing(report, since)
        self._kept = self._kept or list(self._passing(report, 0))
        return iter(self._kept)

    def _passing(self, report: AuditReport, since: int) -> Iterator[Stretch]:
        begin = max(0, bisect_right(self._firsts, since) - 1) if since else 0
        past = _Past(self._firsts[begin], None, None) if begin else _Past(0, NO_PREVIOUS, Frontier())
        self.roots = {0: Frontier().root()}
        held: list[_Segment] = []
        sound = True
        for segment in self._segments(begin, report):
            follows = segment.fits(held[-1].end if held else (past.index, past.prev))
            if held and not self._small:
                if follows and sound:
                    yield self._sound(held.pop(), past)
                elif follows and segment.reading:
                    yield self._diagnosed(held, past, {}, (segment.first, segment.reading[1]))
                    held, sound = [], True
                elif not sound and sum(len(one.data) for one in held) > WINDOW:
                    yield self._diagnosed(held, past, {}, (segment.first, ""))
                    held = []
            sound = sound and follows
            held.append(segment)
        if sound and self._ends_as_trusted(held, past):
            for segment in held:
                yield self._sound(segment, past)
        else:
            yield self._diagnosed(held, past, self.trusted, None)

    def _segments(self, begin: int, report: AuditReport) -> Iterator[_Segment]:
        under_way = deque[tuple[int, bytes]]()

        def jobs() -> Iterator[tuple[int, bytes]]:
            for job in self._read(self._firsts[begin:], report):
                under_way.append(job)
                yield job

        for reading in self._means.compute(partial(read_segment, self._key), jobs()):
            yield _Segment(*under_way.popleft(), reading)

    def _read(self, firsts: Iterable[int], report: AuditReport) -> Iterator[tuple[int, bytes]]:
        keys = ((segment_key(first), _MAX_SEGMENT) for first in firsts)
        for key, versions, data in self._means.fetch(partial(fetch, self._source), keys):
            report.counts["segments"] += 1
            report.counts["bytes"] += len(data)
            report.written_once(key, versions)
            yield int(key.removeprefix(PREFIX)), data

    def _ends_as_trusted(self, held: Sequence[_Segment], past: _Past) -> bool:
        """Whether the segments at the log's end, which fit, reach every trusted size, and with its root."""
        end = past.copy()
        roots = dict[int, bytes]()
        for segment in held:
            end.follow(segment.leaves, self.trusted, roots)
        return end.index >= max(self.trusted, default=0) and all(
            root == self.trusted[size] for size, root in roots.items()
        )

    def _sound(self, segment: _Segment, past: _Past) -> Stretch:
        past.follow(segment.leaves, self.trusted, self.roots)
        told = [Told(*one) for one in segment.reading[4]] if segment.reading else []
        lines = segment.data.split(b"\n")[1:-1]
        return Stretch(segment.first, segment.leaves, lines, told, segment.place)

    def _diagnosed(
        self, held: Sequence[_Segment], past: _Past, trusted: Mapping[int, bytes], above: Above | None
    ) -> Stretch:
        data = {segment_key(segment.first): segment.data for segment in held}
        slots = [slot for segment in held for slot in _slots(segment.first, segment.data)]
        headers = {key: header for key, whole in data.items() if (header := _header(whole))}
        chain = reconstruct(slots, trusted, past.tree, past.index, above)
        extents = {key: range(said["first"], said["first"] + said["count"]) for key, said in headers.items()}
        findings = list(judge(slots, chain, extents, partial(self._stands, set(data))))
        explained = {finding.object for finding in findings}
        prevs = chain.leaves | ({past.index - 1: past.prev} if past.prev else {})
        for key, said in headers.items():
            if key not in explained:
                before = int(key.removeprefix(PREFIX)) - 1
                findings += _against_header(key, data[key], prevs.get(before, said["prev"]))
        indices = range(chain.base, chain.size)
        leaves = [bytes.fromhex(chain.leaves[i]) if i in chain.leaves else None for i in indices]
        lines = [data[at.object][at.offset : at.end] if (at := chain.slots.get(i)) else None for i in indices]
        told = [
            tell(slot.entry, data[slot.object][slot.offset : slot.end], self._key)
            for _, slot in sorted(chain.slots.items())
            if slot.entry
        ]
        past.follow(leaves, self.trusted, self.roots)
        damaged = _gaps(chain)
        return Stretch(chain.base, leaves, lines, told, chain.slots.__getitem__, findings, damaged)

    def _stands(self, held: Container[str], entry: Entry, leaf: str) -> bool:
        """Whether an entry stands in a segment that keeps its rules and is not among those held."""
        number = bisect_right(self._firsts, entry.index) - 1
        if number < 0 or segment_key(first := self._firsts[number]) in held:
            return False
        for job in self._read([first], AuditReport()):
            segment = _Segment(*job, read_segment(self._key, job))
            place = entry.index - first
            return segment.leaves[place : place + 1] == [bytes.fromhex(leaf)]
        return False


def _slots(first: int, data: bytes) -> list[Slot]:
    """A segment's lines; its header only if it cannot be read."""
    header, *lines = split_lines(data)
    key, slots = segment_key(first), []
    try:
        parse_header(header)
    except SegmentError as error:
        slots.append(Slot(key, 0, header.length, first, "", None, error.detail))
    for position, line in enumerate(lines, start=first):
        try:
            entry, problem = parse_line(line), ""
        except SegmentError as error:
            entry, problem = None, error.detail
        leaf = leaf_hash(line.data).hex()
        slots.append(Slot(key, line.offset, line.length, position, leaf, entry, problem))
    return slots


def _header(data: bytes) -> Mapping[str, Any] | None:
    try:
        return parse_header(next(split_lines(data)))
    except SegmentError:  # then it is a slot, and judged
        return None


def _against_header(key: str, data: bytes, prev: str) -> Iterator[Finding]:
    """A header that contradicts its key, its lines, or the entry before."""
    header, *lines = split_lines(data)
    said = {"count": len(lines), "first": int(key.removeprefix(PREFIX)), "prev": prev, "v": 1}
    if header.data != canonical(said):
        detail = "contradicts the object's key, its lines, or the entry before"
        yield Finding(key, "segment-header", detail, header.offset, header.length)


def _gaps(chain: Chain) -> list[range]:
    """Indices without a sound line."""
    edges = [chain.base - 1, *sorted(chain.slots), chain.size]
    return [range(a + 1, b) for a, b in pairwise(edges) if a + 1 < b]
