"""How the keys of a log change: each step may be the last before a kill, and the same command, repeated, finishes.

    rotate        keys/<role>.new.key    made and synced; signs nothing
                  entry key.rotated      by the old key, or the recovery key; published
                  keys/log-<id>.key      a copy of the old one, which goes on beside it
                  keys/<role>.key        the new one in its place; from now on it signs
    retire,       keys/log-<id>.silent   the old one signs no more, so no checkpoint of the entry is by it
    compromised   entry key.retired or key.compromised
                                         the file is removed
    recovery      FILE, 0600             the offline key; then entry key.added, signed by the log's key

One at a time (`Keyring.changing`). Entries hold no reasons: what a person writes may be personal, and
the ledger can never forget.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from evidence.errors import EntryError, LedgerUnavailableError, NoteError, UsageError
from evidence.key_entry import public_half, sign_body
from evidence.keys import Life
from evidence.note import SigningKey, VerifierKey
from storage.keyring import Keyring, read_key, write_key
from storage.ledger import Ledger

_PATIENCE: Final = 60.0
"""Seconds for which a signature is made anew for the next index, when others append meanwhile."""
_LIST: Final = "akashi ledger keys shows them all"


def rotate(ledger: Ledger, keyring: Keyring, role: str, by: SigningKey | None = None) -> VerifierKey:
    """Let a new key follow the one of this home (`log` or `collector`); `by`: a recovery key signs for the log's.

    Raises UsageError for a log key that is not here, LedgerUnavailableError, StoreUnavailableError.
    """
    _refuse_elsewhere(keyring, role)
    new = keyring.prepared(role)
    if ledger.keys().find(new.vkey) is None:
        signer = by or (keyring.log if role == "log" else keyring.collector)
        old = ledger.keys().active("log")[0].vkey if by else signer.vkey
        _append(ledger, keyring, "key.rotated", {"role": role, "old": old, "new": new.vkey}, signer, new)
    keyring.install(role)
    return new.verifier


def retire(ledger: Ledger, keyring: Keyring, vkey: str) -> Life:
    """End the use of a key that another has followed. Raises UsageError for one that cannot be ended."""
    life = _known(ledger, vkey)
    _refuse_in_use(ledger, keyring, life)
    return _end(ledger, keyring, life, "key.retired")


def compromised(ledger: Ledger, keyring: Keyring, vkey: str, since: str) -> Life:
    """Declare a key to be in other hands since a time (UTC text); one that is in use is followed by a new one first.

    Raises UsageError for a key that is not in this log.
    """
    if _known(ledger, vkey).vkey in _in_use(keyring):
        rotate(ledger, keyring, _known(ledger, vkey).role)
    life = _known(ledger, vkey)
    _refuse_in_use(ledger, keyring, life)
    return _end(ledger, keyring, life, "key.compromised", since)


def make_recovery(ledger: Ledger, keyring: Keyring, out: Path) -> VerifierKey:
    """Make the offline key: its private half only in `out`, its public half in the log, signed by the log's key.

    Raises UsageError for a file that is there and holds anything but this log's recovery key.
    """
    name = f"{keyring.origin}/recovery"
    if not out.exists():
        write_key(out, SigningKey.generate(name))
    try:
        recovery = read_key(out)
    except LedgerUnavailableError as error:
        raise UsageError(f"{out} is there already", next="give another name") from error
    if recovery.name != name:
        raise UsageError(f"{out} is the key of {recovery.name}", next="give another name")
    if ledger.keys().find(recovery.vkey) is None:
        body = {"role": "recovery", "vkey": recovery.vkey}
        _append(ledger, keyring, "key.added", body, keyring.log, recovery)
    return recovery.verifier


def recover(ledger: Ledger, keyring: Keyring, recovery: SigningKey) -> VerifierKey:
    """Let a new log key follow the newest one of the log, signed by a recovery key: the old may be lost or stolen.

    Raises UsageError for a key that is no recovery key of this log.
    """
    ledger.catch_up()
    if recovery.vkey not in {life.vkey for life in ledger.keys().active("recovery")}:
        raise UsageError(f"{recovery.vkey} is no recovery key of the log in this store", next=_LIST)
    return rotate(ledger, keyring, "log", by=recovery)


def _append(
    ledger: Ledger, keyring: Keyring, type_: str, body: Mapping[str, Any], by: SigningKey, new: SigningKey
) -> None:
    """Append an entry whose signatures name its index; when others took that one meanwhile, sign for the next."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        index = ledger.next_index
        try:
            ledger.append(type_, keyring.origin, sign_body(type_, keyring.origin, index, body, by, new))
        except EntryError as error:
            if ledger.next_index == index:
                raise
            if time.monotonic() > deadline:
                raise LedgerUnavailableError(
                    "others append too fast to sign for the next index", next="try again when it is quiet"
                ) from error
        else:
            return


def _end(ledger: Ledger, keyring: Keyring, life: Life, type_: str, since: str = "") -> Life:
    """Enter the end of a key, once; a compromise also of a key that was retired before."""
    _refuse_elsewhere(keyring, life.role)
    own = life.key if life.role == "log" else None
    if own:
        keyring.silence(own)
    if life.until is None or since not in {"", life.since}:
        body = {"role": life.role, "vkey": life.vkey}
        ledger.append(type_, keyring.origin, body | {"since": since} if since else body)
    if own:
        keyring.forget(own)
    return _known(ledger, life.vkey)


def _refuse_elsewhere(keyring: Keyring, role: str) -> None:
    if role == "log" and not keyring.holds_log:
        raise UsageError("the log's key is not in this home, but with its signer", next="change it there")


def _refuse_in_use(ledger: Ledger, keyring: Keyring, life: Life) -> None:
    last = life.role in {"log", "collector"} and len(ledger.keys().active(life.role)) == 1
    if life.until is None and (last or life.vkey in _in_use(keyring)):
        raise UsageError(
            f"{life.vkey} is the {life.role} key in use", next=f"akashi ledger keys rotate --role {life.role}"
        )


def _in_use(keyring: Keyring) -> set[str]:
    return {keyring.collector.vkey, keyring.verifiers[0].vkey}


def _known(ledger: Ledger, vkey: str) -> Life:
    try:
        public_half(vkey)
    except NoteError as error:
        raise UsageError(f"{vkey} is no vkey: {error.detail}", next=_LIST) from error
    life = ledger.keys().find(vkey)
    if life is None:
        raise UsageError(f"{vkey} is no key of this log", next=_LIST)
    return life
