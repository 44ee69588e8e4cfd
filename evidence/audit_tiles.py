"""In step 3 of the audit: every tile and entry bundle is what the entries give (c2sp.org/tlog-tiles).

As entries pass, 256 leaf hashes make a tile of level 0 and 256 entries a bundle; the roots over tiles
are the hashes of the level above. What the store holds under that number, whole or as the prefix that
an earlier checkpoint had, is compared byte by byte. Higher levels need no more than 256 hashes each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from evidence.audit_report import AuditReport, Finding, Means, ObjectSource, fetch
from evidence.audit_segments import Stretch
from evidence.canonical import first_difference
from evidence.entry import MAX_ENTRY
from evidence.tiles import HEIGHT, PREFIX, WIDTH, Place, encode_bundle, parse_path, places
from evidence.tree import HASH_BYTES, root_of

TILES: Final = f"{PREFIX}tile/"
_BUNDLES: Final = 63
"""Stands for a bundle's level: no tree has 63."""
_MAX_BUNDLE: Final = WIDTH * (MAX_ENTRY + 2)


class _Level:
    """The tiles of one level, or the bundles: those that lie there, in order, and the hashes or entries to come."""

    def __init__(self, there: Iterator[tuple[str, Sequence[str], bytes]]) -> None:
        self.number = 0
        self.items: list[bytes | None] = []
        self._there = there
        self._next = next(there, None)

    def those(self) -> Iterator[tuple[Place, str, Sequence[str], bytes]]:
        """What lies there under the number that is due."""
        while self._next is not None:
            key, versions, data = self._next
            place = parse_path(key.removeprefix(PREFIX))
            if place is None or place.number > self.number:
                return
            yield place, key, versions, data
            self._next = next(self._there, None)


class TileAudit:
    """The audit of everything under `ledger/tile/`; findings go to the report.

    To be made after checkpoints were read and before segments are listed: tiles are put between the two.
    """

    def __init__(self, source: ObjectSource, report: AuditReport, means: Means) -> None:
        self._source, self._report, self._means = source, report, means
        self._size = self._unjudged = 0
        packed = array("Q")
        for head in source.list(TILES):
            place = parse_path(head.key.removeprefix(PREFIX))
            if place and place.level != _BUNDLES and not place.number >> 48:  # as `_pack` can hold
                packed.append(_pack(place))
            else:
                report.findings.append(Finding(head.key, "tile-extra", "no tile or bundle has such a key"))
        self._listed = array("Q", sorted(packed))
        self._levels: dict[int, _Level] = {}

    def follow(self, stretch: Stretch) -> None:
        """Go on to the next entries. Raises what the source raises."""
        self._size = stretch.end
        at, end = 0, len(stretch.leaves) if self._listed else 0
        while at < end:
            until = at + WIDTH - len(self._level(0).items)
            self._add(_BUNDLES, stretch.lines[at:until])
            self._add(0, stretch.leaves[at:until])
            at = until

    def close(self, newest: int) -> None:
        """After the last entry; `newest` is the size of the newest checkpoint, for which tiles were put."""
        if not self._listed:
            self._report.notes.append(
                "there are no tiles: strangers' tools find none, and nothing else needs them"
            )
            return
        for number, level in sorted(self._levels.items()):
            self._compare(number, level)
        for place in map(_unpack, self._listed):
            if place.number * WIDTH + place.width > self._size >> HEIGHT * (place.level or 0):
                self._find("tile-extra", place, f"the log has {self._size} entries, and not this")
        for place in places(newest):
            if not (self._lies(place) or self._lies(place._replace(width=WIDTH))):
                self._find("tile-missing", place, f"the checkpoint of {newest} entries needs it")
        if self._unjudged:
            self._report.notes.append(
                f"{self._unjudged} tiles cannot be judged: entries under them are damaged"
            )

    def _level(self, number: int) -> _Level:
        if number not in self._levels:
            begin, end = (bisect_left(self._listed, level << 56) for level in (number, number + 1))
            keys = (PREFIX + _unpack(packed).path for packed in self._listed[begin:end])
            limit = _MAX_BUNDLE if number == _BUNDLES else WIDTH * HASH_BYTES
            there = self._means.fetch(partial(fetch, self._source), ((key, limit) for key in keys))
            self._levels[number] = _Level(there)
        return self._levels[number]

    def _add(self, number: int, items: Sequence[bytes | None]) -> None:
        level = self._level(number)
        level.items += items
        if len(level.items) < WIDTH:
            return
        self._compare(number, level)
        if number != _BUNDLES:
            hashes = _known(level.items)
            self._add(number + 1, [root_of(hashes) if hashes else None])
        level.number, level.items = level.number + 1, []

    def _compare(self, number: int, level: _Level) -> None:
        for place, key, versions, data in level.those():
            if place.width > len(level.items):  # extra: said at the end
                continue
            self._report.counts["tiles"] += 1
            self._report.counts["bytes"] += len(data)
            self._report.written_once(key, versions)
            items = _known(level.items[: place.width])
            if items is None:
                self._unjudged += 1
                continue
            offset = first_difference(data, encode_bundle(items) if number == _BUNDLES else b"".join(items))
            if offset is not None and number == _BUNDLES:
                self._find("bundle-changed", place, "not what the entries give", offset)
            elif offset is not None:
                offset -= offset % HASH_BYTES
                self._find("tile-changed", place, "not what the entries give", offset, HASH_BYTES)

    def _lies(self, place: Place) -> bool:
        at = bisect_left(self._listed, packed := _pack(place))
        return at < len(self._listed) and self._listed[at] == packed

    def _find(
        self, rule: str, place: Place, detail: str, offset: int | None = None, length: int | None = None
    ) -> None:
        self._report.findings.append(Finding(PREFIX + place.path, rule, detail, offset, length))


def _known(items: Sequence[bytes | None]) -> list[bytes] | None:
    known = [item for item in items if item is not None]
    return known if len(known) == len(items) else None


def _pack(place: Place) -> int:
    """In 8 bytes, sorted by level, number and width, a whole one first."""
    return (_BUNDLES if place.level is None else place.level) << 56 | place.number << 8 | place.width % WIDTH


def _unpack(packed: int) -> Place:
    level = packed >> 56
    return Place(None if level == _BUNDLES else level, packed >> 8 & (1 << 48) - 1, packed % WIDTH or WIDTH)
