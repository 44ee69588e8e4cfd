"""Which key of which role was good for which entry: the log's own word, as far as signatures carry it.

    entry     0 log.opened K0    4 key.rotated K0 → K1    9 key.retired K0    12 key.compromised K1 since T
    K0        ●─────────────────────────────────────────○
    K1                           ●──────────────────────────────────────────○  and what it signed counts
    K2                                     (rotated at 11)        ●──────────   only if shown to be before T

A key is good for entry i from the entry that named it up to the one before its retirement. A
checkpoint of N entries is signed by log keys that were good for entry N - 1.

A verifier begins with a log key that he trusts, not with what the archive says. From there trust
goes back to the key before, since the new key accepted (evidence/key_entry.py), and on to the next
one, since the old key or a recovery key signed; not by the signature of a compromised key, unless a
time from outside shows it to be older than the compromise. Of a log that was opened with a stranger's
key, nothing is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from evidence.checkpoint import Checkpoint, parse_checkpoint
from evidence.entry import Entry
from evidence.errors import EntryError, NoteError
from evidence.key_entry import is_by, public_half
from evidence.note import VerifierKey, split_note

Outside: TypeAlias = Callable[[int], str | None]
"""By number of entries: a time (UTC text) by which others show that they existed, by token or cosignature, or None."""
_SIGNING: Final = ("log", "collector")
"""The roles that always have a key."""


def anchored(times: Iterable[tuple[int, str]]) -> Outside:
    """The outside times of a log of which so many entries were seen at such times: what was seen contains what was before."""
    known = sorted(times)
    return lambda size: min((time for seen, time in known if seen >= size), default=None)


@dataclass(eq=False, slots=True)
class Life:
    """One key from the entry that named it (-1: the verifier did) to the one that ended it."""

    role: str
    vkey: str
    added: int
    until: int | None = None
    since: str = ""
    """From when on it was in other hands; empty: as far as is known, never."""

    @property
    def key(self) -> VerifierKey:
        """The key itself, unless it is a witness's."""
        return _parsed(self.vkey)

    def good(self, index: int) -> bool:
        """Whether it was good for the entry of this index."""
        return self.added <= index and (self.until is None or index < self.until)


class _Link(NamedTuple):
    at: int
    by: Life
    old: Life
    new: Life


class KeyHistory:
    """The keys of one log, entry by entry; `broken` holds the entries that contradict those before them."""

    def __init__(self, trusted: Sequence[VerifierKey] = (), outside: Outside | None = None) -> None:
        self._trusted, self.outside = tuple(trusted), outside
        self._links: list[_Link] = []
        self._adder: dict[str, Life] = {}
        self._log: list[Life] | None = None
        self.lives: list[Life] = []
        self.broken: list[tuple[Entry, EntryError]] = []

    @classmethod
    def of(
        cls, entries: Iterable[Entry], trusted: Sequence[VerifierKey] = (), outside: Outside | None = None
    ) -> KeyHistory:
        """The history that these entries tell, in their order; those about other things are passed over."""
        history = cls(trusted, outside)
        for entry in entries:
            history.follow(entry)
        return history

    def follow(self, entry: Entry) -> None:
        """Take the next entry; one that contradicts those before it changes nothing and is in `broken`."""
        if entry.type == "log.opened" or entry.type.startswith("key."):
            try:
                self._take(entry)
            except EntryError as error:
                self.broken.append((entry, error))
            self._log = None

    def active(self, role: str, index: int | None = None) -> list[Life]:
        """The keys that were good for an entry, newest first; by default for one that would come now."""
        found = [
            life
            for life in self.lives
            if life.role == role and (life.until is None if index is None else life.good(index))
        ]
        return found[::-1]

    def find(self, vkey: str) -> Life | None:
        """The life of a key, whatever its role and name."""
        public = public_half(vkey)
        return next((life for life in self.lives if public_half(life.vkey) == public), None)

    def counts(self, life: Life, size: int) -> bool:
        """Whether a signature over the first `size` entries was made while the key was in its owner's hands."""
        before = self.outside(size) if life.since and self.outside else None
        return not life.since or (before is not None and before < life.since)

    def trusts(self, key: VerifierKey) -> bool:
        """Whether this log key is reached from one that the verifier trusts."""
        return any(life.key == key for life in self._reached())

    def checkpoint(self, data: bytes, *, even_doubted: bool = False) -> Checkpoint:
        """The checkpoint of this note, signed by log keys that were good for it, and by no other of the log's.

        Raises NoteError: the rules of `parse_checkpoint`; `checkpoint-signer` for one signed by a key that was
        not yet, or no longer, good; unless `even_doubted`, `key-compromised` if a thief alone may have signed it.
        """
        lives = self._reached()
        checkpoint = parse_checkpoint(data, [life.key for life in lives])
        size, signers = checkpoint.size, list(_signers(data, lives))
        for life in signers:
            if not life.good(max(size - 1, 0)):
                named = f"named by entry {life.added}, ended by {life.until}: {life.vkey}"
                raise NoteError(f"size {size} is signed by a key {named}", rule="checkpoint-signer")
        if not even_doubted and not any(self.counts(life, size) for life in signers):
            what = f"signed by a key compromised since {signers[0].since}, and not shown to be older"
            raise NoteError(what, rule="key-compromised")
        return checkpoint

    def _reached(self) -> list[Life]:
        """The log keys that follow from the trusted ones; all of this log's if none was given."""
        if self._log is not None:
            return self._log
        own = [life for life in self.lives if life.role == "log"]
        strange = [
            Life("log", key.vkey, -1) for key in self._trusted if key not in [life.key for life in own]
        ]
        reached = [life for life in own if not self._trusted or life.key in self._trusted]
        grown = True
        while grown:
            grown = False
            for link in self._links:
                ends = {link.old: link.new in reached, link.new: self._carries(link, reached)}
                for life, follows in ends.items():
                    if follows and life not in reached:
                        reached.append(life)
                        grown = True
        self._log = reached + strange
        return self._log

    def _carries(self, link: _Link, reached: list[Life]) -> bool:
        """Whether the signature under a rotation makes the new key trusted."""
        adder = self._adder.get(link.by.vkey, link.by)  # of a recovery key, the log key that signed it in
        return (
            adder in reached
            and self.counts(link.by, link.at + 1)
            and (adder is link.by or self.counts(adder, link.by.added + 1))
        )

    def _take(self, entry: Entry) -> None:
        body, index = entry.body, entry.index
        if entry.type == "log.opened":
            if self.lives:
                raise EntryError("the log was opened before", rule="key-again")
            self._born(index, "log", body["vkey"])
        elif entry.type == "key.added":
            vouching = self.active("log") if "signature" in body else []
            adder = next((life for life in vouching if _is_by(entry, life)), None)
            if "signature" in body and adder is None:
                raise EntryError("no log key signed the recovery key in", rule="key-signature")
            self._born(index, body["role"], body["vkey"])
            if adder:
                self._adder[body["vkey"]] = adder
        elif entry.type == "key.rotated":
            old = self._living(body["role"], body["old"])
            by = next((life for life in (old, *self.active("recovery")) if _is_by(entry, life)), None)
            if by is None:
                raise EntryError("neither the old key nor a recovery key signed", rule="key-signature")
            new = self._born(index, body["role"], body["new"])
            if body["role"] == "log":
                self._links.append(_Link(index, by, old, new))
        else:
            self._end(entry)

    def _end(self, entry: Entry) -> None:
        role, since = entry.body["role"], entry.body.get("since", "")
        life = self._living(role, entry.body["vkey"], or_ended=bool(since))
        if role in _SIGNING and self.active(role) == [life]:
            raise EntryError(f"the last {role} key: another must follow it first", rule="key-last")
        if life.until is None:
            life.until = entry.index
        life.since = min(filter(None, (life.since, since)), default="")

    def _born(self, index: int, role: str, vkey: str) -> Life:
        if self.find(vkey) is not None:
            raise EntryError(f"{vkey} has, or had, a role already", rule="key-again")
        self.lives.append(Life(role, vkey, index))
        return self.lives[-1]

    def _living(self, role: str, vkey: str, *, or_ended: bool = False) -> Life:
        life = self.find(vkey)
        if life is None or (life.role, life.vkey) != (role, vkey) or not (or_ended or life.until is None):
            raise EntryError(f"{vkey} is no {role} key now", rule="key-unknown")
        return life


@lru_cache(maxsize=64)  # the same few keys are asked for with every checkpoint
def _parsed(vkey: str) -> VerifierKey:
    return VerifierKey.parse(vkey)


def _is_by(entry: Entry, life: Life) -> bool:
    document: Mapping[str, Any] = {
        "type": entry.type,
        "subject": entry.subject,
        "index": entry.index,
        "body": entry.body,
    }
    return is_by(document, "signature", life.vkey)


def _signers(data: bytes, lives: Iterable[Life]) -> Iterator[Life]:
    """Those whose lines stand in a note in which no known key's signature is bad."""
    named = {(line.name, line.key_id) for line in split_note(data)[1]}
    return (life for life in lives if (life.key.name, life.key.key_id) in named)
