"""A witness for partners: cosigns the checkpoints of the logs it knows, and remembers each one's last tree.

    <state>/witness.key             0600   its key; the name in it is the witness's
    <state>/witness.lock                   held while it runs
    <state>/<origin's sha256, 16 hex>/
      held                          0600   the checkpoint that was cosigned last, as the log signed it
      <size>-<16 hex>.request       0600   what the log signed and was not cosigned: it contradicts …
      <size>-<16 hex>.held          0600   … this, which the log signed before

Nothing of it may be lost: without `held`, the next checkpoint is believed as the first was. A new tree
is on disk before its cosignature leaves.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from evidence.cosignature import CosignerKey, cosign_line, cosigner_of
from evidence.errors import LedgerUnavailableError, NoteError, UsageError
from evidence.note import MAX_NOTE, SigningKey, VerifierKey, split_note
from evidence.witness import CONFLICT, NOTHING, OK, Decision, Submission, Tree, add_checkpoint, read_text
from storage.files import open_lock, try_lock, write_private
from storage.http_server import Answer
from storage.keyring import read_key, write_key

MAX_REQUEST: Final = MAX_NOTE + (1 << 14)
"""Bytes of a request: a note, and a proof of 63 hashes."""
SIZE_TYPE: Final = "text/x.tlog.size"


class Witness:
    """One witness. Threads may share it; a second process on its folder is refused (UsageError)."""

    def __init__(
        self,
        state: Path,
        logs: Sequence[VerifierKey],
        *,
        name: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state, self._clock, self._thread = state, clock, Lock()
        self._lock = open_lock(state / "witness.lock")
        if not try_lock(self._lock, patience=0.2):
            os.close(self._lock)
            raise UsageError(f"a witness runs on {state} already", next="stop it, or give another --state")
        try:
            self._key = _key(state, name)
        except BaseException:
            self.close()
            raise
        self._logs: dict[str, list[VerifierKey]] = {}
        for log in logs:
            self._logs.setdefault(log.name, []).append(log)

    @property
    def key(self) -> CosignerKey:
        """What its cosignatures are verified with."""
        return cosigner_of(self._key)

    def close(self) -> None:
        """Let another run on the folder."""
        os.close(self._lock)

    def add_checkpoint(self, data: bytes) -> Answer:
        """The answer to a request's body. Raises OSError, LedgerUnavailableError (a damaged folder)."""
        with self._thread:
            decision = add_checkpoint(data, self._logs, self._held)
            if decision.checkpoint is not None and decision.status == OK:
                write_private(self._folder(decision.checkpoint.origin) / "held", Submission.decode(data).note)
            elif decision.checkpoint is not None and decision.contradicts:
                self._keep(decision, data)
        return self._answer(decision)

    def _answer(self, decision: Decision) -> Answer:
        subject, kept = "", " (kept as evidence)" if decision.contradicts else ""
        if decision.checkpoint is not None:
            subject = f"{decision.checkpoint.origin} {decision.checkpoint.size}: "
        told = f"{subject}{decision.detail}{kept}"
        if decision.status == OK:
            line = cosign_line(self._key, decision.text, int(self._clock()))
            return Answer(OK, line.encode(), told)
        if decision.status == CONFLICT and decision.held is not None:
            return Answer(CONFLICT, b"%d\n" % decision.held, told, SIZE_TYPE)
        return Answer(decision.status, f"{decision.detail}\n".encode(), told)

    def _held(self, origin: str) -> Tree:
        path = self._folder(origin) / "held"
        try:
            checkpoint = read_text(split_note(path.read_bytes())[0])
        except FileNotFoundError:
            return NOTHING
        except NoteError as error:
            raise LedgerUnavailableError(f"{path} is damaged: {error.detail}", next="restore it") from error
        return Tree(checkpoint.size, checkpoint.root)

    def _keep(self, decision: Decision, data: bytes) -> None:
        """Both sides of a contradiction; named by what the log signed, so that nobody else can fill the disk."""
        assert decision.checkpoint is not None  # noqa: S101 - for mypy: the caller asked
        folder = self._folder(decision.checkpoint.origin)
        name = f"{decision.checkpoint.size}-{hashlib.sha256(decision.text.encode()).hexdigest()[:16]}"
        for suffix, side in (("held", (folder / "held").read_bytes()), ("request", data)):
            if not (path := folder / f"{name}.{suffix}").exists():
                write_private(path, side)

    def _folder(self, origin: str) -> Path:
        folder = self._state / hashlib.sha256(origin.encode()).hexdigest()[:16]
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def _key(state: Path, name: str) -> SigningKey:
    """The witness's key, made where there never was a state; else as `keyring.read_key`."""
    path = state / "witness.key"
    if not path.exists() and not any(one.is_dir() for one in state.iterdir()):
        key = SigningKey.generate("akashi.invalid")
        public = hashlib.sha256(key.verifier.public).hexdigest()[:8]
        try:
            key = SigningKey.from_seed(name or f"akashi.invalid/witness/{public}", key.seed)
        except NoteError as error:
            raise UsageError(f"--name: {error.detail}", next="give another --name") from error
        write_key(path, key)
    key = read_key(path)
    if name and name != key.name:
        raise UsageError(f"the witness of {state} is {key.name!r}, not {name!r}", next="correct --name")
    return key
