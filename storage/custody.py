"""What a person does with captures: side record, effect in the store, ledger entry, in this order.

A kill, or a store that fails, between any two of them is finished by the same command again: it finds
in the ledger what was entered and in the store what was done, does the rest, and enters it once. A
side record that is left without an entry stays, and the audit says what it tells of.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeAlias

from evidence import custody as types
from evidence.canonical import plain, utc
from evidence.custody import Custody, encode_record, parse_record, places, same_person
from evidence.digests import Digests, digest_bytes
from evidence.entry import CUSTODY, Entry, digests_of
from evidence.errors import CheckFailedError, CustodyError
from evidence.identifiers import new_ulid
from storage.archive import Archive
from storage.files import locked
from storage.objects import ObjectHead
from storage.s3_lock import refuse_locked, refuse_shorter

_NEXT: Final = {
    "custody-held": "akashi release CAPTURE --reason R",
    "custody-quarantined": "akashi quarantine CAPTURE --clear --reason R",
    "custody-no-request": "akashi erase CAPTURE --reason R --authority ORDER",
    "custody-one-person": "let another person confirm it: akashi erase CAPTURE --confirm --operator NAME --reason R",
}
_AUDIT: Final = "run `akashi audit`"
Places: TypeAlias = "list[dict[str, str]]"
"""Objects by key and version."""
_TELLS: Final = "akashi show CAPTURE tells its custody"


@dataclass(frozen=True, slots=True)
class Act:
    """What stands now: the entry that says so, and the objects as read back from the store."""

    entry: Entry
    objects: list[ObjectHead] = field(default_factory=list)
    new: bool = True
    """Whether this call appended the entry; else it stood already, and nothing was left to do."""


@dataclass(frozen=True, slots=True)
class Custodian:
    """One person's acts in one archive; `actor` is an operator's facts, `authority` an order or legal basis.

    Each takes a whole capture id and raises CustodyError for what custody refuses,
    StoreUnavailableError and LedgerUnavailableError for what is to be tried again.
    """

    archive: Archive
    actor: Mapping[str, str]
    reason: str
    authority: str = ""

    def hold(self, capture: str) -> Act:
        """Put a legal hold on every object: nobody can delete them until it is released."""
        set_hold = partial(self.archive.store.set_hold, on=True)
        return self._lock(capture, types.HELD, lambda head: head.legal_hold, set_hold)

    def release(self, capture: str) -> Act:
        """Take the legal hold off; what retention there is stays."""
        set_hold = partial(self.archive.store.set_hold, on=False)
        return self._lock(capture, types.RELEASED, lambda head: not head.legal_hold, set_hold)

    def retain(self, capture: str, until: datetime) -> Act:
        """Lock every object at least until then (whole seconds); a lock is never made shorter."""
        until = until.astimezone(UTC).replace(microsecond=0)

        def is_retained(head: ObjectHead) -> bool:
            refuse_shorter(head, until)
            return head.retain_until == until

        extend = partial(self.archive.store.retain, until=until)
        return self._lock(capture, types.RETAINED, is_retained, extend, until=utc(until))

    def quarantine(self, capture: str) -> Act:
        """From now on nobody is shown or given what the capture holds."""
        return self._state(capture, types.QUARANTINED)

    def clear(self, capture: str) -> Act:
        """End the quarantine."""
        return self._state(capture, types.CLEARED)

    def request_erasure(self, capture: str) -> Act:
        """The first of two persons: file the request, with its legal basis; nothing is deleted."""
        return self._state(capture, types.REQUESTED)

    def confirm_erasure(self, capture: str) -> Act:
        """The second person: delete WARC and manifest, in exactly the versions that were entered; keep the entries.

        Raises CheckFailedError if other versions, which no entry names, are left under a key.
        """
        with self._alone(capture) as custody:
            requested, erased = custody.standing(types.REQUESTED), custody.standing(types.ERASED)
            if erased:
                return Act(erased, new=False)
            if requested is None:
                raise _refusal("custody-no-request", "nobody has requested this erasure")
            if same_person(record_of(self.archive, requested), {"actor": self.actor}):
                raise _refusal("custody-one-person", f"{self.actor['name']} requested this erasure")
            for head in self._heads(custody):
                if head is not None:  # else it is gone: an attempt before this one came so far
                    refuse_locked(head, datetime.now(UTC))
            return self._enter(custody, types.ERASED, capture, effect=self._erase, request=requested.index)

    def accessed(self, capture: str, how: str) -> Act:
        """Enter that the capture is about to be shown (`view`) or handed out (`download`): before it is."""
        with self._alone(capture) as custody:
            return self._enter(custody, types.ACCESSED, capture, how=how)

    def exported(self, capture: str, bundle: Digests, recipient: str) -> Act:
        """Enter that the capture goes out in a bundle, named by the digests of its tagmanifest-sha256.txt."""
        return self._state(capture, types.EXPORTED, {"recipient": recipient}, bundle=bundle.as_json())

    def transferred(self, capture: str, recipient: str) -> Act:
        """Enter that the capture, or a medium that holds it, was handed over."""
        return self._state(capture, types.TRANSFERRED, {"recipient": recipient})

    @contextmanager
    def _alone(self, capture: str) -> Iterator[Custody]:
        """One act at a time on this machine, on the state that the ledger has by then."""
        with locked(self.archive.settings.home.root / "custody.lock"):
            yield Custody.of(self.archive.ledger.entries_of(capture))

    def _heads(self, custody: Custody) -> list[ObjectHead | None]:
        """What the store says of each of the capture's objects."""
        at = places(custody.closed) if custody.closed else []
        return [self.archive.store.head(item["key"], item["version"]) for item in at]

    def _lock(
        self,
        capture: str,
        kind: str,
        is_done: Callable[[ObjectHead], bool],
        do: Callable[[str, str], ObjectHead],
        **facts: Any,
    ) -> Act:
        """Do it to every object and enter it, unless ledger and store both say so already."""
        with self._alone(capture) as custody:
            before, heads = custody.standing(kind), self._heads(custody)
            there = [head for head in heads if head is not None]
            if len(there) != len(heads):
                raise CheckFailedError(f"objects of {capture} are gone", rule="object-missing", next=_AUDIT)
            done = [is_done(head) for head in there]
            if before and all(done) and all(before.body[name] == facts[name] for name in facts):
                return Act(before, there, new=False)

            def effect(objects: Places) -> list[ObjectHead]:
                return [do(item["key"], item["version"]) for item in objects]

            return self._enter(custody, kind, capture, effect=effect, **facts)

    def _erase(self, objects: Places) -> list[ObjectHead]:
        for item in objects:
            self.archive.store.erase(item["key"], item["version"])
            if left := self.archive.store.versions(item["key"]):
                raise CheckFailedError(
                    f"other versions of {item['key']} are left, which no entry names: {', '.join(left)}",
                    rule="object-versions",
                    next="run `akashi audit`; remove them by hand; repeat this command",
                )
        return []

    def _state(self, capture: str, kind: str, details: Mapping[str, str] | None = None, **facts: Any) -> Act:
        """Enter it, unless it stands; with details only the very same does: then an answer was lost."""
        with self._alone(capture) as custody:
            before = custody.standing(kind)
            same = before is not None and all(before.body[name] == facts[name] for name in facts)
            if before and same and (not details or self._said(before, details)):
                return Act(before, new=False)
            return self._enter(custody, kind, capture, details=details, **facts)

    def _said(self, entry: Entry, details: Mapping[str, str]) -> bool:
        """Whether the same person has said the same in the entry's side record."""
        said, now = record_of(self.archive, entry), self._record(entry.subject, entry.type, details)
        return said | {"time": "", "salt": ""} == now | {"time": "", "salt": ""}

    def _enter(
        self,
        custody: Custody,
        kind: str,
        capture: str,
        *,
        effect: Callable[[Places], list[ObjectHead]] | None = None,
        details: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> Act:
        if kind in types.OF_OBJECTS and custody.closed:
            facts["objects"] = places(custody.closed)
        for rule, what in custody.broken(kind, facts):
            raise _refusal(rule, what)
        data = encode_record(self._record(capture, kind, details or {}))
        key = f"{types.PREFIX}{datetime.now(UTC):%Y/%m/%d}/{new_ulid()}.json"
        stored = self.archive.store.put_once(key, data, digest_bytes(data), content_type="application/json")
        heads = effect(facts["objects"]) if effect else []
        record = {"key": key, "version": stored.version, **stored.digests.as_json()}
        appended = self.archive.ledger.append(kind, capture, {"record": record, **facts})
        return Act(Entry.decode(appended.entry), heads)

    def _record(self, capture: str, kind: str, details: Mapping[str, str]) -> dict[str, Any]:
        words = {"actor": self.actor, "authority": self.authority, "details": details, "reason": self.reason}
        said: Any = plain(words)  # a command line may hold what is no text
        salt, now = secrets.token_hex(16), utc(datetime.now(UTC))
        return {**said, "capture": capture, "salt": salt, "time": now, "type": kind, "v": 1}


def record_of(archive: Archive, entry: Entry) -> dict[str, Any]:
    """The side record of a custody entry. Raises CheckFailedError if it is gone or another."""
    item = entry.body["record"]
    try:
        data = archive.store.read(item["key"], item["version"] or None)
    except FileNotFoundError as error:
        raise CheckFailedError(f"{item['key']} is gone", rule="object-missing", next=_AUDIT) from error
    if digest_bytes(data) != digests_of(item):
        raise CheckFailedError(
            f"{item['key']} is not what entry {entry.index} names",
            rule="object-digest",
            next=_AUDIT,
        )
    return parse_record(data)


def history(archive: Archive, entries: list[Entry]) -> list[dict[str, Any]]:
    """For each custody entry its index, type, time, facts and side record (null, and `error`, where it is gone)."""
    told = []
    for entry in entries:
        if entry.type not in CUSTODY:
            continue
        facts = {name: value for name, value in entry.body.items() if name not in {"record", "objects"}}
        document = {"entry": entry.index, "type": entry.type, "time": entry.time, **facts}
        try:
            document["record"] = record_of(archive, entry)
        except CheckFailedError as error:
            document |= {"record": None, "error": error.detail}
        told.append(document)
    return told


def _refusal(rule: str, what: str) -> CustodyError:
    return CustodyError(what, rule=rule, next=_NEXT.get(rule, _TELLS))
