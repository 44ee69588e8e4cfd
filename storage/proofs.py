"""Proofs out of the store's tiles, each checked as a stranger would check it before it is given away."""

from __future__ import annotations

from contextlib import suppress

from evidence.checkpoint import POINTER, Checkpoint, parse_checkpoint
from evidence.errors import CheckFailedError, LedgerUnavailableError, NoteError
from evidence.tlog_proof import TlogProof
from storage.archive import Archive


def newest_checkpoint(archive: Archive) -> tuple[Checkpoint, bytes]:
    """The newest checkpoint, and its bytes with every cosignature. Raises as `Archive.newest` does."""
    checkpoint, note = archive.newest()
    # The pointer carries the cosignatures; it is never trusted, but what it holds can be compared.
    with suppress(FileNotFoundError, NoteError):
        pointed = archive.store.read(POINTER)
        if parse_checkpoint(pointed, archive.keyring.verifiers) == checkpoint:
            return checkpoint, pointed
    return checkpoint, note


def prove(archive: Archive, index: int, checkpoint: Checkpoint, note: bytes) -> tuple[bytes, bytes]:
    """Entry `index` and its `.tlog-proof` under this checkpoint.

    Raises LedgerUnavailableError if there is no such entry, or the tiles in the store do not prove it.
    """
    entry = archive.ledger.entry_bytes(index)
    try:
        proof = TlogProof(index, tuple(archive.ledger.tiles.inclusion(index, checkpoint.size)), note)
        data = proof.encode()
        TlogProof.decode(data).check(entry, archive.keyring.verifiers)
    except CheckFailedError as error:
        raise LedgerUnavailableError(
            f"the tiles in the store do not prove entry {index}: {error.detail}", next="run `akashi audit`"
        ) from error
    return entry, data
