"""The private keys of one home, and what the log's key has signed so far.

    <home>/keys/log.key            0600  PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 || seed>
    <home>/keys/log-<key id>.key         the one before: signs beside it until it is retired
    <home>/keys/log-<key id>.silent      about to be retired: signs no more
    <home>/keys/log.new.key              about to follow: signs nothing yet
    <home>/keys/log.vkey                 instead of them all, if a signer elsewhere holds the log's key
    <home>/keys/collector.key            the same form (golang.org/x/mod/sumdb/note)
    <home>/keys/collector.new.key
    <home>/keys/remembered.json    0600  {"root":"<64 hex>","size":7}

None of them may be lost (`akashi backup`), all of them are trusted. Files are read when something is
signed, since another process may have changed the keys meanwhile (storage/rotation.py). `remembered.json`
is the newest checkpoint that the key signed and the store has: it shows a tail that was dropped from the
store, and nothing inconsistent with it is ever signed. New keys are made only where there never were any.
"""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from evidence.audit_report import Expectations
from evidence.errors import LedgerUnavailableError, NoteError, UsageError
from evidence.note import SigningKey, VerifierKey
from storage.files import locked, move, write_private
from storage.home import Home

_RESTORE: Final = "restore it from a backup: akashi restore"
_LOG_LOST: Final = f"{_RESTORE}; without one: akashi ledger keys recover"


@dataclass(frozen=True, slots=True)
class Remembered:
    """Size and root (32 bytes) of the newest checkpoint that was signed and stored."""

    size: int
    root: bytes


class Keyring:
    """The log's key signs checkpoints, the collector's key manifests; their names are public."""

    def __init__(self, folder: Path, origin: str = "", *, recovering: bool = False) -> None:
        self._folder = folder
        self._lost = recovering
        self.origin: Final = origin or self.verifiers[0].name
        """The log's name in checkpoints."""

    @classmethod
    def open_or_create(cls, home: Home, origin: str = "", *, elsewhere: bool = False) -> Keyring:
        """The home's keys, made if it is new; `origin` names a new log, else it is named by its key.

        `elsewhere`: a signer holds the log's key, of which `log.vkey` must be here already.
        Raises LedgerUnavailableError for keys that are missing or damaged, UsageError for keys that
        others may read and for an origin other than the log's.
        """
        home.make()
        if elsewhere and not (home.keys / "log.vkey").exists():
            raise UsageError(
                f"{home.keys / 'log.vkey'} is missing, the public half of the key that the signer holds",
                next="put there what `akashi ledger sign --key-only` prints on the signer's machine",
            )
        with locked(home.keys / "keyring.lock"):
            if not any(home.keys.glob("*.key")) and not (home.keys / "remembered.json").exists():
                _create(home, origin)
        keyring = cls(home.keys)
        _ = keyring.collector
        if origin and origin != keyring.origin:
            raise UsageError(
                f"ledger_origin is {origin!r}, but the log of {home.root} is {keyring.origin!r}",
                next="correct ledger_origin, or use another AKASHI_HOME and bucket",
            )
        return keyring

    @classmethod
    def recovering(cls, home: Home, origin: str) -> Keyring:
        """A keyring whose log key may be lost: the prepared one signs then, and a collector is made if it lacks."""
        home.make()
        with locked(home.keys / "keyring.lock"):
            if not (home.keys / "collector.key").exists():
                write_key(home.keys / "collector.key", SigningKey.generate(f"{origin}/collector"))
        return cls(home.keys, origin, recovering=True)

    @property
    def log(self) -> SigningKey:
        """The newest key of the log. Raises LedgerUnavailableError if it is not in this home."""
        return self.log_keys()[0]

    @property
    def collector(self) -> SigningKey:
        """The key that signs manifests."""
        return read_key(self._folder / "collector.key")

    def log_keys(self) -> list[SigningKey]:
        """All that must sign a checkpoint now, newest first. Raises LedgerUnavailableError if they are not here."""
        with locked(self._folder / "keyring.lock"):
            newest = self._folder / "log.key"
            if not newest.exists() and self._lost:
                newest = self._folder / "log.new.key"
            elif not self.holds_log:
                raise LedgerUnavailableError("the log's key is not in this home, but with its signer")
            keys = [read_key(path) for path in (newest, *sorted(self._folder.glob("log-*.key")))]
        return list({key.vkey: key for key in keys}.values())

    @property
    def holds_log(self) -> bool:
        """Whether the log's key belongs into this home, not to a signer elsewhere."""
        return (self._folder / "log.key").exists() or not (self._folder / "log.vkey").exists()

    @property
    def verifiers(self) -> tuple[VerifierKey, ...]:
        """The public halves of the log's active keys, newest first, wherever they are held."""
        public = self._folder / "log.vkey"
        if self.holds_log:
            return tuple(key.verifier for key in self.log_keys())
        try:
            return tuple(map(VerifierKey.parse, public.read_text("ascii").split()))
        except (NoteError, ValueError, OSError) as error:
            raise LedgerUnavailableError(f"{public} is damaged: {error}", next=_RESTORE) from error

    def held(self) -> set[str]:
        """The vkeys whose private halves are in this home and in use."""
        log = self.log_keys() if self.holds_log else []
        return {key.vkey for key in (*log, self.collector)}

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Alone among those who change keys (storage/rotation.py)."""
        with locked(self._folder / "changing.lock"):
            yield

    def prepared(self, role: str) -> SigningKey:
        """The key that is to follow, made if there is none: synced to disk, named as the one before, signing nothing."""
        path = self._folder / f"{role}.new.key"
        with locked(self._folder / "keyring.lock"):
            if not path.exists():
                name = self.origin if role == "log" else f"{self.origin}/{role}"
                write_key(path, SigningKey.generate(name))
            return read_key(path)

    def install(self, role: str) -> None:
        """Sign with the prepared key from now on; a log key that was there goes on beside it."""
        current = self._folder / f"{role}.key"
        with locked(self._folder / "keyring.lock"):
            if role == "log" and current.exists():
                old = read_key(current)
                write_key(self._beside(old.verifier), old)
            move(self._folder / f"{role}.new.key", current)

    def silence(self, old: VerifierKey) -> None:
        """Sign no more with a log key that another follows; its file is put aside."""
        with locked(self._folder / "keyring.lock"):
            if self._beside(old).exists():
                move(self._beside(old), self._beside(old).with_suffix(".silent"))

    def forget(self, old: VerifierKey) -> None:
        """Remove a key that was put aside: it is retired, and can only do harm."""
        self._beside(old).with_suffix(".silent").unlink(missing_ok=True)

    def _beside(self, old: VerifierKey) -> Path:
        return self._folder / f"log-{old.key_id.hex()}.key"

    def expectations(self) -> Expectations:
        """What an audit may hold against the archive; read it before the audit starts."""
        signed = self.remembered()
        return Expectations(self.verifiers, *((signed.size, signed.root) if signed else ()))

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
    public = home.keys / "log.vkey"
    if public.exists():
        name = Keyring(home.keys).origin
        write_key(home.keys / "collector.key", SigningKey.generate(f"{name}/collector"))
        return
    log = SigningKey.generate("akashi.invalid")
    digest = sha256(log.verifier.public).hexdigest()
    try:
        log = SigningKey.from_seed(origin or f"akashi.invalid/{digest[:8]}", log.seed)
    except NoteError as error:
        raise UsageError(f"ledger_origin: {error.detail}", next="correct ledger_origin") from error
    # The collector first: half of a pair is then never taken for a log that lost its own key.
    write_key(home.keys / "collector.key", SigningKey.generate(f"{log.name}/collector"))
    write_key(home.keys / "log.key", log)


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
        lost = _LOG_LOST if path.name == "log.key" else _RESTORE
        raise LedgerUnavailableError(f"{path} is missing", next=lost) from error
    except (ValueError, NoteError, OSError) as error:
        raise LedgerUnavailableError(f"{path} is damaged", next=_RESTORE) from error
    if line != _line(key):
        raise LedgerUnavailableError(f"{path} is damaged", next=_RESTORE)
    return key
