"""What an object store must do for evidence: keys that are written once, and read back.

`S3Store` is the store; `FolderCopy` a read-only copy of one. Both are an audit's `ObjectSource`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

from evidence.audit_report import ObjectSource
from evidence.digests import CHUNK, Digests

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._=-]{1,200}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that was stored and read back: what a ledger entry names.

    `version` is empty where the store keeps no versions; `retain_until` (UTC) is when its lock
    ends, None where the store has no Object Lock.
    """

    key: str
    version: str
    digests: Digests
    retain_until: datetime | None


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What a store says about one object without sending its bytes; a listing tells key and size only.

    `sha256` (hex) is None where the store has no digest over the whole object, as above 4 GiB;
    `lock_mode` is GOVERNANCE, COMPLIANCE or None; `legal_hold` locks without a date, until it is taken off.
    """

    key: str
    size: int
    version: str = ""
    sha256: str | None = None
    retain_until: datetime | None = None
    lock_mode: str | None = None
    legal_hold: bool = False


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a store was seen to do (storage/probe.py); recorded in `custody.store`, never assumed."""

    create_only: bool = True
    versioning: bool = True
    object_lock: bool = True
    checksum_sha256: bool = True

    def lacking(self) -> tuple[str, ...]:
        """The names of what it was seen not to do."""
        return tuple(name for name, can in asdict(self).items() if not can)


class ObjectStore(ObjectSource, Protocol):
    """An audit's source that can also be written, once per key; StoreUnavailableError if it is away.

    Keys are listed in the byte order of keys. SeaweedFS goes folder by folder, which is the same for
    docs/formats/store.md's keys, where no folder's name begins with another's and no key is a folder.
    """

    def head(self, key: str, version: str = "") -> ObjectHead | None:
        """What is known of an object, or None if there is none."""
        ...

    def read(self, key: str, version: str | None = None) -> bytes:
        """The whole object in memory, for small ones. Raises FileNotFoundError."""
        ...

    def download(self, key: str, to: Path) -> Digests:
        """Write the object into a new, synced file; the digests of what was written. Raises OSError."""
        ...

    def put_once(
        self, key: str, source: Path | bytes, digests: Digests, *, content_type: str
    ) -> StoredObject:
        """When this returns, the object is persisted, locked, and was read back as these digests.

        The same bytes under the same key are fine, however often. Raises ObjectConflictError if
        the key holds other bytes, StoreUnavailableError if the outcome could not be had in time:
        the object may then be stored or not, and the call may simply be repeated.
        """
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Write over `ledger/checkpoint`, the one key for which that is allowed."""
        ...

    def set_hold(self, key: str, version: str, *, on: bool) -> ObjectHead:
        """When this returns, exactly this version is on legal hold, or off; what was read back. Again is fine.

        Raises StoreUnavailableError if it is not there, or the store has no Object Lock.
        """
        ...

    def retain(self, key: str, version: str, until: datetime) -> ObjectHead:
        """When this returns, exactly this version is locked until then (whole seconds) or longer.

        Raises CustodyError for a time before the one it is locked until, else as `set_hold`.
        """
        ...

    def erase(self, key: str, version: str) -> None:
        """Delete exactly this version, through a GOVERNANCE lock; only lawful erasure may ask for it.

        When this returns, it is gone; again is fine. Raises StoreUnavailableError if the store keeps it.
        """
        ...

    def custody(self) -> dict[str, Any]:
        """The body of `custody.store` (evidence/entry.py): which store this is, and what it can do."""
        ...


class _Joined(RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # typeshed's Buffer has no length
        self._left = self._left or memoryview(next(self._chunks, b""))
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def stream_of(chunks: Iterator[bytes]) -> BinaryIO:
    """A buffered stream of chunks of bytes, none of them empty."""
    return cast("BinaryIO", BufferedReader(_Joined(chunks), CHUNK))


def check_key(key: str) -> str:
    """The key, if every store keeps and lists it: `[A-Za-z0-9._=-]{1,200}` between slashes.

    Raises ValueError for an empty segment, `.`, `..`, or anything else that some store loses.
    """
    for segment in key.split("/"):
        if segment in {".", ".."} or not _SEGMENT.fullmatch(segment):
            raise ValueError(f"not a storable key: {key!r}")
    return key
