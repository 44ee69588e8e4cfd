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
from typing import Any, Final

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
from storage.s3_lock import refuse_locked

_NEXT: Final = {
    "custody-held": "akashi release CAPTURE --reason R",
    "custody-quarantined": "akashi quarantine CAPTURE --clear --reason R",
    "custody-no-request": "akashi erase CAPTURE --reason R --authority ORDER",
    "custody-one-person": "let another person confirm it: akashi erase CAPTURE --confirm --operator NAME --reason R",
}
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
        with self._alone(capture) as custody:
            heads = self._heads(custody)
            if custody.held and all(head.legal_hold for head in heads):
                return Act(custody.held, heads, new=False)
            return self._lock(
                capture,
                custody,
                types.HELD,
                lambda key, version: self.archive.store.set_hold(key, version, on=True),
            )

    def release(self, capture: str) -> Act:
        """Take the legal hold off; what retention there is stays."""
        with self._alone(capture) as custody:
            heads, before = self._heads(custody), custody.latest.get(types.RELEASED)
            if before and not custody.held and not any(head.legal_hold for head in heads):
                return Act(before, heads, new=False)
            return self._lock(
                capture,
                custody,
                types.RELEASED,
                lambda key, version: self.archive.store.set_hold(key, version, on=False),
            )

    def retain(self, capture: str, until: datetime) -> Act:
        """Lock every object at least until then; a lock is never made shorter."""
        until = until.astimezone(UTC).replace(microsecond=0)
        with self._alone(capture) as custody:
            heads = self._heads(custody)
            ends = [head.retain_until for head in heads if head.retain_until is not None]
            if any(end > until for end in ends):
                raise _refusal(
                    "custody-shortened",
                    f"it is locked until {utc(max(ends))}, and a lock is only made longer",
                )
            if (
                custody.retained
                and custody.until == utc(until)
                and len(ends) == len(heads)
                and set(ends) <= {until}
            ):
                return Act(custody.retained, heads, new=False)
            return self._lock(
                capture,
                custody,
                types.RETAINED,
                lambda key, version: self.archive.store.retain(key, version, until),
                until=utc(until),
            )

    def quarantine(self, capture: str) -> Act:
        """From now on nobody is shown or given what the capture holds."""
        with self._alone(capture) as custody:
            if custody.quarantined:
                return Act(custody.quarantined, new=False)
            return self._enter(capture, custody, types.QUARANTINED)

    def clear(self, capture: str) -> Act:
        """End the quarantine."""
        with self._alone(capture) as custody:
            before = custody.latest.get(types.CLEARED)
            if before and not custody.quarantined:
                return Act(before, new=False)
            return self._enter(capture, custody, types.CLEARED)

    def request_erasure(self, capture: str) -> Act:
        """The first of two persons: file the request, with its legal basis; nothing is deleted."""
        with self._alone(capture) as custody:
            if custody.requested:
                return Act(custody.requested, new=False)
            return self._enter(capture, custody, types.REQUESTED, **_objects(custody))

    def confirm_erasure(self, capture: str) -> Act:
        """The second person: delete WARC and manifest, in exactly the versions that were entered; keep the entries.

        Raises CheckFailedError if other versions, which no entry names, are left under a key.
        """
        with self._alone(capture) as custody:
            if custody.erased:
                return Act(custody.erased, new=False)
            if custody.requested is None:
                raise _refusal("custody-no-request", "nobody has requested this erasure")
            if same_person(record_of(self.archive, custody.requested), {"actor": self.actor}):
                raise _refusal("custody-one-person", f"{self.actor['name']} requested this erasure")
            for head in self._heads(custody):
                refuse_locked(head, datetime.now(UTC))
            facts = _objects(custody) | {"request": custody.requested.index}
            return self._enter(capture, custody, types.ERASED, effect=lambda: self._erase(custody), **facts)

    def accessed(self, capture: str, how: str) -> Act:
        """Enter that the capture is about to be shown (`view`) or handed out (`download`): before it is."""
        with self._alone(capture) as custody:
            return self._enter(capture, custody, types.ACCESSED, how=how)

    def exported(self, capture: str, bundle: Digests, recipient: str) -> Act:
        """Enter that the capture goes out in a bundle, named by the digests of its tagmanifest-sha256.txt."""
        with self._alone(capture) as custody:
            return self._once(capture, custody, types.EXPORTED, recipient, bundle=bundle.as_json())

    def transferred(self, capture: str, recipient: str) -> Act:
        """Enter that the capture, or a medium that holds it, was handed over."""
        with self._alone(capture) as custody:
            return self._once(capture, custody, types.TRANSFERRED, recipient)

    @contextmanager
    def _alone(self, capture: str) -> Iterator[Custody]:
        """One act at a time on this machine, on the state that the ledger has by then."""
        with locked(self.archive.settings.home.root / "custody.lock"):
            yield Custody.of(self.archive.ledger.entries_of(capture))

    def _heads(self, custody: Custody) -> list[ObjectHead]:
        """What the store says of the capture's objects; those that are gone are left out."""
        at = _objects(custody)["objects"]
        heads = [self.archive.store.head(item["key"], item["version"]) for item in at]
        return [head for head in heads if head is not None]

    def _lock(
        self,
        capture: str,
        custody: Custody,
        kind: str,
        effect: Callable[[str, str], ObjectHead],
        **facts: Any,
    ) -> Act:
        facts |= _objects(custody)
        return self._enter(
            capture,
            custody,
            kind,
            effect=lambda: [effect(item["key"], item["version"]) for item in facts["objects"]],
            **facts,
        )

    def _erase(self, custody: Custody) -> list[ObjectHead]:
        store = self.archive.store
        for item in _objects(custody)["objects"]:
            store.erase(item["key"], item["version"])
            if left := store.versions(item["key"]):
                raise CheckFailedError(
                    f"other versions of {item['key']} are left, which no entry names: {', '.join(left)}",
                    rule="object-versions",
                    next="run `akashi audit`; remove them by hand; repeat this command",
                )
        return []

    def _once(self, capture: str, custody: Custody, kind: str, recipient: str, **facts: Any) -> Act:
        """Enter it, unless the newest entry of this type says the very same: then the answer was lost."""
        details, before = {"recipient": recipient}, custody.latest.get(kind)
        if before and {**before.body, **facts} == before.body:
            said, now = record_of(self.archive, before), self._record(capture, kind, details)
            if {**said, "time": "", "salt": ""} == {**now, "time": "", "salt": ""}:
                return Act(before, new=False)
        return self._enter(capture, custody, kind, details=details, **facts)

    def _enter(
        self,
        capture: str,
        custody: Custody,
        kind: str,
        *,
        effect: Callable[[], list[ObjectHead]] = list,
        details: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> Act:
        for rule, what in custody.broken(kind, facts):
            raise _refusal(rule, what)
        data = encode_record(self._record(capture, kind, details or {}))
        key = f"{types.PREFIX}{datetime.now(UTC):%Y/%m/%d}/{new_ulid()}.json"
        stored = self.archive.store.put_once(key, data, digest_bytes(data), content_type="application/json")
        heads = effect()
        record = {"key": key, "version": stored.version, **stored.digests.as_json()}
        appended = self.archive.ledger.append(kind, capture, {"record": record, **facts})
        return Act(Entry.decode(appended.entry), heads)

    def _record(self, capture: str, kind: str, details: Mapping[str, str]) -> dict[str, Any]:
        document: Any = plain(  # a command line may hold what is no text
            {
                "actor": dict(self.actor),
                "authority": self.authority,
                "capture": capture,
                "details": details,
                "reason": self.reason,
                "type": kind,
            }
        )
        return dict(document) | {"salt": secrets.token_hex(16), "time": utc(datetime.now(UTC)), "v": 1}


def record_of(archive: Archive, entry: Entry) -> dict[str, Any]:
    """The side record of a custody entry. Raises CheckFailedError if it is gone or another."""
    item = entry.body["record"]
    try:
        data = archive.store.read(item["key"], item["version"] or None)
    except FileNotFoundError as error:
        raise CheckFailedError(
            f"{item['key']} is gone", rule="object-missing", next="run `akashi audit`"
        ) from error
    if digest_bytes(data) != digests_of(item):
        raise CheckFailedError(
            f"{item['key']} is not what entry {entry.index} names",
            rule="object-digest",
            next="run `akashi audit`",
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


def _objects(custody: Custody) -> dict[str, Any]:
    return {"objects": places(custody.closed) if custody.closed else []}


def _refusal(rule: str, what: str) -> CustodyError:
    return CustodyError(what, rule=rule, next=_NEXT.get(rule, _TELLS))
