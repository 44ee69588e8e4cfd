"""Step 7 of the audit: one manifest against its entries, its WARC and its collector's signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from evidence import dsse
from evidence.audit_ledger import Ledger
from evidence.audit_report import AuditReport, Finding
from evidence.audit_warc import WarcReading, changed
from evidence.canonical import field_at, first_difference
from evidence.digests import digest_bytes
from evidence.entry import Entry, ObjectJson, digests_of
from evidence.errors import CheckFailedError, ManifestError, SignatureError
from evidence.manifest import Manifest, parse_manifest, request_digests, reseal, sealed_form


def audit_manifest(
    item: ObjectJson,
    data: bytes,
    warcs: Mapping[str, WarcReading],
    ended: Entry,
    ledger: Ledger,
    report: AuditReport,
) -> None:
    """Everything that can be said of one manifest's bytes; findings go to the report."""
    key, index = item["key"], ended.index
    if digest_bytes(data) != digests_of(item):
        report.findings.append(_changed(item, data, warcs, ended))
        return
    try:
        manifest = parse_manifest(data)
    except ManifestError as error:
        report.findings.append(Finding.of(key, error, index))
        return
    for field, detail in _against_entry(manifest, ended, ledger):
        report.findings.append(Finding(key, "manifest-entry", detail, field=field, entry=index))
    for field, detail in _against_warc(manifest, warcs, ended):
        report.findings.append(Finding(key, "manifest-warc", detail, field=field, entry=index))
    try:  # where there is a manifest, there is a signature: evidence/entry.py
        collectors = {life.key: life for life in ledger.keys.active("collector", index)}
        signer = collectors[dsse.verify(data, ended.ended["signature"], list(collectors))]
        if not ledger.keys.counts(signer, index + 1):
            report.notes.append(
                f"{key}: its collector's key is compromised since {signer.since}; not shown to be older"
            )
    except SignatureError as error:
        if error.rule == "signature-key" and ledger.damaged:
            report.notes.append(f"{key}: entries are damaged, and its key's may be among them")
        else:
            report.findings.append(Finding.of(key, error, index))


def _changed(item: ObjectJson, data: bytes, warcs: Mapping[str, WarcReading], ended: Entry) -> Finding:
    """Which field differs from what was stored: the WARC's copy gives the bytes as they were."""
    for named in ended.ended["objects"]:
        reading = warcs.get(named["key"], WarcReading())
        facts = {name: value for name, value in named.items() if name != "version"}
        try:
            original = reseal(reading.sealed or b"", facts | {"records": len(reading.records)})
        except CheckFailedError:  # no copy, or none that is sound
            continue
        offset = first_difference(data, original)
        if offset is not None and digest_bytes(original) == digests_of(item):
            field = field_at(original, min(offset, len(original) - 1))
            return replace(changed(item, 1, ended), offset=offset, field=field)
    return changed(item, len(data), ended, "; no sound copy in a WARC to compare with")


def _against_entry(manifest: Manifest, ended: Entry, ledger: Ledger) -> Iterator[tuple[str, str]]:
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
            yield field, f"{said!r}, but the ledger has {logged!r}"


def _against_warc(
    manifest: Manifest, warcs: Mapping[str, WarcReading], ended: Entry
) -> Iterator[tuple[str, str]]:
    named = {item["key"]: item for item in ended.ended["objects"]}.get(manifest.warc["key"])
    if named is None:
        yield "warc.key", f"{manifest.warc['key']} is not among the objects of entry {ended.index}"
        return
    for name in ("sha256", "sha512", "size"):
        if named[name] != manifest.warc[name]:
            yield f"warc.{name}", f"differs from entry {ended.index}"
    reading = warcs.get(manifest.warc["key"])
    if reading is None or not reading.sound:
        return
    if reading.sealed != sealed_form(manifest):
        yield "", "the copy inside the WARC is not this manifest as it was sealed"
    if len(reading.records) != manifest.warc["records"]:
        yield "warc.records", f"the WARC has {len(reading.records)} records"
    for record in sorted(manifest.record_ids - set(reading.records)):
        yield "", f"the WARC has no record {record}"
    yield from _against_payloads(manifest, reading)


def _against_payloads(manifest: Manifest, reading: WarcReading) -> Iterator[tuple[str, str]]:
    """An original that is one uncoded payload has that payload's digest."""
    for number, medium in enumerate(manifest.document["media"]):
        spans = [reading.records[record] for record in medium["records"] if record in reading.records]
        if medium["role"] != "original" or len(spans) != 1 or spans[0].encoded:
            continue
        if spans[0].payload_digest not in {"", medium["sha256"]}:
            yield f"media[{number}].sha256", f"the payload of {spans[0].record_id} differs"
