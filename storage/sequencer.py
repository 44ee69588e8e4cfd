"""The sequencer: gives each entry its index and its `prev` in one SQLite transaction.

    entries  (position, entry, type, subject)      every entry's exact bytes
    state    (published, last_segment, frontier)   how many are in the store, the first index of the
                                                   newest segment, the tree's edge when last signed

The file may be lost: everything below `published` lies in the store's segments, and what lies above
was never acknowledged. It is trusted for nothing that is signed (storage/ledger.py).
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from evidence.canonical import utc
from evidence.entry import Entry, chain
from evidence.errors import LedgerFencedError, LedgerUnavailableError
from evidence.segment import Segment
from evidence.tree import Frontier
from storage.files import locked, open_database

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    position INTEGER PRIMARY KEY, entry BLOB NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_subject ON entries (subject, position);
CREATE INDEX IF NOT EXISTS entries_by_type ON entries (type, position);
CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    published INTEGER NOT NULL, last_segment INTEGER, frontier TEXT NOT NULL
);
INSERT OR IGNORE INTO state VALUES (1, 0, NULL, '{"hashes":[],"size":0}');
"""
_READ_AT_ONCE: Final = 1000


class Draft(NamedTuple):
    """What is to become an entry; index, `prev` and time are given to it when it is its turn."""

    type: str
    subject: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry of the log: its index, and its exact bytes."""

    index: int
    entry: bytes


class Sequencer:
    """Safe between threads and processes: a file lock queues those who append, SQLite makes it whole.

    Whatever SQLite cannot do is raised as LedgerUnavailableError.
    """

    def __init__(self, path: Path) -> None:
        self._lock = path.with_suffix(".sequence")
        self._thread = threading.RLock()
        try:
            self._db = open_database(path, _SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise LedgerUnavailableError(
                f"{path} cannot be opened: {error}",
                next="move it and its -wal and -shm away: it is rebuilt from the store",
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._thread:
            self._db.close()

    def sequence(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Make consecutive entries, all or none; they are committed to disk, not yet published.

        Raises EntryError for a draft that is no entry.
        """
        made = []
        with self._writing():
            index = self.size
            prev = chain(self.entry(index - 1))
            for draft in drafts:
                entry = Entry(index, prev, utc(datetime.now(UTC)), *draft).encode()
                self._insert(index, entry, draft.type, draft.subject)
                made.append(Appended(index, entry))
                index, prev = index + 1, chain(entry)
        return made

    def adopt(self, segment: Segment) -> int:
        """Take over what the store holds, up to the size this gives; what is here already must be the same.

        Raises LedgerFencedError at the first entry that differs or does not continue the chain.
        """
        with self._writing():
            for line in segment.entries:
                entry = line.entry
                known, before = self.entry(entry.index), self.entry(entry.index - 1)
                if known == line.data:
                    continue
                if known is not None or entry.prev != chain(before) or (before is None) != (entry.index == 0):
                    raise LedgerFencedError(
                        f"entry {entry.index} in the store is not ours: another writes this log",
                        next="stop the other writer; run `akashi audit`; nothing was renumbered",
                    )
                self._insert(entry.index, line.data, entry.type, entry.subject)
        return segment.first + len(segment.entries)

    def mark_published(self, size: int, last_segment: int) -> None:
        """Every entry below `size` is in the store."""
        self._all("UPDATE state SET published = ?, last_segment = ?", size, last_segment)

    def save_frontier(self, frontier: Frontier) -> None:
        """Keep the tree's edge, so that the next checkpoint reads only what is new."""
        self._all("UPDATE state SET frontier = ?", json.dumps(frontier.as_json()))

    @property
    def published(self) -> int:
        """Number of entries that are in the store."""
        return int(self._one("SELECT published FROM state"))

    @property
    def last_segment(self) -> int | None:
        """First index of the newest published segment."""
        return cast("int | None", self._one("SELECT last_segment FROM state"))

    @property
    def size(self) -> int:
        """Number of entries, published or not."""
        return int(self._one("SELECT ifnull(max(position) + 1, 0) FROM entries"))

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

    def _insert(self, index: int, entry: bytes, type: str, subject: str) -> None:
        self._all("INSERT INTO entries VALUES (?, ?, ?, ?)", index, entry, type, subject)

    def _one(self, query: str, *values: object) -> Any:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    def _all(self, query: str, *values: object) -> list[Any]:
        """The first column of what is found."""
        with self._thread, _told():
            return [row[0] for row in self._db.execute(query, values)]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, alone among all threads and processes; undone if it does not come to its end."""
        with self._thread, locked(self._lock), _told():
            self._db.execute("BEGIN IMMEDIATE")
            with self._db:  # commits, or rolls back
                yield


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LedgerUnavailableError(
            f"the ledger's database failed: {error}", next="make room on the disk; run `akashi doctor`"
        ) from error
