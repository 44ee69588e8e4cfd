"""Kernel file locks (flock(2)): released by the kernel when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def is_held(path: Path) -> bool:
    """Whether anybody holds the lock now."""
    descriptor = open_lock(path)
    try:
        return holds_another(descriptor)
    finally:
        os.close(descriptor)


def holds_another(descriptor: int) -> bool:
    """Whether anybody else holds the lock of this descriptor, even if its file was removed."""
    if not try_lock(descriptor):
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock alone; waits as long as it takes. Excludes threads of this process as well."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class SharedLock:
    """A lock that many may hold together; `locked` and `try_lock` wait for all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def hold(self) -> None:
        """Take it, waiting for one who holds it alone; again is fine."""
        if self._descriptor is None:
            descriptor = open_lock(self._path)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            self._descriptor = descriptor

    def release(self) -> None:
        """Give it back; again is fine."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
