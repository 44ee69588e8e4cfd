"""One manifest against its entry, its signature, its request and the copy of itself inside the WARC."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from evidence import dsse
from evidence.audit_ledger import Ledger
from evidence.audit_report import AuditReport, Finding
from evidence.audit_warc import WarcReading
from evidence.canonical import first_difference
from evidence.digests import digest_bytes
from evidence.entry import Entry, ObjectJson
from evidence.errors import CheckFailedError, ManifestError, SignatureError
from evidence.locate import field_at
from evidence.manifest import Manifest, parse_manifest, request_digests, reseal, sealed_form
from evidence.manifest_shape import WarcFacts

Readings: TypeAlias = Mapping[str, WarcReading]
_Finder: TypeAlias = Callable[[str, str], Finding]


def audit_manifest(
    item: ObjectJson, data: bytes, warcs: Readings, ended: Entry, ledger: Ledger, report: AuditReport
) -> None:
    """Everything that can be said of one manifest's bytes; findings go to the report."""
    if digest_bytes(data).as_json() != {name: dict(item)[name] for name in ("sha256", "sha512", "size")}:
        report.findings.append(_changed(item, data, warcs, ended))
        return
    try:
        manifest = parse_manifest(data)
    except ManifestError as error:
        report.findings.append(Finding.of(item["key"], error, "it was stored so: ", ended.index))
        return
    report.findings += _against_entry(manifest, item, ended, ledger)
    report.findings += _against_warc(manifest, item, warcs, ended)
    try:
        _verify(data, ended, ledger)
    except SignatureError as error:
        if error.rule == "signature-key" and ledger.damaged:
            report.notes.append(f"{item['key']}: entries are damaged, and its key's may be among them")
            return
        report.findings.append(Finding.of(item["key"], error, entry=ended.index))


def _changed(item: ObjectJson, data: bytes, warcs: Readings, ended: Entry) -> Finding:
    """Which field differs from what was stored: the WARC's copy gives the bytes as they were."""
    detail = f"the digest is not that of entry {ended.index}"
    original = _original(item, warcs, ended)
    if original is None:
        lost = f"{detail}; no sound copy in a WARC to compare with"
        return Finding(item["key"], "object-digest", lost, 0, len(data), entry=ended.index)
    offset = first_difference(data, original)
    if offset is None:  # the copy has been shown to be what was stored, so the bytes must differ
        raise AssertionError("equal bytes with unequal digests")
    field = field_at(original, min(offset, len(original) - 1))
    return Finding(item["key"], "object-digest", detail, offset, 1, field, ended.index)


def _original(item: ObjectJson, warcs: Readings, ended: Entry) -> bytes | None:
    for named in ended.ended["objects"]:
        reading = warcs.get(named["key"])
        if reading is None or reading.sealed is None:
            continue
        warc: WarcFacts = {
            "key": named["key"],
            "records": len(reading.records),
            "sha256": named["sha256"],
            "sha512": named["sha512"],
            "size": named["size"],
        }
        try:
            rebuilt = reseal(reading.sealed, warc)
        except CheckFailedError:
            continue
        if digest_bytes(rebuilt).sha256 == item["sha256"]:
            return rebuilt
    return None


def _against_entry(manifest: Manifest, item: ObjectJson, ended: Entry, ledger: Ledger) -> Iterator[Finding]:
    document, body = manifest.document, ended.ended
    started = ledger.started.get(ended.subject)
    facts = {
        "capture.id": (manifest.id, ended.subject),
        "capture.started_entry": (document["capture"]["started_entry"], body["started"]),
        "outcome": (manifest.outcome, body["outcome"]),
        "reasons": ({reason["code"] for reason in document["reasons"]}, set(body["reasons"])),
    }
    if started is not None:
        facts["request"] = (request_digests(document["request"]).as_json(), started.body["request"])
        facts["capture.attempt_of"] = (document["capture"]["attempt_of"], started.body.get("attempt_of"))
    for field, (said, logged) in facts.items():
        if said != logged:
            detail = f"{said!r}, but the ledger has {logged!r}"
            yield Finding(item["key"], "manifest-entry", detail, field=field, entry=ended.index)


def _against_warc(manifest: Manifest, item: ObjectJson, warcs: Readings, ended: Entry) -> Iterator[Finding]:
    def finding(field: str, detail: str) -> Finding:
        return Finding(item["key"], "manifest-warc", detail, field=field, entry=ended.index)

    named = {found["key"]: found for found in ended.ended["objects"]}.get(manifest.warc["key"])
    if named is None:
        yield finding("warc.key", f"{manifest.warc['key']} is not among the objects of entry {ended.index}")
        return
    for name in ("sha256", "sha512", "size"):
        if dict(named)[name] != dict(manifest.warc)[name]:
            yield finding(f"warc.{name}", f"differs from entry {ended.index}")
    reading = warcs.get(manifest.warc["key"])
    if reading is None or not reading.sound:
        return
    if reading.sealed != sealed_form(manifest):
        yield finding("", "the copy inside the WARC is not this manifest as it was sealed")
    if len(reading.records) != manifest.warc["records"]:
        yield finding("warc.records", f"the WARC has {len(reading.records)} records")
    for record in sorted(manifest.record_ids - set(reading.records)):
        yield finding("", f"the WARC has no record {record}")
    yield from _media(manifest, reading, finding)


def _media(manifest: Manifest, reading: WarcReading, finding: _Finder) -> Iterator[Finding]:
    """An original that is one uncoded payload has that payload's digest."""
    for number, medium in enumerate(manifest.document["media"]):
        spans = [reading.records[record] for record in medium["records"] if record in reading.records]
        if medium["role"] != "original" or len(spans) != 1 or spans[0].encoded:
            continue
        if spans[0].payload_digest not in {"", medium["sha256"]}:
            yield finding(f"media[{number}].sha256", f"the payload of {spans[0].record_id} differs")


def _verify(data: bytes, ended: Entry, ledger: Ledger) -> None:
    signature = ended.ended["signature"]
    if signature is None:  # evidence/entry.py allows this only where there is no manifest
        raise SignatureError("a manifest without a signature", rule="signature-form")
    keys = [key for index, key in ledger.collectors if index < ended.index]
    dsse.verify(data, signature, keys)
