"""A store in memory, and every write of a ledger made to fail or to be the last one: for thousands of crashes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from evidence.digests import Digests, digest_bytes
from evidence.errors import LedgerUnavailableError, ObjectConflictError, StoreUnavailableError
from storage.objects import Abilities, ObjectHead, StoredObject
from tests.storage.faults import Fault

KINDS: Final = (
    "sequence",
    "segments",
    "mark_published",
    "tile",
    "checkpoints",
    "remember",
    "save_frontier",
    "checkpoint",
)
"""What a ledger writes, in the order in which it does."""


class Killed(BaseException):
    """kill -9: nothing of ours may catch it, nothing runs afterwards."""


class Faults:
    """The next write of one kind fails, or is the process's last; before or after it was persisted."""

    def __init__(self) -> None:
        self.armed: tuple[str, Fault, bool] | None = None

    def strike(self, kind: str, moment: Fault) -> None:
        if self.armed is None or self.armed[:2] != (kind, moment):
            return
        killed, self.armed = self.armed[2], None
        if killed:
            raise Killed
        if kind in {"sequence", "mark_published", "remember", "save_frontier"}:
            raise LedgerUnavailableError(f"injected: {moment.value}")
        raise StoreUnavailableError(f"injected: {moment.value}")

    def wrap(self, owner: Any, name: str) -> None:
        """Let a method of the sequencer, or of what keeps the signer's memory, fail as well."""
        call: Callable[..., Any] = getattr(owner, name)

        def faulty(*values: Any) -> Any:
            self.strike(name, Fault.FAILED)
            result = call(*values)
            self.strike(name, Fault.PERSISTED)
            return result

        setattr(owner, name, faulty)


class MemoryStore:
    """Create-only, listed in the order of keys."""

    bucket: Final = "memory"

    def __init__(self, faults: Faults) -> None:
        self.objects: dict[str, bytes] = {}
        self._faults = faults

    def put_once(
        self, key: str, source: Path | bytes, digests: Digests, *, content_type: str
    ) -> StoredObject:
        assert isinstance(source, bytes)
        assert digest_bytes(source) == digests
        kind = key.split("/")[1]
        self._faults.strike(kind, Fault.FAILED)
        if self.objects.setdefault(key, source) != source:
            raise ObjectConflictError(f"{key} holds other bytes")
        self._faults.strike(kind, Fault.PERSISTED)
        return StoredObject(key, "1", digests, None)

    def replace(self, key: str, data: bytes) -> None:
        self._faults.strike("checkpoint", Fault.FAILED)
        self.objects[key] = data
        self._faults.strike("checkpoint", Fault.PERSISTED)

    def read(self, key: str, version: str | None = None) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise FileNotFoundError(key) from None

    def list(self, prefix: str) -> Iterator[ObjectHead]:
        found = sorted(key for key in self.objects if key.startswith(prefix))
        return (ObjectHead(key, len(self.objects[key])) for key in found)

    def versions(self, key: str) -> list[str]:
        return ["1"] if key in self.objects else []

    def custody(self) -> dict[str, Any]:
        return {
            "abilities": dict.fromkeys(Abilities.__slots__, True),
            "bucket": self.bucket,
            "endpoint_kind": "memory",
            "profile": "governance",
        }
