"""Files of ours: private (0600), written whole or not at all, locked by the kernel, or a SQLite database.

Locks are flock(2): released by the kernel when their holder dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_BUSY_SECONDS: Final = 60.0


def write_private(path: Path, data: bytes) -> None:
    """Write a whole file with mode 0600, synced, in place of the old one or not at all. Raises OSError."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def move(path: Path, to: Path) -> None:
    """Give a file another name in its folder, in place of what had it, synced. Raises OSError."""
    path.replace(to)
    _sync(to.parent)


def _sync(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def open_lock(path: Path) -> int:
    """A descriptor of the lock file, made with mode 0600 if it is not there; not inherited by children."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def try_lock(descriptor: int, patience: float = 0.0) -> bool:
    """Take the lock alone; False if anybody holds it, in this process or another.

    `patience` (seconds) outlasts those who only look whether it is held: they hold it for a moment.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def holds_another(descriptor: int) -> bool:
    """Whether anybody else holds the lock of this descriptor, even if its file was removed."""
    if not try_lock(descriptor):
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def is_held(path: Path) -> bool:
    """Whether anybody holds the lock now."""
    descriptor = open_lock(path)
    try:
        return holds_another(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock alone; waits as long as it takes. Excludes threads of this process as well."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """A connection in autocommit mode, each commit synced; `schema` is created if it is not there.

    Threads share it one at a time. Raises sqlite3.Error for a file that is damaged or no database,
    OSError for one that cannot be made.
    """
    with locked(path.with_suffix(".lock")):  # two who change a new file to WAL at once would fail
        os.close(open_lock(path))
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; {schema}")
        except sqlite3.Error:
            connection.close()
            raise
    return connection
