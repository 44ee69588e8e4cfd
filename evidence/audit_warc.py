"""Step 6 of the audit: one WARC read once, in constant memory, digests and records together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

from evidence.audit_report import AuditReport, Finding
from evidence.digests import CHUNK, Digester
from evidence.entry import CRAWL_ENDED, CRAWL_REQUEST, Entry, ObjectJson, digests_of
from evidence.errors import WarcError
from evidence.gzip_member import HEADER, HEADER_BYTES
from evidence.manifest import MAX_MANIFEST
from evidence.warc_check import RecordSpan, extract_payload, read_warc

OpenAt: TypeAlias = Callable[[int, int | None], BinaryIO]
"""Opens the file at an offset, for a length or (None) to its end."""


@dataclass(slots=True)
class WarcReading:
    """What one reading gave: the records by id, up to the first defect; `sealed`, the document inside.

    `sound` if every record is, and the bytes are those that the entry names.
    """

    records: dict[str, RecordSpan] = field(default_factory=dict)
    sealed: bytes | None = None
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


def changed(item: ObjectJson, size: int, ended: Entry, more: str = "") -> Finding:
    """An object of other bytes than its entry says, without a place."""
    detail = f"the digest is not that of entry {ended.index}{more}"
    return Finding(item["key"], "object-digest", detail, 0, size, entry=ended.index)


def read_whole_warc(open_at: OpenAt, item: ObjectJson, ended: Entry, report: AuditReport) -> WarcReading:
    """Read and compare a WARC object; a defect becomes a finding with the byte range of its record."""
    reading, broken = WarcReading(), None
    with open_at(0, None) as stream:
        digesting = _Digesting(stream)
        try:
            for span in read_warc(digesting):
                reading.records[span.record_id] = span
        except WarcError as error:
            broken = error
        while digesting.read(CHUNK):
            pass
    found = digesting.digester.result()
    same = found == digests_of(item)
    reading.sound = same and broken is None
    report.counts["bytes"] += found.size
    report.counts["records"] += len(reading.records)
    if broken is not None:
        offset = broken.offset or 0
        length = broken.length or damaged_length(open_at, offset, found.size)
        detail = f"{broken.detail}; {'it was stored so' if same else 'it was changed since it was stored'}"
        report.findings.append(Finding(item["key"], broken.rule, detail, offset, length, entry=ended.index))
    elif not same:  # records replaced, added or left out, or a bit that has no meaning in deflate data
        report.findings.append(changed(item, found.size, ended, ", though every record is sound"))
    name = CRAWL_REQUEST if ended.type == CRAWL_ENDED else "manifest.json"
    reading.sealed = _sealed(open_at, f"urn:akashi:{ended.subject}:{name}", reading)
    return reading


def damaged_length(open_at: OpenAt, start: int, size: int) -> int:
    """Bytes of the damage that begins with the record at `start`, whose end cannot be read.

    It ends where sound records begin that run to the end of the file, of `size` bytes: a WARC recorded
    inside this one does not, so the range always covers the damage, further damage behind it too.
    """
    passed: set[int] = set()
    for offset in _candidates(open_at, start + 1):
        if offset in passed:  # on a run that is known to break off later
            continue
        with open_at(offset, None) as stream:
            try:
                passed.update(span.offset for span in read_warc(stream, offset))
            except WarcError:
                continue
        return offset - start
    return size - start


def _candidates(open_at: OpenAt, offset: int) -> Iterator[int]:
    """Offsets at which a gzip member may begin."""
    held = b""
    with open_at(offset, None) as stream:
        while data := stream.read(CHUNK):
            held += data
            for match in HEADER.finditer(held):
                yield offset + match.start()
            offset += max(0, len(held) - HEADER_BYTES + 1)
            held = held[-HEADER_BYTES + 1 :]


def _sealed(open_at: OpenAt, uri: str, reading: WarcReading) -> bytes | None:
    spans = [span for span in reading.records.values() if span.header("WARC-Target-URI") == uri]
    if len(spans) != 1 or int(spans[0].header("Content-Length")) > MAX_MANIFEST:
        return None
    with open_at(spans[0].offset, spans[0].length) as stream:
        return b"".join(extract_payload(stream))
