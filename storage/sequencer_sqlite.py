"""The sequencer of one machine: one SQLite file, and locks that are files beside it.

<home>/ledger.sqlite      the database
<home>/ledger.sequence    flock: who writes into it
<home>/ledger.publish     flock: who publishes
<home>/ledger.sign        flock: who signs
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from evidence.errors import LedgerUnavailableError
from storage.files import locked, open_database
from storage.sequencer import Row, Sequencer

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


class SqliteSequencer(Sequencer):
    """See Sequencer: a file lock queues those who append, SQLite makes it whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = threading.RLock()
        try:
            self._db = open_database(path, _SCHEMA)
            # A power cut may take the newest commits, whole and in order: what was acknowledged is in the store.
            self._db.execute("PRAGMA synchronous = NORMAL")
        except (sqlite3.Error, OSError) as error:
            raise LedgerUnavailableError(
                f"{path} cannot be opened: {error}",
                next="move it and its -wal and -shm away: it is rebuilt from the store",
            ) from error

    def close(self) -> None:
        """Close the file."""
        with self._thread:
            self._db.close()

    def publishing(self) -> AbstractContextManager[None]:
        """See Sequencer.publishing."""
        return locked(self._path.with_suffix(".publish"))

    def signing(self) -> AbstractContextManager[None]:
        """See Sequencer.signing."""
        return locked(self._path.with_suffix(".sign"))

    def _insert(self, rows: Sequence[Row]) -> None:
        self._db.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._thread, _told():
            return [row[0] for row in self._db.execute(query, values)]

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._thread, locked(self._path.with_suffix(".sequence")), _told():
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
