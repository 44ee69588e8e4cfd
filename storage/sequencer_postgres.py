"""The sequencer of several machines: one PostgreSQL database, which also keeps their order.

    pg_advisory_xact_lock    who sequences: until that transaction is committed, so until all others see it
    pg_advisory_lock         who publishes, who signs: a session of its own each time, so that threads exclude
                             one another too, and a holder that dies, or is cut off, gives it up

The tables are those of storage/sequencer.py, in the first schema of the search path. The settings below
hold whatever the server's defaults are. A replica that takes over must have everything that was committed
(`synchronous_standby_names`), else what it forgot is sequenced again and fenced by the store.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from evidence.errors import LedgerUnavailableError, UsageError
from storage.sequencer import Row, Sequencer

# The subject's index is a hash: a B-tree cannot hold the longest.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    position BIGINT PRIMARY KEY, entry BYTEA NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS entries_by_subject ON entries USING hash (subject);
CREATE INDEX IF NOT EXISTS entries_by_type ON entries (type, position);
CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    published BIGINT NOT NULL, last_segment BIGINT, frontier TEXT NOT NULL
);
INSERT INTO state VALUES (1, 0, NULL, '{"hashes":[],"size":0}') ON CONFLICT DO NOTHING;
"""
_SESSION: Final = """
SET synchronous_commit = on; SET default_transaction_isolation = 'read committed'; SET client_encoding = 'UTF8';
SET idle_in_transaction_session_timeout = '60s';
SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
"""
_OURS: Final = conninfo_to_dict(
    "connect_timeout=10 keepalives_idle=30 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=60000"
)
"""The same on our side (libpq): else a server that vanished is waited for as long as the kernel pleases, hours."""
_LOCKS: Final = 0x616B6173  # "akas": these locks, in a database that others may lock in too
_SEQUENCE, _PUBLISH, _SIGN = 1, 2, 3
_NEXT: Final = "check ledger_database, and that PostgreSQL runs and lets this user make tables there"


class PostgresSequencer(Sequencer):
    """See Sequencer. `url` is a libpq connection string; what it leaves out, libpq finds (PGPASSFILE …)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._thread = threading.RLock()
        self._within = False  # a transaction
        with _told():
            self._db = self._connect()
            with self._db.transaction():
                self._db.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCKS, _SEQUENCE))
                self._db.execute(_SCHEMA)

    def close(self) -> None:
        """Close the connection."""
        with self._thread:
            self._db.close()

    def publishing(self) -> AbstractContextManager[None]:
        """See Sequencer.publishing."""
        return self._alone(_PUBLISH)

    def signing(self) -> AbstractContextManager[None]:
        """See Sequencer.signing."""
        return self._alone(_SIGN)

    def _connect(self) -> psycopg.Connection:
        try:
            db = psycopg.connect(make_conninfo(self._url, **_OURS), autocommit=True)
        except psycopg.ProgrammingError as error:  # never with the URL itself: it may hold a password
            raise UsageError(f"ledger_database is no connection string: {error}", next=_NEXT) from None
        db.execute(_SESSION)
        return db

    @contextmanager
    def _alone(self, lock: int) -> Iterator[None]:
        with _told():
            session = self._connect()
        with closing(session):
            with _told():
                session.execute("SELECT pg_advisory_lock(%s, %s)", (_LOCKS, lock))
            yield

    def _insert(self, rows: Sequence[Row]) -> None:
        with self._db.cursor() as cursor:
            cursor.executemany("INSERT INTO entries VALUES (%s, %s, %s, %s)", rows)

    def _all(self, query: str, *values: object) -> list[Any]:
        asked = query.replace("?", "%s")
        with self._thread, _told():
            try:
                found = self._db.execute(asked, values)
            except psycopg.OperationalError:
                # A restart or a firewall ended the session. Outside of a transaction nothing was begun, and
                # each sentence may be said twice.
                if self._within or not self._db.closed:
                    raise
                self._db = self._connect()
                found = self._db.execute(asked, values)
            return [row[0] for row in found] if found.description else []

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._thread, _told():
            self._all("SELECT 1")  # a session that ended is opened again now, never half-way
            self._within = True
            try:
                with self._db.transaction():
                    self._db.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCKS, _SEQUENCE))
                    yield
            finally:
                self._within = False


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        why = " ".join(str(error).split())
        raise LedgerUnavailableError(f"the ledger's database failed: {why}", next=_NEXT) from error
