"""Step 9 of the audit: the outside time of the log, token by token.

For each `anchor.tsr` entry: its objects are there with their digests; what was stamped are the bytes of the
checkpoint of that size, whose root the entry repeats; the token is sound, its chain reaching a root
that was given, or, without any, the one that is archived with it; the entry's time is the token's. Then the clocks are compared:

    every entry below size says  ≤  the token says  ≤  the anchor's own entry says        up to TOLERANCE

The first broken: the log holds entries that claim to be younger than an outside time that covers them. The
second: the log's clock was behind, or somebody set it back, and every capture of then says it was earlier
than it was. Which of the two it was cannot be seen here, so either is a finding; above NOTICE it is a note.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from evidence.anchors import read_token
from evidence.audit_report import AuditReport, Expectations, Finding, ObjectSource
from evidence.canonical import parse_utc, utc
from evidence.checkpoint import ANCHORS, checkpoint_key
from evidence.cosignature import KEY as COSIGNATURE
from evidence.digests import digest_bytes
from evidence.entry import Entry, ObjectJson, digests_of
from evidence.errors import CheckFailedError, TimestampError
from evidence.note import MAX_NOTE
from evidence.timestamp import Timestamp

TOLERANCE: Final = timedelta(minutes=15)
"""More than clocks differ that somebody looks after: a finding."""
NOTICE: Final = timedelta(seconds=60)
"""More than a clock differs that is synchronised: a note."""
_KEY: Final = re.compile(re.escape(ANCHORS) + r"\d{20}/[^/]+", re.ASCII)


def audit_anchors(
    source: ObjectSource,
    entries: Sequence[Entry],
    expected: Expectations,
    report: AuditReport,
    latest: Mapping[int, tuple[str, int]],
    now: datetime,
) -> list[tuple[int, str]]:
    """Audit every anchor entry and everything under `ledger/anchors/`. Raises what the source raises.

    `latest` is the latest time that an entry below a checkpoint's size claims, and that entry's index, by size.
    Gives (size, UTC text): so many entries existed then, by a token that reaches a root which the caller brought.
    """
    audit = _AnchorAudit(source, expected, report, now)
    report.counts["anchors"] += len(entries)
    sound = [(entry, token) for entry in entries if (token := audit.token(entry)) is not None]
    for entry, token in sound:
        audit.compare_clocks(entry, token, *latest.get(entry.body["size"], ("", 0)))
        audit.note_expiry(entry, token, sound)
    if entries and not expected.tsa_roots:
        report.notes.append("no root was given for the timestamps: whose word they are was not checked")
    if latest and expected.tsa_roots and not sound:
        report.notes.append("no timestamp is there that holds: nothing from outside bounds the log's times")
    named = {item["key"] for entry in entries for item in entry.body["objects"]}
    for head in source.list(ANCHORS):
        if head.key in named or COSIGNATURE.fullmatch(head.key):  # the latter are step 10
            continue
        if _KEY.fullmatch(head.key):
            report.notes.append(f"{head.key} is named by no entry: the run that stored it was cut short")
        else:
            report.findings.append(Finding(head.key, "object-extra", "the ledger has no such object"))
    return [(entry.body["size"], utc(token.time)) for entry, token in sound if expected.tsa_roots]


class _AnchorAudit:
    def __init__(
        self, source: ObjectSource, expected: Expectations, report: AuditReport, now: datetime
    ) -> None:
        self._source, self._expected, self._report, self._now = source, expected, report, now

    def token(self, entry: Entry) -> Timestamp | None:
        """What the entry's token says, if it holds; what does not is in the report."""
        body, place = entry.body, checkpoint_key(entry.body["size"])
        note = self._read(place, entry)
        objects = [(item["key"], self._object(item, entry)) for item in body["objects"]]
        if note is None or None in dict(objects).values():
            return None
        held = {key.rpartition(".")[2]: (key, data or b"") for key, data in objects}
        root = base64.b64encode(bytes.fromhex(body["root"]))
        if note.split(b"\n")[1:3] != [str(body["size"]).encode(), root]:
            self._find(place, "anchor-root", "has another size or root than the entry says", entry)
            return None
        (_, request), (key, response) = held["tsq"], held["tsr"]
        try:
            roots = self._expected.tsa_roots or _archived(held.get("pem", ("", b""))[1])
            token = read_token(response, request, note, roots, now=self._now)
        except CheckFailedError as error:
            finding = Finding.of(key, error, entry.index)
            self._report.findings.append(replace(finding, rule=f"timestamp-{error.rule}"))
            return None
        if utc(token.time) != body["time"]:
            self._find(key, "anchor-time", f"the token says {utc(token.time)}, not {body['time']}", entry)
        if token.reordered:
            self._report.notes.append(f"{key} is not in DER's order: have openssl ts -verify confirm it")
        return token

    def compare_clocks(self, entry: Entry, token: Timestamp, latest: str, index: int) -> None:
        """Before the token lie the entries it covers, behind it its own."""
        if latest:  # else an entry there is damaged: steps 2 and 3 say so
            self._compare(entry, parse_utc(latest) - token.time, f"entry {index} claims to be later")
        self._compare(entry, token.time - parse_utc(entry.time), "its own entry claims to be earlier")

    def _compare(self, entry: Entry, ahead: timedelta, what: str) -> None:
        place = f"the token over {entry.body['size']} entries ({entry.body['authority']})"
        detail = f"{place}: {what}, by {ahead.total_seconds():.0f} s"
        if ahead > TOLERANCE:
            self._find(checkpoint_key(entry.body["size"]), "anchor-clock", detail, entry)
        elif ahead > NOTICE:
            self._report.notes.append(f"{detail}: a clock was wrong")

    def note_expiry(self, entry: Entry, token: Timestamp, others: Sequence[tuple[Entry, Timestamp]]) -> None:
        """A token whose authority's certificate has expired should have been covered by one before that."""
        if token.not_after >= self._now or any(
            other.body["size"] > entry.index and late.time <= token.not_after < late.not_after
            for other, late in reversed(others)
        ):
            return
        self._report.notes.append(
            f"the certificate behind the token of entry {entry.index} expired on {token.not_after:%Y-%m-%d}, "
            "and no later token covers it"
        )

    def _object(self, item: ObjectJson, entry: Entry) -> bytes | None:
        """The bytes of an object that the entry names, None if they are not those."""
        data = self._read(item["key"], entry)
        if data is not None:
            self._report.versions_of(self._source, item["key"])
            if digest_bytes(data) != digests_of(item):
                detail = f"the digest is not that of entry {entry.index}"
                self._find(item["key"], "object-digest", detail, entry)
                return None
        return data

    def _read(self, key: str, entry: Entry) -> bytes | None:
        try:
            with self._source.open(key) as stream:
                data = stream.read(MAX_NOTE + 1)
        except FileNotFoundError:
            self._find(key, "object-missing", f"named by entry {entry.index}, and not there", entry)
            return None
        self._report.counts["bytes"] += len(data)
        return data

    def _find(self, key: str, rule: str, detail: str, entry: Entry) -> None:
        self._report.findings.append(Finding(key, rule, detail, entry=entry.index))


def _archived(chain: bytes) -> list[x509.Certificate]:
    """The certificates that were stored with a token. Raises TimestampError if there are none."""
    try:
        return x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise TimestampError("no certificates are archived with it", rule="chain") from error
