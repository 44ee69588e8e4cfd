"""Steps 5 and 8 of the audit: the objects that entries name, and what nobody names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Final

from evidence.audit_custody import CustodyAudit
from evidence.audit_ledger import Ledger
from evidence.audit_manifest import audit_manifest
from evidence.audit_prints import Prints, print_of
from evidence.audit_report import AuditReport, Finding, Listed, ObjectSource
from evidence.audit_warc import WarcReading, changed, read_whole_warc
from evidence.custody import MAX_RECORD
from evidence.digests import digest_bytes, digest_stream
from evidence.entry import CLOSING, CRAWL_ENDED, Entry, ObjectJson, digests_of
from evidence.manifest import MAX_MANIFEST

PREFIXES: Final = ("captures/", "crawls/")
_DAY: Final = r"s/\d{4}/\d\d/\d\d/"
_KEY: Final = re.compile(
    rf"capture{_DAY}(?P<capture>[^/]+)/[^/]+|crawl{_DAY}akashi-crawl-\d{{8}}T\d{{6}}Z-(?P<crawl>[^/]+)\.warc\.gz",
    re.ASCII,
)
_HELD: Final = 100_000
"""Findings about versions that are held until one version agrees: in a copy none does."""
_MANIFEST: Final = "/manifest.json"


class ObjectAudit:
    """The audit of everything under `captures/` and `crawls/`; findings go to the report.

    To be made *before* the ledger is read: it takes the listing, and an object is put only after its
    capture's or crawl's start is in the ledger, so every one that is listed has its start among the entries.
    """

    def __init__(self, source: ObjectSource, report: AuditReport, key: bytes, now: datetime) -> None:
        self._source = source
        self._report = report
        self._key = key
        self._listed = Prints()
        for head in self._all():
            self._listed.add(print_of(head.key, key))
        self._agree = False
        self._differ: list[Finding] = []
        self._custody = CustodyAudit(source, report, now)
        self._unsaid = 0

    def run(self, ledger: Ledger, since: str) -> None:
        """Audit the objects of captures that began at `since` or later. Raises what the source raises."""
        self._custody.run(ledger, self._read)
        for ended in ledger.endings(since):
            self._report.counts[f"{_kind(ended)}s"] += 1
            self._audit_capture(ended, ledger)
        # A copy has no version id in common with the store that the entries name; a store has all.
        if self._agree:
            self._report.findings += self._differ
            if self._unsaid:
                self._report.notes.append(
                    f"{self._unsaid} more objects have another version than their entry names"
                )
        elif self._differ:
            self._report.notes.append("no object has the version id that its entry names: this is a copy")
        self._name_extra(ledger)
        self._report.notes += [
            f"{kind} {subject} is not closed: under way, or to be recovered"
            for subject, kind in sorted(ledger.open.items())
        ]

    def _all(self) -> Iterator[Listed]:
        return (head for prefix in PREFIXES for head in self._source.list(prefix))

    def _audit_capture(self, ended: Entry, ledger: Ledger) -> None:
        warcs = dict[str, WarcReading]()
        if erased := self._custody.erased(ended.subject):
            self._audit_erased(ended, erased)
            return
        items = [item for item in ended.ended["objects"] if self._is_present(item, ended)]
        for item in sorted(items, key=lambda item: item["key"].endswith(_MANIFEST)):  # the manifest last
            try:
                self._audit_object(item, ended, ledger, warcs)
            except FileNotFoundError:  # it was listed: somebody deletes while we read
                self._miss(item, ended)

    def _audit_object(
        self, item: ObjectJson, ended: Entry, ledger: Ledger, warcs: dict[str, WarcReading]
    ) -> None:
        key, report = item["key"], self._report
        open_at = partial(self._source.open, key, self._version(item, ended))
        report.counts["objects"] += 1
        if key.endswith(".warc.gz"):
            warcs[key] = read_whole_warc(open_at, item, ended, report)
            if ended.type == CRAWL_ENDED and warcs[key].sound:
                self._audit_crawl(key, warcs[key].sealed or b"", ended, ledger.started.get(ended.subject))
        elif key.endswith(_MANIFEST):
            with open_at() as stream:
                data = stream.read(MAX_MANIFEST + 1)
            report.counts["bytes"] += len(data)
            audit_manifest(item, data, warcs, ended, ledger, report)
        else:
            with open_at() as stream:
                found = digest_stream(stream)
            report.counts["bytes"] += found.size
            if found != digests_of(item):
                report.findings.append(changed(item, found.size, ended))

    def _audit_erased(self, ended: Entry, erased: Entry) -> None:
        for item in ended.ended["objects"]:
            if left := self._source.versions(item["key"]):
                detail = f"entry {erased.index} erased it, and it is there: versions {', '.join(left)}"
                self._report.findings.append(
                    Finding(item["key"], "custody-not-erased", detail, entry=erased.index)
                )
        self._report.notes.append(
            f"capture {ended.subject} was erased by entry {erased.index}: its manifest cannot be checked any more"
        )

    def _read(self, item: ObjectJson, entry: Entry) -> bytes | None:
        """A side record's bytes, None (and a finding) if they are gone or not those that the entry names."""
        if not self._is_present(item, entry):
            return None
        try:
            with self._source.open(item["key"], self._version(item, entry)) as stream:
                data = stream.read(min(item["size"], MAX_RECORD) + 1)
        except FileNotFoundError:
            self._miss(item, entry)
            return None
        self._report.counts["objects"] += 1
        self._report.counts["bytes"] += len(data)
        if digest_bytes(data) != digests_of(item):
            self._report.findings.append(changed(item, len(data), entry))
            return None
        return data

    def _audit_crawl(self, key: str, asked: bytes, ended: Entry, started: Entry | None) -> None:
        if started is not None and digest_bytes(asked).as_json() != started.body["request"]:
            detail = f"holds another request than entry {started.index} digested, or none"
            self._report.findings.append(Finding(key, "crawl-request", detail, entry=ended.index))

    def _is_present(self, item: ObjectJson, ended: Entry) -> bool:
        key = item["key"]  # not listed: put and closed after the listing was taken, or gone
        if print_of(key, self._key) in self._listed or any(
            head.key == key for head in self._source.list(key)
        ):
            return True
        self._miss(item, ended)
        return False

    def _miss(self, item: ObjectJson, ended: Entry) -> None:
        """A finding for an object that is not there; a note where an erasure was begun."""
        key = item["key"]
        if ended.type in CLOSING and (begun := self._custody.begun_erasure(ended.subject)):
            self._report.notes.append(f"{key} is gone: {begun}")
            return
        left = ", ".join(self._source.versions(key)) or "none"
        detail = f"named by entry {ended.index}, and not there (versions behind a delete marker: {left})"
        self._report.findings.append(Finding(key, "object-missing", detail, entry=ended.index))

    def _version(self, item: ObjectJson, ended: Entry) -> str | None:
        """The version to read: the one that the entry names, None for whatever there is. Raises FileNotFoundError."""
        ids, named = self._report.versions_of(self._source, item["key"]), item["version"]
        if not ids:
            raise FileNotFoundError(item["key"])
        if not named or named in ids:
            self._agree = self._agree or bool(named)
            return named or None
        detail = f"version {', '.join(ids) or '(none)'}, but entry {ended.index} names {named}"
        if len(self._differ) < _HELD or self._agree:
            self._differ.append(Finding(item["key"], "object-version", detail, entry=ended.index))
        else:
            self._unsaid += 1
        return None

    def _name_extra(self, ledger: Ledger) -> None:
        unnamed = self._listed.without(ledger.named)
        extra = (
            [head.key for head in self._all() if print_of(head.key, self._key) in unnamed] if unnamed else []
        )
        subjects = {key: _subject(key) for key in extra}
        closed = ledger.ends_of(set(subjects.values())) if ledger.damaged else {}
        under_way = ledger.open
        for key, subject in subjects.items():
            if subject in under_way:
                self._report.notes.append(f"{key} belongs to a {under_way[subject]} that is not closed")
            elif ledger.damaged and subject not in closed:
                self._report.notes.append(f"{key} cannot be judged: entries of the ledger are damaged")
            else:
                self._report.findings.append(Finding(key, "object-extra", "no entry of the ledger names it"))


def _subject(key: str) -> str:
    """The id of the capture or crawl that a key belongs to by its form, else empty."""
    matched = _KEY.fullmatch(key)
    return (matched["capture"] or matched["crawl"]) if matched else ""


def _kind(entry: Entry) -> str:
    """`capture` or `crawl`."""
    return entry.type.partition(".")[0]
