"""Attacks on stored evidence: rows 1, 2, 3, 13, 14, 23, 24 and 27 of docs/threat-model.md."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from warcio.checker import Checker

from evidence.digests import digest_bytes
from evidence.dsse import sign
from evidence.entry import Entry
from evidence.errors import CheckFailedError
from evidence.manifest import reseal, seal
from evidence.segment import segment_key
from evidence.warc_check import read_warc
from tests.evidence import samples, warcs
from tests.evidence.archives import (
    Log,
    MemoryArchive,
    audited,
    capture_id,
    closing_body,
    manifest_key,
    preserve,
    rules,
    started_body,
    warc_and_manifest,
    warc_key,
)

CAPTURE = capture_id(10)
WARC, MANIFEST = warc_key(CAPTURE), manifest_key(CAPTURE)


def test_01_a_byte_of_a_stored_video_is_changed(archive: MemoryArchive, log: Log) -> None:
    data = archive.data(WARC)
    at = data.index(b"moovmoov")
    archive.replace_bytes(WARC, data[:at] + b"M" + data[at + 1 :])
    (found,) = audited(archive, log).findings
    assert found.object == WARC
    assert (found.offset or 0) <= at < (found.offset or 0) + (found.length or 0)


def repacked(data: bytes, old: bytes, new: bytes) -> bytes:
    """A WARC in which a header is another: every record is packed again, every digest fits."""
    parts = []
    for span in read_warc(io.BytesIO(data)):
        member = data[span.offset : span.offset + span.length]
        content = gzip.decompress(member)
        parts.append(warcs.deflated(content.replace(old, new)))
    return b"".join(parts)


@pytest.mark.parametrize("how", ["date", "record-dropped", "records-swapped", "cut-at-a-record"])
def test_02_a_warc_is_changed_so_that_warcio_finds_nothing(
    archive: MemoryArchive, log: Log, tmp_path: Path, how: str
) -> None:
    data = archive.data(WARC)
    parts = [data[span.offset : span.offset + span.length] for span in read_warc(io.BytesIO(data))]
    changed = {
        "date": repacked(data, b"2026-11-23T08:13:01.000000Z", b"2020-11-23T08:13:01.000000Z"),
        "record-dropped": b"".join([parts[0], *parts[2:]]),
        "records-swapped": b"".join([parts[0], parts[2], parts[1], parts[3]]),
        "cut-at-a-record": b"".join(parts[:2]),
    }[how]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(changed)
    assert Checker(SimpleNamespace(inputs=[str(path)], verbose=False)).process_all() == 0
    archive.replace_bytes(WARC, changed)
    assert (WARC, "object-digest") in rules(audited(archive, log))


def test_03_a_manifest_is_changed(archive: MemoryArchive, log: Log) -> None:
    archive.replace_bytes(MANIFEST, archive.data(MANIFEST).replace(b'"Aiko"', b'"Emil"', 1))
    (found,) = audited(archive, log).findings
    assert (found.object, found.rule, found.field) == (MANIFEST, "object-digest", "request.operator.name")


def test_03_a_manifest_and_its_digests_are_changed_but_not_the_collectors_signature() -> None:
    """Who holds the log's key, but not the collector's."""
    true = warc_and_manifest(CAPTURE, 2)[1]
    forged = _manifest(request={**samples.REQUEST, "operator": _EMIL})
    archive, log = _archive_of(forged, signature=dict(sign(true, samples.COLLECTOR)))
    assert (MANIFEST, "signature") in rules(audited(archive, log))


_EMIL = {"name": "Emil", "os_user": "emil", "host": "desk", "method": "asserted"}


def _manifest(**changes: object) -> bytes:
    """A manifest some of whose facts are others, over the unchanged WARC."""
    document = json.loads(warc_and_manifest(CAPTURE, 2)[1])
    warc = document.pop("warc")
    return reseal(seal({**document, **changes}), warc)


def _archive_of(manifest: bytes, warc: bytes = b"", **changes: object) -> tuple[MemoryArchive, Log]:
    """An archive of one capture that was logged with this manifest."""
    archive, log = MemoryArchive(), Log()
    log.open()
    started = log.append("capture.started", CAPTURE, started_body())
    objects = preserve(archive, CAPTURE, warc or warc_and_manifest(CAPTURE, started)[0], manifest)
    log.append("capture.completed", CAPTURE, closing_body(started, objects, manifest) | changes)
    log.publish(archive)
    return archive, log


def test_13_a_derivative_is_listed_as_the_original() -> None:
    medium = json.loads(warc_and_manifest(CAPTURE, 2)[1])["media"][0]
    remuxed = digest_bytes(b"ftyp: the same pictures in another container")
    archive, log = _archive_of(_manifest(media=[medium | {"sha256": remuxed.sha256, "bytes": remuxed.size}]))
    found = [finding for finding in audited(archive, log).findings if finding.field == "media[0].sha256"]
    assert [finding.rule for finding in found] == ["manifest-warc"]


def test_14_content_credentials_are_stripped_from_the_recorded_video() -> None:
    with_credentials = b"ftyp" + b"uuid c2pa jumb" + b"moov" * 200
    warc, manifest = warc_and_manifest(CAPTURE, 2, payload=with_credentials)
    stripped = repacked(warc, b"uuid c2pa jumb", b"free" + bytes(10))
    archive, log = _archive_of(manifest, warc)
    assert audited(archive, log).findings == []
    archive.replace_bytes(WARC, stripped)
    assert {found.object for found in audited(archive, log).findings} == {WARC}


@pytest.mark.parametrize("key", [WARC, MANIFEST])
def test_23_sha_256_alone_collides(key: str) -> None:
    """A second file with the same SHA-256 is one whose SHA-512 differs: as if the entry were of that other file."""
    warc, manifest = warc_and_manifest(CAPTURE, 2)
    archive, log = MemoryArchive(), Log()
    log.open()
    log.append("capture.started", CAPTURE, started_body())
    objects = preserve(archive, CAPTURE, warc, manifest)
    for item in objects:
        if item["key"] == key:
            item["sha512"] = digest_bytes(b"what was captured").sha512
    log.append("capture.completed", CAPTURE, closing_body(2, objects, manifest))
    log.publish(archive)
    assert (key, "object-digest") in rules(audited(archive, log))


def test_24_evidence_is_deleted(archive: MemoryArchive, log: Log) -> None:
    del archive.objects[WARC]
    assert rules(audited(archive, log)) == [(WARC, "object-missing")]


def test_24_entries_are_deleted(archive: MemoryArchive, log: Log) -> None:
    del archive.objects[segment_key(3)]
    assert (segment_key(3), "entry-dropped") in rules(audited(archive, log))


TRICKS = {
    "key-twice": lambda data: data.replace(b'{"body":', b'{"v":1,"body":', 1),
    "spaces": lambda data: data.replace(b",", b", ", 1),
    "byte-order-mark": lambda data: b"\xef\xbb\xbf" + data,
    "carriage-return": lambda data: data + b"\r",
    "number-as-float": lambda data: data.replace(b'"index":2', b'"index":2.0', 1),
    "number-too-long": lambda data: data.replace(b'"index":2', b'"index":' + b"9" * 400, 1),
    "escaped-letter": lambda data: data.replace(b"capture.started", b"c\\u0061pture.started", 1),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_27_an_entry_that_two_readers_could_read_differently(
    archive: MemoryArchive, log: Log, trick: str
) -> None:
    changed = TRICKS[trick](log.entries[2])
    assert changed != log.entries[2]
    with pytest.raises(CheckFailedError):
        Entry.decode(changed)
    data = archive.data(segment_key(0))
    archive.replace_bytes(segment_key(0), data.replace(log.entries[2], changed))
    assert (segment_key(0), "entry-changed") in rules(audited(archive, log))


def test_27_an_object_lies_beside_the_evidence(archive: MemoryArchive, log: Log) -> None:
    archive.put(WARC.replace("akashi-", "AKASHI-"), b"another")
    assert [rule for _, rule in rules(audited(archive, log))] == ["object-extra"]
