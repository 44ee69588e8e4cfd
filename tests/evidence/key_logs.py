"""Logs whose keys change: the same small log as everywhere, with the entries about keys at hand."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key
from evidence.entry import Entry
from evidence.key_entry import sign_body
from evidence.note import SigningKey, sign_note
from evidence.tree import leaf_hash, root_of
from tests.evidence import samples
from tests.evidence.archives import Log, MemoryArchive


def key(number: int, suffix: str = "") -> SigningKey:
    """A log key, or with a suffix that of another role."""
    return SigningKey.from_seed(
        samples.ORIGIN + suffix, hashlib.sha256(f"{suffix}{number}".encode()).digest()
    )


RECOVERY: Final = key(0, "/recovery")
THIEF: Final = SigningKey.from_seed(samples.ORIGIN, hashlib.sha256(b"thief").digest())


def _witness() -> str:
    name, blob = "witness.example/w1", b"\x04" + key(0, "/witness").verifier.public
    key_id = hashlib.sha256(name.encode() + b"\n" + blob).hexdigest()[:8]
    return f"{name}+{key_id}+{base64.b64encode(blob).decode()}"


WITNESS: Final = _witness()


class KeyLog(Log):
    """Appends entries about keys, each signed as it must be unless a test says by whom."""

    signing: tuple[SigningKey, ...] = (samples.LOG_KEY,)
    """The keys that sign what `publish` stores."""

    @classmethod
    def opened(cls) -> KeyLog:
        log = cls()
        log.open()
        return log

    def recovery(self, new: SigningKey = RECOVERY, by: SigningKey = samples.LOG_KEY) -> int:
        return self._signed("key.added", {"role": "recovery", "vkey": new.vkey}, by, new)

    def rotate(self, role: str, old: SigningKey, new: SigningKey, by: SigningKey | None = None) -> int:
        return self._signed("key.rotated", {"role": role, "old": old.vkey, "new": new.vkey}, by or old, new)

    def retire(self, role: str, gone: SigningKey) -> int:
        return self.append("key.retired", samples.ORIGIN, {"role": role, "vkey": gone.vkey})

    def compromise(self, role: str, stolen: SigningKey, since: str) -> int:
        return self.append(
            "key.compromised", samples.ORIGIN, {"role": role, "vkey": stolen.vkey, "since": since}
        )

    def note(self, size: int, *keys: SigningKey) -> bytes:
        root = root_of([leaf_hash(entry) for entry in self.entries[:size]])
        return sign_note(Checkpoint(samples.ORIGIN, size, root).body(), keys)

    def sign(self, archive: MemoryArchive) -> None:
        note = self.note(len(self.entries), *self.signing)
        archive.put(checkpoint_key(len(self.entries)), note)
        archive.objects.pop(POINTER, None)
        archive.put(POINTER, note)

    def decoded(self) -> list[Entry]:
        return [Entry.decode(entry) for entry in self.entries]

    def _signed(self, kind: str, body: dict[str, Any], by: SigningKey, new: SigningKey) -> int:
        return self.append(
            kind, samples.ORIGIN, sign_body(kind, samples.ORIGIN, len(self.entries), body, by, new)
        )
