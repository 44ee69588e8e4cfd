"""The sequencer: gives each entry its index and its `prev` in one transaction of a database.

    entries  (position, entry, type, subject)      every entry's exact bytes
    state    (published, last_segment, frontier)   how many are in the store, the first index of the
                                                   newest segment, the tree's edge when last signed

A Protocol whose sentences are SQL that SQLite and PostgreSQL both know; what they do not share is left
to `SqliteSequencer` (one machine) and `PostgresSequencer` (several). The database may be lost: everything
below `published` lies in the store's segments, and what lies above was never acknowledged. It is trusted
for nothing that is signed (storage/ledger.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from evidence.canonical import utc
from evidence.entry import Entry, chain
from evidence.errors import LedgerFencedError
from evidence.segment import Segment
from evidence.tree import Frontier

_READ_AT_ONCE: Final = 1000


class Draft(NamedTuple):
    """What is to become an entry; index, `prev` and time are given to it when it is its turn."""

    type: str
    subject: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry of the log: its index, its exact bytes, and what they were encoded from."""

    index: int
    entry: bytes
    decoded: Entry


Row: TypeAlias = tuple[int, bytes, str, str]
"""position, entry, type, subject."""


class Sequencer(Protocol):
    """Safe between threads and processes; whatever the database cannot do is a LedgerUnavailableError."""

    def close(self) -> None:
        """Close the database."""
        ...

    def publishing(self) -> AbstractContextManager[None]:
        """Be the one that publishes, among all threads and processes of this log; waits its turn.

        For order, not for safety: two publishers would put the same bytes, or be told of a conflict.
        """
        ...

    def signing(self) -> AbstractContextManager[None]:
        """Be the one that signs; another may publish meanwhile."""
        ...

    def _writing(self) -> AbstractContextManager[None]:
        """One transaction, alone among all threads and processes; undone if it does not come to its end."""
        ...

    def _all(self, query: str, *values: object) -> list[Any]:
        """The first column of what is found; each `?` is a value."""
        ...

    def _insert(self, rows: Sequence[Row]) -> None:
        """Insert entries, within `_writing`."""
        ...

    def sequence(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Make consecutive entries, all or none; they are committed, not yet published.

        Raises EntryError for a draft that is no entry.
        """
        made = []
        with self._writing():
            index = self.size
            prev = chain(self.entry(index - 1))
            for draft in drafts:
                decoded = Entry(index, prev, utc(datetime.now(UTC)), *draft)
                entry = decoded.encode()
                made.append(Appended(index, entry, decoded))
                index, prev = index + 1, chain(entry)
            self._insert([(one.index, one.entry, one.decoded.type, one.decoded.subject) for one in made])
        return made

    def adopt(self, segment: Segment) -> int:
        """Take over what the store holds, up to the size this gives; what is here already must be the same.

        Raises LedgerFencedError at the first entry that differs or does not continue the chain.
        """
        with self._writing():
            first, size = segment.first, segment.first + len(segment.entries)
            ours, before = list(self.entries(first, size)), self.entry(first - 1)
            continues = segment.entries[0].entry.prev == chain(before) and (before is None) == (first == 0)
            for line, known in zip(segment.entries, ours, strict=False):
                continues = line.data == known
                if not continues:
                    first = line.entry.index
                    break
            if not continues:
                raise LedgerFencedError(
                    f"entry {first} in the store is not ours: another writes this log",
                    next="stop the other writer; run `akashi audit`; nothing was renumbered",
                )
            new = segment.entries[len(ours) :]  # chained among themselves and to ours: a Segment is
            self._insert([(e.entry.index, e.data, e.entry.type, e.entry.subject) for e in new])
        return size

    def mark_published(self, size: int, last_segment: int) -> None:
        """Every entry below `size` is in the store; never fewer than were told before."""
        query = "UPDATE state SET published = ?, last_segment = ? WHERE published < ?"
        self._all(query, size, last_segment, size)

    def save_frontier(self, frontier: Frontier) -> None:
        """Keep the tree's edge of which the store has the checkpoint: the next one reads only what is new."""
        self._all("UPDATE state SET frontier = ?", json.dumps(frontier.as_json()))

    @property
    def published(self) -> int:
        """Number of entries that are in the store."""
        return int(self._one("SELECT published FROM state"))

    @property
    def signed(self) -> int:
        """Number of entries in the newest checkpoint that is in the store."""
        return self.frontier().size

    @property
    def last_segment(self) -> int | None:
        """First index of the newest published segment."""
        return cast("int | None", self._one("SELECT last_segment FROM state"))

    @property
    def size(self) -> int:
        """Number of entries, published or not."""
        return int(self._one("SELECT coalesce(max(position) + 1, 0) FROM entries"))

    def frontier(self) -> Frontier:
        """The tree's edge when it was last kept."""
        return Frontier.from_json(json.loads(self._one("SELECT frontier FROM state")))

    def entry(self, index: int) -> bytes | None:
        """The exact bytes of one entry."""
        return cast("bytes | None", self._one("SELECT entry FROM entries WHERE position = ?", index))

    def latest(self, type: str) -> bytes | None:
        """The newest entry of a type, published or not."""
        query = "SELECT entry FROM entries WHERE type = ? ORDER BY position DESC LIMIT 1"
        return cast("bytes | None", self._one(query, type))

    def of_subject(self, subject: str) -> list[bytes]:
        """All entries of a subject in order, published or not."""
        return self._all("SELECT entry FROM entries WHERE subject = ? ORDER BY position", subject)

    def entries(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of entries `start` … `stop - 1`."""
        query = "SELECT entry FROM entries WHERE position >= ? AND position < ? ORDER BY position"
        for first in range(start, stop, _READ_AT_ONCE):
            yield from self._all(query, first, min(first + _READ_AT_ONCE, stop))

    def _one(self, query: str, *values: object) -> Any:
        rows = self._all(query, *values)
        return rows[0] if rows else None
