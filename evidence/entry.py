"""One ledger entry: canonical JSON of at most 65535 bytes, and the closed list of its types.

    {"body":{"request":{"sha256":"…","sha512":"…","size":412}},"index":3,
     "prev":"<64 hex: leaf hash of entry 2>","subject":"01KAR5Q8Z41X7JQ9D2N6V0H3GT",
     "time":"2026-11-23T08:13:00.123Z","type":"capture.started","v":1}          (one line, no spaces)

`prev` of entry 0 is 64 zeros. 65535 is what an entry bundle of c2sp.org/tlog-tiles can hold. The
bodies below are frozen: a change is a new `v`, never another meaning.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

from evidence.canonical import canonical, parse
from evidence.checkpoint import anchors_of
from evidence.digests import Digests
from evidence.dsse import SIGNATURE
from evidence.errors import EntryError
from evidence.identifiers import is_ulid
from evidence.key_entry import KEY_BODIES, VKEY
from evidence.key_entry import disagreements as key_disagreements
from evidence.note import VerifierKey
from evidence.reasons import CODES
from evidence.shape import (
    DIGESTS,
    PLAIN,
    Count,
    Key,
    OrNull,
    Scalar,
    Sha256,
    Slug,
    Text,
    Ulid,
    Utc,
    one_of,
    require,
    sure,
)
from evidence.tree import leaf_hash

MAX_ENTRY: Final = 65535
NO_PREVIOUS: Final = "0" * 64

CLOSING: Final = {
    "capture.completed": "complete",
    "capture.partial": "partial",
    "capture.failed": "failed",
}
"""The types that end an attempt, each with its outcome."""
CRAWL_ENDED: Final = "crawl.ended"
CRAWL_OUTCOMES: Final = ("finished", "stopped", "interrupted")
"""The spider came to its end; it was told to stop; its process died, and another entered it."""
ANCHOR: Final = "anchor.tsr"
"""An authority's timestamp of an earlier checkpoint: evidence/anchors.py."""
CRAWL_REQUEST: Final = "crawl.json"
"""What was asked of a crawl: the resource `urn:akashi:<crawl>:crawl.json` of its WARC."""
CUSTODY_RECORD: Final = re.compile(r"custody/\d{4}/\d\d/\d\d/([0-9A-Z]{26})\.json", re.ASCII)
"""The key of a side record (evidence/custody.py): who did it and why, which no entry says."""

ObjectJson: TypeAlias = Mapping[str, Any]
"""One object in the store: an item of a closing entry's `objects`."""


CODE: Final = Scalar(
    str, "a reason's code from the closed list", CODES.__contains__, one_of(*sorted(CODES)).sure
)
_VERSION: Final = Scalar(
    str,
    "text of at most 1024 characters",
    lambda value: len(value) <= 1024,  # noqa: PLR2004
    f'"{PLAIN}{{0,1000}}"',
)
_ENTRY: Final = {
    "v": int,
    "index": Count,
    "prev": Sha256,
    "time": Utc,
    "type": str,
    "subject": Text,
    "body": {"*": object},
}
_OBJECTS: Final = [{"key": Key, "version": _VERSION, **DIGESTS}]  # version: the store's answer, or empty
_RECORD: Final = {"record": {"key": Key, "version": _VERSION, **DIGESTS}}
_PLACES: Final = {"objects": [{"key": Key, "version": _VERSION}]}  # all those of the capture's closing entry
_ENDED: Final = {
    "started": Count,  # index of the attempt's `capture.started`
    "outcome": one_of(*CLOSING.values()),
    "reasons": [CODE],
    "objects": _OBJECTS,
    "signature": OrNull(SIGNATURE),  # of the manifest, by the collector
}
_BODIES: Final[Mapping[str, Any]] = {
    "log.opened": {"origin": Text, "vkey": VKEY},  # the log begins: its origin and its key
    **KEY_BODIES,
    "custody.store": {  # the store that holds the evidence, and what it was found able to do
        "endpoint_kind": Slug,
        "bucket": Text,
        "abilities": {"create_only": bool, "versioning": bool, "object_lock": bool, "checksum_sha256": bool},
        "profile": Slug,
    },
    # An attempt begins, before the first byte is fetched; the digests are of the manifest's `request`.
    "capture.started": {"request": DIGESTS, "attempt_of?": Ulid},
    **dict.fromkeys(CLOSING, _ENDED),
    # A spider begins, before its first fetch; the digests are of CRAWL_REQUEST in its WARC. Then it has ended.
    "crawl.started": {"request": DIGESTS},
    CRAWL_ENDED: {
        "started": Count,
        "outcome": one_of(*CRAWL_OUTCOMES),
        "reason": str,  # Scrapy's word for it
        "exchanges": Count,  # in its WARC
        "candidates": OrNull(Count),  # that it yielded, refused ones too; null if its process died
        "objects": _OBJECTS,  # its WARC
    },
    # An authority (URL) saw the checkpoint of this size and root at `time`, the token's own.
    ANCHOR: {"size": Count, "root": Sha256, "authority": Text, "time": Utc, "objects": _OBJECTS},
    # What is done with a capture after it was closed, and may be done when: evidence/custody.py.
    "custody.accessed": {**_RECORD, "how": one_of("view", "download")},
    "custody.exported": {**_RECORD, "bundle": DIGESTS},  # of the bundle's tagmanifest-sha256.txt
    "custody.transferred": _RECORD,
    "custody.held": {**_RECORD, **_PLACES},  # a legal hold is on these versions
    "custody.released": {**_RECORD, **_PLACES},
    "custody.retained": {**_RECORD, **_PLACES, "until": Utc},  # they are locked at least until then
    "custody.quarantined": _RECORD,  # nobody is shown or given it
    "custody.cleared": _RECORD,
    "custody.erasure-requested": {**_RECORD, **_PLACES},
    "custody.erased": {**_RECORD, **_PLACES, "request": Count},  # `request`: the index of that entry
}
ENTRY_TYPES: Final = frozenset(_BODIES)
_read: Final = json.JSONDecoder().raw_decode
_ONE: Final = Scalar(int, "1", (1).__eq__, "1")
_SURE: Final = {
    kind.encode(): re.compile(expression.encode())
    for kind, body in _BODIES.items()
    if (expression := sure(_ENTRY | {"type": one_of(kind), "body": body, "v": _ONE}))
}
"""Bytes that these match are canonical and have their type's shape: nearly all that there are, ten times faster."""
CUSTODY: Final = frozenset(name for name, body in _BODIES.items() if "record" in body)
"""The types whose subject is a capture that is closed, each with a side record."""


def digests_of(item: ObjectJson) -> Digests:
    """What an object's bytes must give."""
    return Digests(item["sha256"], item["sha512"], item["size"])


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `index` counts from 0, `time` is `canonical.utc` text, `body` is by type."""

    index: int
    prev: str
    time: str
    type: str
    subject: str
    body: Mapping[str, Any]
    v: int = 1

    def encode(self) -> bytes:
        """The entry's bytes. Raises EntryError for what must never be appended, CanonicalError likewise."""
        document = {name: getattr(self, name) for name in _ENTRY}
        _refuse_shape(document)
        _refuse_disagreement(document)
        data = canonical(document)
        if len(data) > MAX_ENTRY:
            raise EntryError(f"{len(data)} bytes exceed {MAX_ENTRY}", rule="entry-size")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The entry of exactly these bytes. Raises CanonicalError or EntryError (rule, field)."""
        if len(data) > MAX_ENTRY:
            raise EntryError(f"{len(data)} bytes exceed {MAX_ENTRY}", rule="entry-size")
        kind = _SURE.get(data[data.rfind(b'"type":"') + 8 : -8])  # …"type":"capture.started","v":1}
        if kind is not None and kind.fullmatch(data):
            document, _ = _read(data.decode())
        else:
            document = parse(data)
            _refuse_shape(document)
        _refuse_disagreement(document)
        return cls(**document)

    @property
    def ended(self) -> Mapping[str, Any]:
        """The body, of an entry whose type is in CLOSING or CRAWL_ENDED."""
        return self.body


def chain(previous: bytes | None) -> str:
    """The `prev` of the entry that follows these bytes; of entry 0 if there are none."""
    return NO_PREVIOUS if previous is None else leaf_hash(previous).hex()


def _refuse_shape(document: Any) -> None:
    """Raise EntryError unless the document has an entry's members, of the kinds that its type wants."""
    require(document, _ENTRY, EntryError, rule="entry-shape")
    if document["v"] != 1:
        raise EntryError(f"version {document['v']} is not known", rule="entry-version", field="v")
    if document["type"] not in _BODIES:
        raise EntryError(f"{document['type']!r} is no entry type", rule="entry-type", field="type")
    require(document["body"], _BODIES[document["type"]], EntryError, rule="entry-shape", path="body")


def _refuse_disagreement(document: Mapping[str, Any]) -> None:
    """Raise EntryError unless the parts of a document of the right shape agree with one another."""
    for broken, what in _disagreements(document):
        if broken:
            raise EntryError(what, rule="entry-consistency")


def _disagreements(entry: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    body, subject, is_first = entry["body"], entry["subject"], entry["index"] == 0
    yield is_first != (entry["prev"] == NO_PREVIOUS), "`prev` is 64 zeros in entry 0 and nowhere else"
    yield is_first != (entry["type"] == "log.opened"), "entry 0 is `log.opened`, and no other is"
    if entry["type"] == "log.opened":
        yield VerifierKey.parse(body["vkey"]).name != body["origin"], "origin and key name differ"
        yield body["origin"] != subject, "origin and subject differ"
    elif entry["type"] in KEY_BODIES:
        yield from key_disagreements(entry)
    elif entry["type"] == "custody.store":
        yield body["bucket"] != subject, "bucket and subject differ"
    elif entry["type"].startswith(("capture.", "crawl.")):
        yield not is_ulid(subject), "the subject is no capture's or crawl's id"
    elif entry["type"] in CUSTODY:
        yield from _custody_disagreements(entry)
    if entry["type"] == CRAWL_ENDED:
        keys = [item["key"] for item in body["objects"]]
        its_own = all(key.startswith("crawls/") and key.endswith(f"-{subject}.warc.gz") for key in keys)
        yield body["started"] >= entry["index"], "`started` names no earlier entry"
        yield len(keys) != 1 or not its_own, "a crawl has one object, its WARC"
    if entry["type"] == ANCHOR:
        keys = [item["key"] for item in body["objects"]]
        folder = anchors_of(body["size"])
        yield not 0 < body["size"] <= entry["index"], "the checkpoint is no earlier one"
        yield keys != sorted(set(keys)), "objects are not sorted by key, or a key stands twice"
        yield (
            not all(key.startswith(folder) for key in keys),
            "an object lies outside the checkpoint's folder",
        )
        yield (
            [key[-4:] for key in keys if key[-4:] in {".tsq", ".tsr"}] != [".tsq", ".tsr"],
            ("an anchor has one request and one response"),
        )
    if entry["type"] in CLOSING:
        keys = [item["key"] for item in body["objects"]]
        manifests = [key for key in keys if key.endswith("/manifest.json")]
        complete = body["outcome"] == "complete"
        outside = [key for key in keys if subject not in key.split("/")[:-1]]
        yield body["outcome"] != CLOSING[entry["type"]], "type and outcome differ"
        yield complete == bool(body["reasons"]), "complete captures have no reasons, all others some"
        yield body["started"] >= entry["index"], "`started` names no earlier entry"
        yield keys != sorted(set(keys)), "objects are not sorted by key, or a key stands twice"
        yield bool(outside), "an object lies outside the capture's folder"
        yield complete and not keys, "a complete capture without objects"
        yield len(manifests) != bool(keys), "with objects there is exactly one manifest.json, without none"
        yield (body["signature"] is None) != (not keys), "the manifest is signed, and nothing else is"


def _custody_disagreements(entry: Mapping[str, Any]) -> Iterator[tuple[bool, str]]:
    body, subject = entry["body"], entry["subject"]
    named = CUSTODY_RECORD.fullmatch(body["record"]["key"])
    keys = [item["key"] for item in body.get("objects", ())]
    outside = [key for key in keys if subject not in key.split("/")[:-1]]
    yield not is_ulid(subject), "the subject is no capture's id"
    yield named is None or not is_ulid(named[1]), "the side record has another key than custody's"
    yield "objects" in body and not keys, "no object is named"
    yield keys != sorted(set(keys)), "objects are not sorted by key, or a key stands twice"
    yield bool(outside), "an object lies outside the capture's folder"
    yield body.get("request", -1) >= entry["index"], "`request` names no earlier entry"
