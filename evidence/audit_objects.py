"""Steps 5 and 8 of the audit: the objects that entries name, and what nobody names."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from evidence.audit_ledger import Ledger
from evidence.audit_manifest import audit_manifest
from evidence.audit_report import AuditReport, Finding, ObjectSource
from evidence.audit_warc import WarcReading, changed, read_whole_warc
from evidence.digests import digest_stream
from evidence.entry import Entry, ObjectJson, digests_of
from evidence.manifest import MAX_MANIFEST

PREFIX: Final = "captures/"
_KEY: Final = re.compile(r"captures/\d{4}/\d\d/\d\d/([^/]+)/[^/]+", re.ASCII)
_MANIFEST: Final = "/manifest.json"


class ObjectAudit:
    """The audit of everything under `captures/`; findings go to the report.

    To be made *before* the ledger is read: it takes the listing, and an object is put only after its
    capture's start is in the ledger, so every one that is listed has its start among the entries.
    """

    def __init__(self, source: ObjectSource, report: AuditReport) -> None:
        self._source = source
        self._report = report
        self._listed = {head.key for head in source.list(PREFIX)}
        self._agree = False
        self._differ: list[Finding] = []

    def run(self, ledger: Ledger, since: str) -> None:
        """Audit the objects of captures that began at `since` or later. Raises what the source raises."""
        named: set[str] = set()
        for capture, ended in ledger.ended.items():
            named |= {item["key"] for item in ended.ended["objects"]}
            started = ledger.started.get(capture)
            if started is None or started.time >= since:
                self._report.counts["captures"] += 1
                self._audit_capture(ended, ledger)
        # A copy has no version id in common with the store that the entries name; a store has all.
        if self._agree:
            self._report.findings += self._differ
        elif self._differ:
            self._report.notes.append("no object has the version id that its entry names: this is a copy")
        self._name_extra(named, ledger)
        self._report.notes += [
            f"capture {capture} is not closed: under way, or to be recovered" for capture in ledger.open
        ]

    def _audit_capture(self, ended: Entry, ledger: Ledger) -> None:
        report, warcs = self._report, dict[str, WarcReading]()
        items = [item for item in ended.ended["objects"] if self._is_present(item, ended)]
        for item in sorted(items, key=lambda item: item["key"].endswith(_MANIFEST)):  # the manifest last
            key = item["key"]
            open_at = partial(self._source.open, key, self._version(item, ended))
            report.counts["objects"] += 1
            if key.endswith(".warc.gz"):
                warcs[key] = read_whole_warc(open_at, item, ended, report)
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

    def _is_present(self, item: ObjectJson, ended: Entry) -> bool:
        key = item["key"]  # not listed: put and closed after the listing was taken, or gone
        if key in self._listed or any(head.key == key for head in self._source.list(key)):
            return True
        left = ", ".join(self._source.versions(key)) or "none"
        detail = f"named by entry {ended.index}, and not there (versions behind a delete marker: {left})"
        self._report.findings.append(Finding(key, "object-missing", detail, entry=ended.index))
        return False

    def _version(self, item: ObjectJson, ended: Entry) -> str | None:
        """The version to read: the one that the entry names, None for whatever there is."""
        ids, named = self._report.versions_of(self._source, item["key"]), item["version"]
        if not named or named in ids:
            self._agree = self._agree or bool(named)
            return named or None
        detail = f"version {', '.join(ids) or '(none)'}, but entry {ended.index} names {named}"
        self._differ.append(Finding(item["key"], "object-version", detail, entry=ended.index))
        return None

    def _name_extra(self, named: set[str], ledger: Ledger) -> None:
        for key in sorted(self._listed - named):
            matched = _KEY.fullmatch(key)
            capture = matched[1] if matched else ""
            if capture in ledger.open:
                self._report.notes.append(f"{key} belongs to a capture that is not closed")
            elif ledger.damaged and capture not in ledger.ended:
                self._report.notes.append(f"{key} cannot be judged: entries of the ledger are damaged")
            else:
                self._report.findings.append(Finding(key, "object-extra", "no entry of the ledger names it"))
