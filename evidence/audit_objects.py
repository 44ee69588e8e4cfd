"""Steps 5 to 8 of the audit: the objects that entries name, manifests, WARCs, and what nobody names.

The rules are numbered in evidence/audit.py and docs/formats/audit.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from evidence.audit_ledger import Ledger
from evidence.audit_manifest import audit_manifest
from evidence.audit_report import AuditReport, Finding, ObjectSource, refuse_versions
from evidence.audit_warc import WarcReading, read_whole_warc
from evidence.digests import CHUNK, Digester, Digests
from evidence.entry import Entry, ObjectJson
from evidence.identifiers import is_ulid
from evidence.manifest import MAX_MANIFEST

PREFIX: Final = "captures/"
_KEY: Final = re.compile(r"captures/\d{4}/\d\d/\d\d/([0-9A-Z]{26})/[^/]+", re.ASCII)


@dataclass(slots=True)
class _Versions:
    """How the version ids of objects compare with those that the entries name."""

    same: int = 0
    other: list[Finding] = field(default_factory=list)


def list_captures(source: ObjectSource) -> dict[str, int]:
    """Size by key of all objects under `captures/`.

    To be taken *before* the ledger is read: an object is put only after its capture's start is in
    the ledger, so every one that is listed then has its start among the entries.
    """
    return {head.key: head.size for head in source.list(PREFIX)}


def audit_objects(
    source: ObjectSource, listed: Mapping[str, int], ledger: Ledger, since: str, report: AuditReport
) -> None:
    """Audit everything under `captures/`; findings go to the report. Raises what the source raises."""
    versions = _Versions()
    named: set[str] = set()
    for capture, ended in ledger.ended.items():
        named |= {item["key"] for item in ended.ended["objects"]}
        started = ledger.started.get(capture)
        if started is None or started.time >= since:
            report.counts["captures"] += 1
            _audit_capture(source, listed, ended, ledger, versions, report)
    _judge_versions(versions, report)
    _name_extra(listed, named, ledger, report)
    report.notes += [
        f"capture {capture} is not closed: under way, or to be recovered" for capture in ledger.open
    ]


def _audit_capture(
    source: ObjectSource,
    listed: Mapping[str, int],
    ended: Entry,
    ledger: Ledger,
    versions: _Versions,
    report: AuditReport,
) -> None:
    warcs: dict[str, WarcReading] = {}
    manifest: tuple[ObjectJson, bytes] | None = None
    present = [item for item in ended.ended["objects"] if _is_present(source, listed, item, ended, report)]
    for item in sorted(present, key=lambda item: item["key"].endswith("/manifest.json")):
        version = _compare_version(source, item, versions, ended, report)
        report.counts["objects"] += 1
        with source.open(item["key"], version) as stream:
            if item["key"].endswith("/manifest.json"):
                manifest = item, stream.read(MAX_MANIFEST + 1)
                report.counts["bytes"] += len(manifest[1])
            elif item["key"].endswith(".warc.gz"):
                warcs[item["key"]] = read_whole_warc(source, item, version, stream, ended, report)
            else:
                _compare_digests(stream, item, ended, report)
    if manifest is not None:
        audit_manifest(*manifest, warcs, ended, ledger, report)


def _is_present(
    source: ObjectSource, listed: Mapping[str, int], item: ObjectJson, ended: Entry, report: AuditReport
) -> bool:
    key = item["key"]
    size = listed.get(key)
    if size is None:  # put and closed after the listing was taken, or gone
        size = next((head.size for head in source.list(key) if head.key == key), None)
    if size is None:
        detail = f"named by entry {ended.index}, and not there"
        left = source.versions(key)
        detail += f" (versions left behind a delete marker: {', '.join(left)})" if left else ""
        report.findings.append(Finding(key, "object-missing", detail, entry=ended.index))
    return size is not None


def _compare_version(
    source: ObjectSource, item: ObjectJson, versions: _Versions, ended: Entry, report: AuditReport
) -> str | None:
    """The version to read: the one that the entry names, None for whatever there is."""
    ids = refuse_versions(source, item["key"], report)
    if not item["version"] or item["version"] in ids:
        versions.same += bool(item["version"])
        return item["version"] or None
    detail = f"version {', '.join(ids) or '(none)'}, but entry {ended.index} names {item['version']}"
    versions.other.append(Finding(item["key"], "object-version", detail, entry=ended.index))
    return None


def _judge_versions(versions: _Versions, report: AuditReport) -> None:
    """A copy has no version id in common with the store that the entries name; a store has all."""
    if versions.same:
        report.findings += versions.other
    elif versions.other:
        report.notes.append("no object has the version id that its entry names: this is a copy")


def _compare_digests(stream: BinaryIO, item: ObjectJson, ended: Entry, report: AuditReport) -> None:
    digester = Digester()
    for chunk in iter(lambda: stream.read(CHUNK), b""):
        digester.update(chunk)
    report.counts["bytes"] += digester.result().size
    report.findings += differences(digester.result(), item, ended)


def differences(found: Digests, item: ObjectJson, ended: Entry) -> Iterator[Finding]:
    """At most one finding: the bytes are not those that the entry names."""
    wrong = [name for name, value in found.as_json().items() if dict(item)[name] != value]
    if wrong:
        detail = f"{' and '.join(wrong)} differ from entry {ended.index}"
        yield Finding(item["key"], "object-digest", detail, 0, found.size, entry=ended.index)


def _name_extra(listed: Mapping[str, int], named: set[str], ledger: Ledger, report: AuditReport) -> None:
    for key in sorted(set(listed) - named):
        matched = _KEY.fullmatch(key)
        capture = matched[1] if matched and is_ulid(matched[1]) else ""
        if capture in ledger.open:
            report.notes.append(f"{key} belongs to a capture that is not closed")
        elif ledger.damaged and capture not in ledger.ended:
            report.notes.append(f"{key} cannot be judged: entries of the ledger are damaged")
        else:
            report.findings.append(Finding(key, "object-extra", "no entry of the ledger names it"))
