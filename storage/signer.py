"""Who signs the log's checkpoints: the keys of this home, or a signer that holds them elsewhere.

Either signs only what continues the tree that it signed last, shown by a consistency proof; the signer
elsewhere (storage/signer_server.py) remembers that tree itself, so that whoever takes over the machine that
appends can neither fork the log nor roll it back.

    POST <signer>/sign     old N, proof, an empty line, the checkpoint's text    (evidence/witness.py)
      200   the signed note            409   the size that the signer holds: the proof must start there
"""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Protocol

from evidence.checkpoint import Checkpoint, parse_checkpoint
from evidence.errors import LedgerUnavailableError, NoteError, ProofError, UnreachableError, UsageError
from evidence.note import MAX_NOTE, sign_note
from evidence.proof import check_consistency
from evidence.witness import CONFLICT, NOTHING, OK, Submission, Tree
from storage.http import post
from storage.keyring import Keyring
from storage.resolver import parse_url
from storage.settings import Settings

TIMEOUT: Final = 10.0
"""Seconds for the signer to answer."""
_PAUSE: Final = 60.0
"""Seconds for which one that did not is not asked again: each append would wait for it."""
_ROUNDS: Final = 3
_SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_AUDIT: Final = "run `akashi audit`"

Consistency = Callable[[int], list[bytes]]
"""The proof from the tree of so many entries to the checkpoint's. Raises ProofError if it is the larger."""


class Signer(Protocol):
    """Signs checkpoints of one log."""

    def sign(self, checkpoint: Checkpoint, consistency: Consistency) -> bytes:
        """The signed note. Raises LedgerUnavailableError unless it continues what was signed before.

        UnreachableError: nobody signs now; it is asked again with a later entry.
        """
        ...


class LocalSigner:
    """Signs with every active log key of this home."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def sign(self, checkpoint: Checkpoint, consistency: Consistency) -> bytes:
        """See Signer; what was signed before is what the keyring remembers, which is told it by the ledger."""
        held = held_by(self._keyring)
        try:
            check_consistency(*held, checkpoint.size, checkpoint.root, consistency(held.size))
        except ProofError as error:
            raise _lost(checkpoint.size, held.size) from error
        return sign_note(checkpoint.body(), self._keyring.log_keys())


class RemoteSigner:
    """Asks `akashi ledger sign` at `where`; what it signs is checked against the keyring's public keys."""

    def __init__(self, keyring: Keyring, where: str, token: str = "") -> None:
        self._keyring = keyring
        # The socket's path ends at the colon, and is no part of the target.
        self._url = f"{where}:/sign" if where.startswith("unix:") else f"{where.rstrip('/')}/sign"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._hung = -_PAUSE

    def sign(self, checkpoint: Checkpoint, consistency: Consistency) -> bytes:
        """See Signer."""
        old = held_by(self._keyring).size
        for _ in range(_ROUNDS):
            try:
                path = tuple(consistency(old))
            except ProofError as error:
                raise _lost(checkpoint.size, old) from error
            status, body = self._post(Submission(old, path, checkpoint.body().encode()).encode())
            if status == OK:
                return self._checked(body, checkpoint)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # its disk is full, say: as if it were away
                raise UnreachableError(
                    f"the log's signer cannot sign now: {status}", next="read what it told"
                )
            held = _SIZE.fullmatch(body) if status == CONFLICT else None
            if held is None or int(held[1]) == old:
                break
            old = int(held[1])
        said = body[:200].decode("utf-8", "replace").strip()
        raise LedgerUnavailableError(f"{self._url} refuses to sign: {status} {said!r}", next=_AUDIT)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        """The answer. Raises UnreachableError, for a while at once where it hung before."""
        began = time.monotonic()
        if began < self._hung + _PAUSE:
            raise UnreachableError(
                "the log's signer hung a moment ago", next="restart akashi ledger sign there"
            )
        try:
            return post(
                self._url,
                body,
                content_type="text/plain; charset=utf-8",
                timeout=TIMEOUT,
                limit=MAX_NOTE,
                allow_private=True,  # the operator named this machine: it may be anywhere
                headers=self._headers,
            )
        except UnreachableError as error:
            now = time.monotonic()
            self._hung = now if now - began > TIMEOUT / 2 else self._hung
            raise UnreachableError(
                f"the log's signer cannot be reached: {error.detail}", next="start akashi ledger sign there"
            ) from error

    def _checked(self, note: bytes, checkpoint: Checkpoint) -> bytes:
        try:
            if parse_checkpoint(note, self._keyring.verifiers) == checkpoint:
                return note
            why = "another checkpoint"
        except NoteError as error:
            why = error.detail
        raise LedgerUnavailableError(
            f"{self._url} did not sign what it was asked to: {why}",
            next="compare keys/log.vkey with what `akashi ledger sign --key-only` prints there",
        )


def open_signer(settings: Settings, keyring: Keyring) -> Signer:
    """The signer that the settings name. Raises UsageError for one that can be none."""
    where = settings.ledger_signer
    if not where:
        return LocalSigner(keyring)
    if where.startswith("unix:/"):
        return RemoteSigner(keyring, where)
    scheme, host, _ = parse_url(where)
    if scheme == "http" and not _is_loopback(host):
        raise UsageError(
            "ledger_signer would send its token in the clear", next="use https, or a tunnel to loopback"
        )
    return RemoteSigner(keyring, where, read_token(settings.home.root / "signer-token"))


def held_by(keyring: Keyring) -> Tree:
    """The tree that the keyring remembers as signed last."""
    signed = keyring.remembered()
    return Tree(signed.size, signed.root) if signed else NOTHING


def read_token(path: Path) -> str:
    """A bearer token, alone in its file. Raises UsageError if it is not there, empty, or others may read it."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"{path} may be read by others", next=f"chmod 600 {path}")
        token = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}", next="copy it from the signer's home, mode 0600") from error
    if not token.isprintable() or not token or " " in token:
        raise UsageError(f"{path} holds no token", next="copy it from the signer's home, mode 0600")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _lost(size: int, signed: int) -> LedgerUnavailableError:
    return LedgerUnavailableError(
        f"the {size} entries here do not contain the {signed} that were signed before", next=_AUDIT
    )
