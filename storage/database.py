"""SQLite files of ours: mode 0600, write-ahead log, every commit synced before it counts."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from storage.locks import locked

BUSY_SECONDS: Final = 60.0


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """A connection in autocommit mode, for one thread at a time; `schema` is created if it is not there.

    Raises sqlite3.Error for a file that is damaged or no database, OSError for one that cannot be made.
    """
    with locked(path.with_suffix(".lock")):  # two who change a new file to WAL at once would fail
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(schema)
        except sqlite3.Error:
            connection.close()
            raise
    return connection
