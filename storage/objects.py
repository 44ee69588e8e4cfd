"""What an object store must do for evidence: keys that are written once, and read back.

`S3Store` is the store, `FolderCopy` a read-only copy of one; both are an `ObjectSource`, and
tests/storage/contract.py is the one suite that each must pass.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from evidence.digests import CHUNK, Digester, Digests

POINTER: Final = "ledger/checkpoint"
"""The one key that is written over: where tlog clients find the newest checkpoint. Never trusted."""

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._=-]{1,200}")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that was stored and read back: what a ledger entry names.

    `version` is the store's version id, empty where the store keeps no versions; `retain_until`
    (UTC) is when its lock ends, None where the store has no Object Lock.
    """

    key: str
    version: str
    digests: Digests
    retain_until: datetime | None


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What a store says about one object without sending its bytes.

    `sha256` (hex) is None where the store has no digest over the whole object, as above 4 GiB;
    `lock_mode` is GOVERNANCE, COMPLIANCE or None.
    """

    key: str
    size: int
    version: str
    sha256: str | None = None
    modified: datetime | None = None
    retain_until: datetime | None = None
    lock_mode: str | None = None


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


class ObjectSource(Protocol):
    """Objects that can be listed and read: all that an audit needs."""

    def list(self, prefix: str) -> Iterator[ObjectHead]:
        """Every object whose key starts with `prefix`, in the byte order of keys; `version` may be empty.

        SeaweedFS goes folder by folder, which is the same for docs/formats/store.md's keys, where no
        folder's name begins with another's and no key is also a folder.
        """
        ...

    def head(self, key: str) -> ObjectHead | None:
        """What is known of an object, or None if there is none."""
        ...

    def versions(self, key: str) -> Sequence[str]:
        """The version ids under exactly this key, newest first; more than one means it was overwritten."""
        ...

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        """A stream of the object's bytes, or of `length` bytes from `start`, in constant memory.

        Raises FileNotFoundError if there is no such object or version.
        """
        ...

    def download(self, key: str, to: Path) -> Digests:
        """Write the object into a new file; the digests of what was written. Raises FileNotFoundError."""
        ...

    def read(self, key: str, version: str | None = None) -> bytes:
        """The whole object in memory, for small ones. Raises FileNotFoundError."""
        ...


class ObjectStore(ObjectSource, Protocol):
    """A source that can also be written, once per key."""

    def put_once(
        self, key: str, source: Path | bytes, digests: Digests, *, content_type: str
    ) -> StoredObject:
        """When this returns, the object is persisted, locked, and was read back as these digests.

        The same bytes under the same key are fine, however often. Raises ObjectConflictError if
        the key holds other bytes, StoreUnavailableError if the outcome could not be had in time:
        the object may then be stored or not, and the call may simply be repeated.
        """
        ...

    def custody(self) -> dict[str, Any]:
        """The body of `custody.store` (evidence/entry.py): which store this is, and what it can do."""
        ...

    def replace(self, key: str, data: bytes) -> None:
        """Write over `POINTER`, the one key for which that is allowed. Raises StoreUnavailableError."""
        ...


def write_stream(stream: BinaryIO, to: Path) -> Digests:
    """Write a stream into a new file, synced, in constant memory; its digests. Raises OSError."""
    digester = Digester()
    with to.open("xb") as file:
        while chunk := stream.read(CHUNK):
            digester.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digester.result()


def check_key(key: str) -> str:
    """The key, if every store keeps and lists it: `[A-Za-z0-9._=-]{1,200}` between slashes.

    Raises ValueError for an empty segment, `.`, `..`, or anything else that some store loses.
    """
    for segment in key.split("/"):
        if segment in {".", ".."} or not _SEGMENT.fullmatch(segment):
            raise ValueError(f"not a storable key: {key!r}")
    return key
