"""Custody: what was done with a capture after it was closed, by whom and why, and what may be done when.

    custody/<yyyy>/<mm>/<dd>/<ulid>.json                the side record: canonical JSON, written once
    {"actor":{"host":"desk","method":"asserted","name":"Aiko","os_user":"aiko"},"authority":"",
     "capture":"01KAR5Q8Z41X7JQ9D2N6V0H3GT","details":{},"reason":"case K-17","salt":"<32 hex>",
     "time":"2026-11-23T08:13:00.123Z","type":"custody.held","v":1}
    custody.held {record: {key, version, sha256, sha512, size}, objects: [{key, version}…]}        the entry

A ledger never forgets, so its entry has digests and closed facts only. Names and reasons lie in the
side record, which the law can have erased; the salt keeps them from being guessed by the digest. The
record is stored first, then the thing is done, then the entry is appended: a record that no entry
names tells of what was begun.

`Custody` is the state that a capture's entries add up to, and knows what may not follow:

    custody-not-closed        the capture was not closed before
    custody-objects           other objects than those of the capture's closing entry
    custody-not-held          released without a hold
    custody-not-quarantined   cleared without a quarantine
    custody-quarantined       accessed or exported while in quarantine
    custody-shortened         retained until a time before the one that an entry names already
    custody-held              erasure requested, or done, while a hold is on
    custody-no-request        erased without naming the request that is open; a hold ends a request
    custody-one-person        erased by the operator who requested it (their side records say so)
    custody-erased            anything after the erasure
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from evidence.canonical import canonical, parse
from evidence.entry import CLOSING, CUSTODY, Entry
from evidence.errors import CanonicalError, CustodyError
from evidence.manifest_shape import OPERATOR
from evidence.shape import Hex32, Text, Ulid, Utc, one_of, require

PREFIX: Final = "custody/"
MAX_RECORD: Final = 1 << 20
"""Bytes of a side record: its texts are at most 65536 characters each."""
HELD, RELEASED, RETAINED = "custody.held", "custody.released", "custody.retained"
QUARANTINED, CLEARED = "custody.quarantined", "custody.cleared"
REQUESTED, ERASED = "custody.erasure-requested", "custody.erased"
ACCESSED, EXPORTED, TRANSFERRED = "custody.accessed", "custody.exported", "custody.transferred"
OF_OBJECTS: Final = frozenset({HELD, RELEASED, RETAINED, REQUESTED, ERASED})
"""The types whose entries name objects: all those of the closing entry."""
_ENDED_BY: Final = {
    HELD: (RELEASED,),
    RELEASED: (HELD,),
    QUARANTINED: (CLEARED,),
    CLEARED: (QUARANTINED,),
    REQUESTED: (HELD, ERASED),
}
_RECORD: Final = {
    "v": int,
    "type": one_of(*sorted(CUSTODY)),
    "capture": Ulid,
    "time": Utc,
    "actor": OPERATOR,
    "reason": str,  # empty only for what was accessed
    "authority": str,  # the order or legal basis; never empty for an erasure's request
    "details": {"recipient?": Text},  # of what was exported or transferred, and of nothing else
    "salt": Hex32,
}


def encode_record(document: Mapping[str, Any]) -> bytes:
    """The bytes of a side record. Raises CustodyError for what is none, CanonicalError likewise."""
    data = canonical(document)
    parse_record(data)
    return data


def parse_record(data: bytes) -> dict[str, Any]:
    """The side record of these bytes. Raises CustodyError (rule `custody-record`, field)."""
    try:
        document: Any = parse(data)
    except CanonicalError as error:
        raise CustodyError(
            f"not canonical: {error.detail}", rule="custody-record", offset=error.offset
        ) from error
    require(document, _RECORD, CustodyError, rule="custody-record")
    kind = document["type"]
    for broken, name, what in (
        (document["v"] != 1, "v", "is not known"),
        (kind != ACCESSED and not document["reason"].strip(), "reason", "is empty"),
        (kind == REQUESTED and not document["authority"].strip(), "authority", "is empty"),
        (
            ("recipient" in document["details"]) != (kind in {EXPORTED, TRANSFERRED}),
            "details",
            f"does not fit {kind}",
        ),
    ):
        if broken:
            raise CustodyError(f"{name}: {what}", rule="custody-record", field=name)
    return dict(document)


def same_person(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two side records name one operator: by name, whatever its width, case, points and (unseen) spaces."""
    names = (unicodedata.normalize("NFKC", record["actor"]["name"]).casefold() for record in (one, other))
    return len({"".join(c for c in name if unicodedata.category(c)[0] not in "CPZ") for name in names}) == 1


def places(ended: Entry) -> list[dict[str, str]]:
    """The `objects` of custody entries: key and version of everything that a closing entry names."""
    return [{"key": item["key"], "version": item["version"]} for item in ended.ended["objects"]]


@dataclass(slots=True)
class Custody:
    """One capture's custody after some of its entries."""

    closed: Entry | None = None
    """The entry that closed the capture."""
    latest: dict[str, Entry] = field(default_factory=dict)
    """The newest entry of each type."""

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """The state after a capture's entries, in order; those that break a rule count as they stand."""
        custody = cls()
        for entry in entries:
            custody.follow(entry)
        return custody

    def follow(self, entry: Entry) -> None:
        """Go on to the state after this entry."""
        self.latest[entry.type] = entry
        if entry.type in CLOSING:
            self.closed = self.closed or entry

    def standing(self, kind: str) -> Entry | None:
        """The newest entry of this type, unless one that ends it came after."""
        entry = self.latest.get(kind)
        enders = [self.latest[ender] for ender in _ENDED_BY.get(kind, ()) if ender in self.latest]
        return entry if entry and all(ender.index < entry.index for ender in enders) else None

    @property
    def marks(self) -> list[str]:
        """For people: which of `held`, `quarantined`, `erasure-requested`, `erased` apply."""
        return [
            kind.partition(".")[2] for kind in (HELD, QUARANTINED, REQUESTED, ERASED) if self.standing(kind)
        ]

    @property
    def until(self) -> str:
        """UTC text until which the objects are to stay locked, empty if no entry says so."""
        return str(self.latest[RETAINED].body["until"]) if RETAINED in self.latest else ""

    def broken(self, kind: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The rules that an entry of this type and body would break, each with a line on it."""
        held, erased, requested = (self.standing(one) for one in (HELD, ERASED, REQUESTED))
        quarantined = self.standing(QUARANTINED)
        if self.closed is None:
            yield "custody-not-closed", "the capture was not closed before"
        elif "objects" in body and body["objects"] != places(self.closed):
            yield (
                "custody-objects",
                f"other objects than those of entry {self.closed.index}, which closed the capture",
            )
        if erased:
            yield "custody-erased", f"the capture was erased: entry {erased.index}"
        if kind == RELEASED and not held:
            yield "custody-not-held", "no hold is on this capture"
        if kind == CLEARED and not quarantined:
            yield "custody-not-quarantined", "the capture is not in quarantine"
        if kind in {ACCESSED, EXPORTED} and quarantined:
            yield "custody-quarantined", f"the capture is in quarantine: entry {quarantined.index}"
        if kind == RETAINED and body["until"] < self.until:
            yield (
                "custody-shortened",
                f"it is retained until {self.until} already, and a lock is only made longer",
            )
        if kind in {REQUESTED, ERASED} and held:
            yield "custody-held", f"a hold is on this capture: entry {held.index}"
        if kind == ERASED and (requested is None or body["request"] != requested.index):
            yield "custody-no-request", "no request to erase this capture is open that it could confirm"
