"""The private keys of one home, and what the log's key has signed so far.

    <home>/keys/log.key          0600  PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 || seed>
    <home>/keys/collector.key    0600  the same form (golang.org/x/mod/sumdb/note)
    <home>/keys/remembered.json  0600  {"root":"<64 hex>","size":7}

None of them may be lost (`akashi backup`), all of them are trusted. `remembered.json` is the newest
checkpoint that the key signed and the store has: it shows a tail that was dropped from the store,
and nothing inconsistent with it is ever signed. New keys are made only where there never were any.
"""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from evidence.audit_report import Expectations
from evidence.errors import LedgerUnavailableError, NoteError, UsageError
from evidence.note import SigningKey
from storage.files import locked, write_private
from storage.home import Home

_RESTORE: Final = "restore it from a backup: akashi restore"


@dataclass(frozen=True, slots=True)
class Remembered:
    """Size and root (32 bytes) of the newest checkpoint that was signed and stored."""

    size: int
    root: bytes


class Keyring:
    """The log's key signs checkpoints, the collector's key manifests; their names are public."""

    def __init__(self, folder: Path, log: SigningKey, collector: SigningKey) -> None:
        self._folder = folder
        self.log: Final = log
        self.collector: Final = collector

    @classmethod
    def open_or_create(cls, home: Home, origin: str = "") -> Keyring:
        """The home's keys, made if it is new; `origin` names a new log, else it is named by its key.

        Raises LedgerUnavailableError for keys that are missing or damaged, UsageError for keys that
        others may read and for an origin other than the log's.
        """
        home.make()
        with locked(home.keys / "keyring.lock"):
            if not any(home.keys.glob("*.key")) and not (home.keys / "remembered.json").exists():
                _create(home, origin)
            log, collector = (read_key(home.keys / f"{role}.key") for role in ("log", "collector"))
        if origin and origin != log.name:
            raise UsageError(
                f"ledger_origin is {origin!r}, but the log of {home.root} is {log.name!r}",
                next="correct ledger_origin, or use another AKASHI_HOME and bucket",
            )
        return cls(home.keys, log, collector)

    @property
    def origin(self) -> str:
        """The log's name in checkpoints."""
        return self.log.name

    def expectations(self) -> Expectations:
        """What an audit may hold against the archive; read it before the audit starts."""
        signed = self.remembered()
        return Expectations((self.log.verifier,), *((signed.size, signed.root) if signed else ()))

    def remembered(self) -> Remembered | None:
        """What was signed last, None if nothing was. Raises LedgerUnavailableError if it is damaged."""
        path = self._folder / "remembered.json"
        try:
            document = json.loads(path.read_bytes())
            return Remembered(int(document["size"]), bytes.fromhex(document["root"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise LedgerUnavailableError(f"{path} is damaged: {error}", next=_RESTORE) from error

    def remember(self, size: int, root: bytes) -> None:
        """Remember a checkpoint, once it is in the store. The caller holds the publisher's lock.

        Raises LedgerUnavailableError if it goes back behind what is remembered, or contradicts it.
        """
        before = self.remembered()
        if before is not None and (size < before.size or (size == before.size and root != before.root)):
            raise LedgerUnavailableError(
                f"size {size} contradicts size {before.size}, signed before", next="run `akashi audit`"
            )
        document = {"root": root.hex(), "size": size}
        write_private(self._folder / "remembered.json", json.dumps(document, sort_keys=True).encode())


def _create(home: Home, origin: str) -> None:
    log = SigningKey.generate("akashi.invalid")
    public = log.verifier.public
    try:
        log = SigningKey.from_seed(origin or f"akashi.invalid/{sha256(public).hexdigest()[:8]}", log.seed)
    except NoteError as error:
        raise UsageError(f"ledger_origin: {error.detail}", next="correct ledger_origin") from error
    collector = SigningKey.generate(f"{log.name}/collector")
    # The collector first: half of a pair is then never taken for a log that lost its own key.
    for role, key in (("collector", collector), ("log", log)):
        write_key(home.keys / f"{role}.key", key)


def write_key(path: Path, key: SigningKey) -> None:
    """Write a private key, 0600 and synced. Raises OSError."""
    write_private(path, _line(key))


def _line(key: SigningKey) -> bytes:
    seed = base64.b64encode(b"\x01" + key.seed).decode()
    return f"PRIVATE+KEY+{key.name}+{key.verifier.key_id.hex()}+{seed}\n".encode()


def read_key(path: Path) -> SigningKey:
    """A private key. Raises LedgerUnavailableError (missing, damaged), UsageError (others may read it)."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"{path} may be read by others", next=f"chmod 600 {path}")
        line = path.read_bytes()
        _, _, name, _, encoded = line.decode().split("+", 4)
        key = SigningKey.from_seed(name, base64.b64decode(encoded)[1:])
    except FileNotFoundError as error:
        raise LedgerUnavailableError(f"{path} is missing", next=_RESTORE) from error
    except (ValueError, NoteError, OSError) as error:
        raise LedgerUnavailableError(f"{path} is damaged", next=_RESTORE) from error
    if line != _line(key):
        raise LedgerUnavailableError(f"{path} is damaged", next=_RESTORE)
    return key
