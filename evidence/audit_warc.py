"""Reading one WARC for the audit: once, in constant memory, digests and records together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from evidence.audit_report import AuditReport, Finding, ObjectSource
from evidence.digests import CHUNK, Digester
from evidence.entry import Entry, ObjectJson
from evidence.errors import WarcError
from evidence.manifest import MAX_MANIFEST
from evidence.warc_check import RecordSpan, extract_payload, read_warc
from evidence.warc_damage import OpenAt, damaged_range, suspects


@dataclass(slots=True)
class WarcReading:
    """What one reading gave; `sound` if every record is, and the bytes are those that the entry names."""

    records: dict[str, RecordSpan] = field(default_factory=dict)
    """By record id, up to the first defect."""
    sealed: bytes | None = None
    """The manifest as it lies inside, where it can be had."""
    sound: bool = False


class _Digesting:
    """Hands a stream's bytes on and digests them."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.digester = Digester()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.digester.update(data)
        return data


def read_whole_warc(
    source: ObjectSource,
    item: ObjectJson,
    version: str | None,
    stream: BinaryIO,
    ended: Entry,
    report: AuditReport,
) -> WarcReading:
    """Read and compare a WARC object; a defect becomes a finding with the byte range of its record."""
    key, reading, digesting = item["key"], WarcReading(), _Digesting(stream)

    def open_at(start: int, length: int | None) -> BinaryIO:
        return source.open(key, version, start, length)

    broken: WarcError | None = None
    try:
        for span in read_warc(digesting):
            reading.records[span.record_id] = span
    except WarcError as error:
        broken = error
    while digesting.read(CHUNK):
        pass
    found = digesting.digester.result()
    same = found.as_json() == {name: dict(item)[name] for name in ("sha256", "sha512", "size")}
    report.counts["bytes"] += found.size
    report.counts["records"] += len(reading.records)
    if broken is not None:
        offset, length = broken.offset or 0, broken.length
        if length is None:
            offset, length = damaged_range(open_at, offset, found.size)
        since = "it was stored so" if same else "it was changed since it was stored"
        detail = f"{broken.detail}; {since}"
        report.findings.append(Finding(key, broken.rule, detail, offset, length, entry=ended.index))
    elif not same:
        report.findings += _changed_unseen(open_at, key, found.size, ended)
    reading.sealed = _sealed_manifest(open_at, ended.subject, reading)
    reading.sound = same and broken is None
    return reading


def _changed_unseen(open_at: OpenAt, key: str, size: int, ended: Entry) -> Iterator[Finding]:
    """All records are sound, and yet the bytes differ: replaced, cut at a record, or a meaningless bit."""
    named = f"the digest is not that of entry {ended.index}"
    spans = suspects(open_at)
    for span in spans:
        detail = f"{named}; this record's compression differs from what the recorder writes"
        yield Finding(key, "object-digest", detail, span.offset, span.length, entry=ended.index)
    if not spans:
        detail = f"{named}, though every record is sound: records were replaced, added or left out"
        yield Finding(key, "object-digest", detail, 0, size, entry=ended.index)


def _sealed_manifest(open_at: OpenAt, capture: str, reading: WarcReading) -> bytes | None:
    uri = f"urn:akashi:{capture}:manifest.json"
    spans = [s for s in reading.records.values() if s.type == "resource" and s.target_uri == uri]
    if len(spans) != 1 or spans[0].block_size > MAX_MANIFEST:
        return None
    with open_at(spans[0].offset, spans[0].length) as stream:
        return b"".join(extract_payload(stream))
