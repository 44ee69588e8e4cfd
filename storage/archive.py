"""The archive, opened: settings, store, keys, ledger and catalogue, the same way for captures and for those who read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from evidence.checkpoint import Checkpoint, checkpoint_key, parse_checkpoint
from evidence.digests import digest_bytes
from evidence.entry import Entry
from evidence.errors import CheckFailedError, LedgerUnavailableError, NoteError, UsageError
from evidence.manifest import parse_manifest
from storage.catalogue import Catalogue
from storage.connect import open_store
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.objects import ObjectStore
from storage.settings import Settings
from storage.signer import open_signer


@dataclass
class Archive:
    """Opened once a process."""

    settings: Settings
    store: ObjectStore
    keyring: Keyring
    ledger: Ledger
    catalogue: Catalogue

    @classmethod
    def open(cls, settings: Settings | None = None, **more: Any) -> Self:
        """Start or reach the store, open the ledger; `more` is a subclass's own.

        Raises StoreUnavailableError, LedgerUnavailableError, UsageError (settings).
        """
        settings = settings or Settings.load()
        settings.home.make()
        store = open_store(settings)
        keyring = Keyring.open_or_create(
            settings.home, settings.ledger_origin, elsewhere=bool(settings.ledger_signer)
        )
        signer = open_signer(settings, keyring)
        ledger = Ledger(settings.home, store, keyring, settings.ledger_database, signer)
        ledger.open()
        catalogue = Catalogue(settings.home)
        catalogue.follow(store, ledger)
        return cls(settings, store, keyring, ledger, catalogue, **more)

    def find(self, capture: str) -> dict[str, Any]:
        """The catalogue's row of one capture, by its id or an unambiguous beginning. Raises UsageError."""
        rows = self.catalogue.starting_with(capture)
        if len(rows) == 1:
            return rows[0]
        what = "no capture begins" if not rows else f"{len(rows)} captures begin"
        raise UsageError(f"{what} with {capture!r}", next="akashi list shows what the archive holds")

    def newest(self) -> tuple[Checkpoint, bytes]:
        """The newest checkpoint and its stored bytes. Raises LedgerUnavailableError if it is not what was signed."""
        signed = self.keyring.remembered()
        if signed is None:
            raise LedgerUnavailableError("no checkpoint was signed yet", next="akashi doctor")
        key = checkpoint_key(signed.size)
        with suppress(FileNotFoundError, NoteError):
            note = self.store.read(key)
            checkpoint = parse_checkpoint(note, self.keyring.verifiers)
            if (checkpoint.size, checkpoint.root) == (signed.size, signed.root):
                return checkpoint, note
        raise LedgerUnavailableError(f"{key} is lost, or not what was signed", next="run `akashi audit`")

    def manifest(self, row: dict[str, Any]) -> dict[str, Any]:
        """The stored manifest of a capture, as its ledger entry names it. Raises CheckFailedError."""
        try:
            data = self.store.read(row["manifest"])
        except FileNotFoundError as error:
            raise CheckFailedError(f"{error} is gone", rule="object-missing", next="akashi audit") from error
        named = {
            one["key"]: one["sha256"]
            for one in Entry.decode(self.ledger.entry_bytes(row["entry"])).body["objects"]
        }
        if named.get(row["manifest"]) != digest_bytes(data).sha256:
            raise CheckFailedError(
                f"{row['manifest']} is not what ledger entry {row['entry']} names",
                rule="manifest-digest",
                next="akashi audit",
            )
        return dict(parse_manifest(data).document)
