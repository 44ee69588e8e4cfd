"""The signer in a process of its own: it alone holds the log's key, and the tree that was signed last.

    <home>/keys/{log.key, remembered.json}    as in any home (storage/keyring.py)
    <home>/keys/signer.lock                   held while it runs
    <home>/signer-token              0600     what a client over TCP must bring; made when first needed

It is the log's first witness: what does not continue the tree it remembers is not signed, whoever asks,
and the new tree is on disk before the signature leaves.
"""

from __future__ import annotations

import hmac
import os
import secrets
from email.message import Message
from pathlib import Path
from threading import Lock
from typing import Final

from evidence.checkpoint import Checkpoint
from evidence.errors import NoteError, UsageError
from evidence.note import sign_note
from evidence.witness import (
    BAD_REQUEST,
    CONFLICT,
    NOT_FOUND,
    OK,
    Submission,
    extend,
    read_text,
)
from storage.files import open_lock, try_lock, write_private
from storage.home import Home
from storage.http_server import Answer
from storage.keyring import Keyring
from storage.signer import held_by, read_token

MAX_REQUEST: Final = 1 << 14
UNAUTHORIZED: Final = 401


class SigningDesk:
    """Answers `/sign` with the keys of one home. A second process on it is refused (UsageError)."""

    def __init__(self, home: Home, keyring: Keyring, token: str = "") -> None:
        self._keyring, self._token, self._thread = keyring, token, Lock()
        self._lock = open_lock(home.keys / "signer.lock")
        if not try_lock(self._lock, patience=0.2):
            os.close(self._lock)
            raise UsageError(f"a signer runs on {home.root} already", next="stop it first")

    def close(self) -> None:
        """Let another run on the home."""
        os.close(self._lock)

    def handle(self, path: str, headers: Message, body: bytes) -> Answer:
        """One request. Raises LedgerUnavailableError (a key that is not here), OSError."""
        given = headers.get("Authorization", "").encode("latin-1", "replace")
        if self._token and not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
            return Answer(UNAUTHORIZED, b"another token is wanted\n", "without the token")
        if path != "/sign":
            return Answer(NOT_FOUND, b"only /sign is here\n", "no such path")
        try:
            submission = Submission.decode(body)
            checkpoint = read_text(submission.note.decode())
        except (NoteError, UnicodeDecodeError) as error:
            return Answer(BAD_REQUEST, f"{error}\n".encode(), str(error))
        if checkpoint.origin != self._keyring.origin or checkpoint.body().encode() != submission.note:
            return Answer(NOT_FOUND, b"not a checkpoint of this log\n", f"{checkpoint.origin!r} is not ours")
        return self._sign(submission, checkpoint)

    def _sign(self, submission: Submission, checkpoint: Checkpoint) -> Answer:
        with self._thread:
            decision = extend(held_by(self._keyring), submission, checkpoint)
            if decision.status == OK:
                note = sign_note(checkpoint.body(), self._keyring.log_keys())
                self._keyring.remember(checkpoint.size, checkpoint.root)
                return Answer(OK, note, decision.detail)
        if decision.status == CONFLICT and decision.held is not None:
            return Answer(CONFLICT, b"%d\n" % decision.held, decision.detail)
        return Answer(decision.status, f"{decision.detail}\n".encode(), decision.detail)


def own_token(path: Path) -> str:
    """The token of this signer, made if there is none."""
    if not path.exists():
        write_private(path, f"{secrets.token_urlsafe(32)}\n".encode())
    return read_token(path)
