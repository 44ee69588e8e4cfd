"""A fault-injecting wrapper around a real store: one write fails, before or after it was persisted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from evidence.digests import Digests
from evidence.errors import StoreUnavailableError
from storage.objects import ObjectHead, StoredObject
from storage.s3 import S3Store

T = TypeVar("T")


class Fault(Enum):
    """How a write fails."""

    FAILED = "nothing was persisted"
    PERSISTED = "it was persisted, and the answer was lost"


class FaultyStore:
    """The real store, but the next write to a key, or below one that ends in a slash, fails once."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._armed: tuple[str, Fault] | None = None
        self.struck = 0

    def arm(self, where: str, fault: Fault) -> None:
        self._armed = (where, fault)

    def put_once(
        self, key: str, source: Path | bytes, digests: Digests, *, content_type: str
    ) -> StoredObject:
        self._strike(key, Fault.FAILED)
        stored = self._store.put_once(key, source, digests, content_type=content_type)
        self._strike(key, Fault.PERSISTED)
        return stored

    def replace(self, key: str, data: bytes) -> None:
        self._strike(key, Fault.FAILED)
        self._store.replace(key, data)
        self._strike(key, Fault.PERSISTED)

    def set_hold(self, key: str, version: str, *, on: bool) -> ObjectHead:
        return self._around(key, lambda: self._store.set_hold(key, version, on=on))

    def retain(self, key: str, version: str, until: datetime) -> ObjectHead:
        return self._around(key, lambda: self._store.retain(key, version, until))

    def erase(self, key: str, version: str) -> None:
        self._around(key, lambda: self._store.erase(key, version))

    def _around(self, key: str, write: Callable[[], T]) -> T:
        self._strike(key, Fault.FAILED)
        done = write()
        self._strike(key, Fault.PERSISTED)
        return done

    @staticmethod
    def _matches(key: str, where: str) -> bool:
        return key.startswith(where) if where.endswith("/") else key == where

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _strike(self, key: str, fault: Fault) -> None:
        if self._armed is not None and self._matches(key, self._armed[0]) and self._armed[1] is fault:
            self._armed = None
            self.struck += 1
            raise StoreUnavailableError(f"injected: {fault.value}")
