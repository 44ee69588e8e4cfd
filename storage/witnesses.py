"""Our checkpoints, cosigned by others: every witness of the policy is asked, what it signs is kept.

    ask     all witnesses that have a URL and have not cosigned this checkpoint, side by side
    put     ledger/anchors/<size, 20 digits>/witness-<key id, 8 hex>    the line, create-only
    put     ledger/checkpoint          the pointer, with all lines that verify; as ever, never trusted

A witness that cannot be reached is asked by the next run; nothing is queued that could be lost, since the
store tells who has cosigned. One that holds what our log does not contain says that our log was forked or
rolled back, or that somebody else signs with our key: that is an alarm.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key, parse_checkpoint
from evidence.cosignature import Cosignature, CosignerKey, cosignature_key, cosignatures
from evidence.digests import digest_bytes
from evidence.errors import (
    NoteError,
    ObjectConflictError,
    UnreachableError,
    UsageError,
)
from evidence.note import MAX_NOTE, VerifierKey
from evidence.policy import Judgement, Known, Policy
from evidence.witness import CONFLICT, OK, UNPROCESSABLE, Submission
from storage.archive import Archive
from storage.http import post
from storage.objects import ObjectStore
from storage.settings import Settings

SECONDS: Final = 15.0
"""For a witness to answer a person who asked."""
SECONDS_AT_END: Final = 3.0
"""The same at the end of a run, which nothing may hold up."""
AHEAD: Final = 300
"""Seconds by which a witness's clock may be before ours."""
COSIGNED, REFUSED, UNREACHABLE, ALARM = "cosigned", "refused", "unreachable", "alarm"

_ROUNDS: Final = 3
"""From nothing, then from the size that it holds, and once more if another run came between."""
_SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_TEXT: Final = "text/plain; charset=utf-8"


class Outcome(NamedTuple):
    """What came of one witness, by the policy's name for it: one of the four states, and why."""

    name: str
    state: str
    detail: str
    cosignature: Cosignature | None = None


class Round(NamedTuple):
    """All outcomes over one checkpoint, and what the policy says of it now."""

    outcomes: tuple[Outcome, ...]
    judgement: Judgement


class _AlarmError(Exception):
    """What a witness holds contradicts our log."""


def load_policy(settings: Settings) -> Policy | None:
    """The policy that `ledger_policy` names, None if it names none. Raises UsageError, PolicyError."""
    if not settings.ledger_policy:
        return None
    try:
        return Policy.parse(Path(settings.ledger_policy).expanduser().read_bytes())
    except OSError as error:
        raise UsageError(f"ledger_policy: {error}", next="correct ledger_policy") from error


def cosign(archive: Archive, policy: Policy, seconds: float = SECONDS) -> Round:
    """Ask about the newest checkpoint, and keep what was cosigned; `seconds` is for each exchange.

    Raises UsageError for a policy that does not name our log or has a malformed URL,
    StoreUnavailableError, LedgerUnavailableError; a witness that fails is an outcome.
    """
    vkeys = archive.keyring.verifiers
    if policy.logs and not any(key in policy.logs for key in vkeys):
        raise UsageError("ledger_policy does not name our log", next=f"add the line: log {vkeys[0].vkey}")
    checkpoint, note = archive.newest()
    asker = _Asker(archive, note, checkpoint, seconds)
    witnesses = policy.witnesses.items()
    with ThreadPoolExecutor(max(1, len(witnesses))) as pool:
        outcomes = tuple(filter(None, pool.map(lambda item: asker.outcome(*item), witnesses)))
    whole = note + "".join(one.cosignature.line for one in outcomes if one.cosignature).encode()
    _point(archive.store, checkpoint, whole, vkeys)
    return Round(outcomes, policy.judge(whole, vkeys))


def cosign_at_end(archive: Archive) -> str:
    """`cosign` at the end of a run, in one line; empty if all is well or no witness is set.

    Raises AkashiError likewise; whoever ends a run tells it, and ends as it would have ended.
    """
    policy = load_policy(archive.settings)
    if policy is None or not any(known.url for known in policy.witnesses.values()):
        return ""
    outcomes, judgement = cosign(archive, policy, SECONDS_AT_END)
    bad = sorted((one for one in outcomes if not one.cosignature), key=lambda one: one.state != ALARM)
    if not bad or (judgement.met and bad[0].state != ALARM):
        return ""
    first = f"{bad[0].name}: {bad[0].detail}"
    what = (
        "ALARM, a witness contradicts the ledger"
        if bad[0].state == ALARM
        else "the ledger waits for witnesses"
    )
    return f"{what}: {first}; next: akashi ledger witness"


class _Asker:
    """Asks about one checkpoint; threads share it."""

    def __init__(self, archive: Archive, note: bytes, checkpoint: Checkpoint, seconds: float) -> None:
        self.checkpoint = checkpoint
        self._archive, self._note, self._seconds = archive, note, seconds

    def outcome(self, name: str, witness: Known) -> Outcome | None:
        """What came of a witness; None of one that has no URL, and of which nothing is stored."""
        try:
            found = self._stored(witness.key)
            if found:
                return Outcome(name, COSIGNED, "already", found)
            if not witness.url:
                return None
            return Outcome(name, COSIGNED, "now", self._keep(self._ask(witness)))
        except _AlarmError as error:
            return Outcome(name, ALARM, str(error))
        except UnreachableError as error:
            return Outcome(name, UNREACHABLE, f"{error.detail}; {error.next}" if error.next else error.detail)
        except NoteError as error:
            return Outcome(name, REFUSED, error.detail)

    def _ask(self, witness: Known) -> Cosignature:
        old, size = 0, self.checkpoint.size
        for _ in range(_ROUNDS):
            path = self._archive.ledger.tiles.consistency(old, size)
            status, body = post(
                f"{witness.url.rstrip('/')}/add-checkpoint",
                Submission(old, tuple(path), self._note).encode(),
                content_type="text/plain; charset=utf-8",
                timeout=self._seconds,
                limit=MAX_NOTE,
                allow_private=self._archive.settings.ledger_allow_private,
            )
            held = _SIZE.fullmatch(body) if status == CONFLICT else None
            if status == OK:
                return self._verified(body, witness.key)
            if held is None or int(held[1]) == old:
                break
            old = int(held[1])
            if old > size:
                raise self._ahead(old)
        else:
            raise NoteError("it holds another size each time that it is asked", rule="witness")
        said = f"{status}: {body[:200].decode('utf-8', 'replace').strip()!r}"
        if status in {CONFLICT, UNPROCESSABLE}:
            raise _AlarmError(f"it does not find our size {size} to continue what it saw before ({said})")
        raise NoteError(f"it answers {said}", rule="witness")

    def _ahead(self, size: int) -> Exception:
        """What it means that a witness holds a larger tree than ours."""
        if self._archive.store.head(checkpoint_key(size)):
            return NoteError(f"another run had size {size} cosigned meanwhile", rule="witness")
        return _AlarmError(f"it has seen our log at size {size}; here it ends at {self.checkpoint.size}")

    def _verified(self, lines: bytes, key: CosignerKey) -> Cosignature:
        found = cosignatures(self._note + lines, [key], latest=int(time.time()) + AHEAD)
        if not found:
            raise NoteError(f"it did not cosign with {key.vkey}", rule="witness")
        return found[0]

    def _stored(self, key: CosignerKey) -> Cosignature | None:
        """The line that is in the store. Raises _AlarmError for one that was changed there."""
        name = cosignature_key(self.checkpoint.size, key)
        try:
            return self._verified(self._archive.store.read(name), key)
        except FileNotFoundError:
            return None
        except NoteError as error:
            raise _AlarmError(f"{name} is in the store, but {error.detail}") from error

    def _keep(self, found: Cosignature) -> Cosignature:
        """The cosignature that is in the store from here on: an earlier one, if another run was quicker."""
        data = found.line.encode()
        try:
            self._archive.store.put_once(
                cosignature_key(self.checkpoint.size, found.key), data, digest_bytes(data), content_type=_TEXT
            )
        except ObjectConflictError:
            return self._stored(found.key) or found
        return found


def _point(store: ObjectStore, checkpoint: Checkpoint, whole: bytes, vkeys: Sequence[VerifierKey]) -> None:
    """Let the pointer carry the cosignatures, unless it leads further by now."""
    try:
        now = store.read(POINTER)
        if now == whole or parse_checkpoint(now, vkeys).size > checkpoint.size:
            return
    except (FileNotFoundError, NoteError):
        pass  # it was lost or changed, which matters to nobody: here is a good one
    store.replace(POINTER, whole)
