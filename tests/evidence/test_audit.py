"""Tampering with a small whole archive, byte by byte and object by object: what, where, by which rule."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import pytest

from evidence import audit_objects
from evidence.audit import AuditReport, Expectations, audit
from evidence.audit_ledger import REMEMBERED, audit_ledger
from evidence.canonical import canonical
from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key
from evidence.digests import digest_bytes
from evidence.dsse import sign
from evidence.entry import Entry, chain
from evidence.manifest import reseal, seal
from evidence.note import SigningKey, sign_note
from evidence.segment import encode_segment, parse_segment, segment_key, split_lines
from evidence.tree import leaf_hash, root_of
from evidence.warc_check import read_warc
from tests.evidence import samples, warcs
from tests.evidence.archives import (
    Head,
    Log,
    MemoryArchive,
    audited,
    build,
    capture_id,
    close,
    closing_body,
    folder,
    manifest_key,
    preserve,
    rules,
    started_body,
    warc_and_manifest,
    warc_key,
)

FIRST, SECOND, OPEN = capture_id(10), capture_id(11), capture_id(12)


@pytest.fixture
def archive() -> MemoryArchive:
    return build()[0]


@pytest.fixture
def log() -> Log:
    return build()[1]


def test_a_sound_archive_has_no_findings(archive: MemoryArchive, log: Log) -> None:
    report = audited(archive, log)
    assert report.findings == []
    assert report.notes == [
        "there are no tiles: strangers' tools find none, and nothing else needs them",
        f"capture {OPEN} is not closed: under way, or to be recovered",
    ]
    assert report.counts["entries"] == 7
    assert report.counts["records"] == 8
    assert "0 findings" in report.summary()


def ledger_report(archive: MemoryArchive, expected: Expectations) -> AuditReport:
    report = AuditReport()
    audit_ledger(archive, expected, report)
    return report


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 3, 5])
def test_every_byte_of_a_segment_is_vouched_for(archive: MemoryArchive, log: Log, first: int) -> None:
    key, expected = segment_key(first), log.expectations()
    data = archive.data(key)
    for line in split_lines(data):
        for position in range(line.offset, line.offset + line.length):
            for changed in {data[position] ^ 1, ord("\n")} - {data[position]}:
                archive.replace_bytes(key, data[:position] + bytes([changed]) + data[position + 1 :])
                findings = ledger_report(archive, expected).findings
                assert len(findings) == 1, (position, changed, findings)
                found = findings[0]
                assert (found.object, found.offset) == (key, line.offset), (position, changed, found)
                assert line.length <= (found.length or 0), (position, changed, found)


@pytest.mark.parametrize("key", [checkpoint_key(3), checkpoint_key(7), POINTER])
def test_every_byte_of_a_checkpoint_counts(archive: MemoryArchive, log: Log, key: str) -> None:
    expected, data = log.expectations(), archive.data(key)
    for position in range(len(data)):
        archive.replace_bytes(key, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert {found.object for found in ledger_report(archive, expected).findings} == {key} | (
            {POINTER} if key == checkpoint_key(7) else set()
        )


def test_bytes_of_a_manifest_are_named_by_field_and_offset(archive: MemoryArchive, log: Log) -> None:
    key = manifest_key(FIRST)
    data = archive.data(key)
    for position in range(1, len(data) - 1, 11):
        archive.replace_bytes(key, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        (found,) = audited(archive, log).findings
        assert (found.object, found.rule, found.offset, found.length) == (key, "object-digest", position, 1)
        assert found.field
    for changed in (data[:-1], data + b"\n", b"", data.replace(b'"asserted"', b'"oidc"')):
        archive.replace_bytes(key, changed)
        (found,) = audited(archive, log).findings
        assert (found.object, found.rule) == (key, "object-digest")
    assert found.field == "request.operator.method"


def test_bytes_of_a_warc_are_named_by_their_record(archive: MemoryArchive, log: Log) -> None:
    key = warc_key(FIRST)
    data = archive.data(key)
    for span in read_warc(io.BytesIO(data)):
        for position in range(span.offset, span.offset + span.length, 7):
            archive.replace_bytes(key, data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
            (found,) = audited(archive, log).findings
            # Padding in deflate data means nothing: all records are sound, and the whole file is named.
            where = (0, len(data)) if found.rule == "object-digest" else (span.offset, span.length)
            assert (found.object, found.offset, found.length) == (key, *where)


@pytest.mark.parametrize(
    "change", ["record dropped", "records swapped", "record replaced", "cut at a record"]
)
def test_a_well_formed_warc_that_is_another_is_found(archive: MemoryArchive, log: Log, change: str) -> None:
    data = archive.data(warc_key(FIRST))
    parts = [data[s.offset : s.offset + s.length] for s in read_warc(io.BytesIO(data))]
    other = {
        "record dropped": [parts[0], *parts[2:]],
        "records swapped": [parts[0], parts[2], parts[1], parts[3]],
        "record replaced": [parts[0], warcs.response(2, "https://video.example/v.mp4", b"other"), *parts[2:]],
        "cut at a record": parts[:2],
    }[change]
    archive.replace_bytes(warc_key(FIRST), b"".join(other))
    report = audited(archive, log)
    assert rules(report) == [(warc_key(FIRST), "object-digest")]
    assert report.findings[0].length == len(b"".join(other))


def rewrite(archive: MemoryArchive, first: int, lines: list[bytes], count: int | None = None) -> None:
    """Put other lines into a segment, with a header that fits them unless `count` says otherwise."""
    header = json.loads(archive.data(segment_key(first)).split(b"\n")[0])
    header["count"] = len(lines) if count is None else count
    data = b"".join(line + b"\n" for line in (canonical(header), *lines))
    archive.replace_bytes(segment_key(first), data)


@pytest.mark.parametrize("recounted", [True, False])
@pytest.mark.parametrize("index", range(7))
def test_a_dropped_entry_is_named(archive: MemoryArchive, log: Log, index: int, recounted: bool) -> None:
    first = max(n for n in (0, 3, 5) if n <= index)
    end = {0: 3, 3: 5, 5: 7}[first]
    left = [log.entries[n] for n in range(first, end) if n != index]
    rewrite(archive, first, left, None if recounted else end - first)
    found = [f for f in audited(archive, log).findings if f.rule.startswith("entry-")]
    assert [(f.rule, f.entry) for f in found] == [("entry-dropped", index)]
    assert found[0].object in {segment_key(first), segment_key(index)}
    assert f"entry {index}" in found[0].detail


def test_the_last_segment_is_missed_through_checkpoint_pointer_or_memory(
    archive: MemoryArchive, log: Log
) -> None:
    del archive.objects[segment_key(5)]
    dropped = (segment_key(5), "entry-dropped")
    assert dropped in rules(audit(archive, Expectations((samples.LOG_KEY.verifier,))))
    del archive.objects[checkpoint_key(7)]
    assert {dropped, (POINTER, "checkpoint-pointer")} <= set(
        rules(audit(archive, Expectations((samples.LOG_KEY.verifier,))))
    )
    archive.replace_bytes(POINTER, archive.data(checkpoint_key(5)))
    report = audited(archive, log)
    assert dropped in rules(report)
    assert "entries 5 to 6" in report.findings[0].detail


def test_the_last_entry_alone_is_missed_when_all_else_was_wound_back(
    archive: MemoryArchive, log: Log
) -> None:
    rewrite(archive, 5, log.entries[5:6])
    del archive.objects[checkpoint_key(7)]
    archive.replace_bytes(POINTER, archive.data(checkpoint_key(5)))
    (found,) = audited(archive, log).findings
    assert (found.rule, found.entry) == ("entry-dropped", 6)
    without_memory = audit(archive, Expectations((samples.LOG_KEY.verifier,)))
    assert without_memory.findings == []  # which is why there is a memory, and why its lack is a note
    assert any("could be dropped unseen" in note for note in without_memory.notes)


def test_a_middle_segment_is_missed(archive: MemoryArchive, log: Log) -> None:
    del archive.objects[segment_key(3)]
    found = [f for f in audited(archive, log).findings if f.rule == "entry-dropped"]
    assert [(f.object, f.entry, f.detail) for f in found] == [
        (segment_key(3), 3, "entries 3 to 4 are missing")
    ]


@pytest.mark.parametrize("index", range(7))
def test_a_duplicated_entry_is_named(archive: MemoryArchive, log: Log, index: int) -> None:
    first = max(n for n in (0, 3, 5) if n <= index)
    end = {0: 3, 3: 5, 5: 7}[first]
    lines = [log.entries[n] for n in range(first, end) for _ in range(1 + (n == index))]
    rewrite(archive, first, lines)
    found = [f for f in audited(archive, log).findings if f.rule.startswith("entry-")]
    assert [(f.object, f.rule, f.entry) for f in found] == [(segment_key(first), "entry-duplicated", index)]
    offset = found[0].offset or 0
    assert archive.data(segment_key(first))[offset:].startswith(log.entries[index])


def test_a_segment_under_a_second_key_is_named(archive: MemoryArchive, log: Log) -> None:
    archive.put(segment_key(7), archive.data(segment_key(5)))
    report = audited(archive, log)
    assert {(f.object, f.rule, f.entry) for f in report.findings} == {
        (segment_key(7), "entry-duplicated", 5),
        (segment_key(7), "entry-duplicated", 6),
    }


@pytest.mark.parametrize("order", [(0, 2, 1), (1, 0, 2), (2, 1, 0)])
def test_reordered_entries_are_named(archive: MemoryArchive, log: Log, order: tuple[int, ...]) -> None:
    rewrite(archive, 0, [log.entries[n] for n in order])
    found = [f for f in audited(archive, log).findings if f.rule.startswith("entry-")]
    behind = {n for place, n in enumerate(order) if any(before > n for before in order[:place])}
    assert {(f.object, f.rule, f.entry) for f in found} == {
        (segment_key(0), "entry-reordered", n) for n in behind
    }


def test_the_last_two_entries_swapped_are_named(archive: MemoryArchive, log: Log) -> None:
    rewrite(archive, 5, [log.entries[6], log.entries[5]])
    found = [f for f in audited(archive, log).findings if f.rule.startswith("entry-")]
    assert [(f.rule, f.entry) for f in found] == [("entry-reordered", 5)]


def rechained(entries: list[bytes]) -> list[bytes]:
    result: list[bytes] = []
    for index, data in enumerate(entries):
        document = json.loads(data) | {"index": index, "prev": chain(result[-1] if result else None)}
        result.append(canonical(document))
    return result


def publish_anew(archive: MemoryArchive, entries: list[bytes], key: SigningKey | None) -> None:
    for name in [name for name in archive.objects if name.startswith("ledger/segments/")]:
        del archive.objects[name]
    archive.put(segment_key(0), encode_segment(entries))
    if key is None:
        return
    for name in [name for name in archive.objects if name.startswith("ledger/checkpoint")]:
        del archive.objects[name]
    root = root_of([leaf_hash(entry) for entry in entries])
    note = sign_note(Checkpoint(samples.ORIGIN, len(entries), root).body(), [key])
    archive.put(checkpoint_key(len(entries)), note)
    archive.put(POINTER, note)


def test_history_written_anew_breaks_the_roots(archive: MemoryArchive, log: Log) -> None:
    changed = json.loads(log.entries[2]) | {"time": "2020-01-01T00:00:00.000Z"}
    anew = rechained([*log.entries[:2], canonical(changed), *log.entries[3:]])
    publish_anew(archive, anew, None)
    report = audited(archive, log)
    assert (checkpoint_key(3), "root") in rules(report)
    assert (REMEMBERED, "root") in rules(report)


def test_history_written_anew_by_the_keys_holder_breaks_what_an_auditor_remembers(
    archive: MemoryArchive, log: Log
) -> None:
    changed = json.loads(log.entries[2]) | {"time": "2020-01-01T00:00:00.000Z"}
    publish_anew(
        archive, rechained([*log.entries[:2], canonical(changed), *log.entries[3:]]), samples.LOG_KEY
    )
    assert rules(audited(archive, log)) == [(REMEMBERED, "root")]
    assert rules(audit(archive, Expectations((samples.LOG_KEY.verifier,)))) == []


def test_another_log_under_another_key_is_refused(archive: MemoryArchive, log: Log) -> None:
    stranger = SigningKey.from_seed(samples.ORIGIN, bytes(31) + b"\x09")
    opened = json.loads(log.entries[0]) | {"body": {"origin": samples.ORIGIN, "vkey": stranger.vkey}}
    publish_anew(archive, rechained([canonical(opened), *log.entries[1:]]), stranger)
    found = rules(audited(archive, log))
    assert (segment_key(0), "log-key") in found
    assert (checkpoint_key(7), "unsigned") in found


def test_without_a_key_the_archives_word_is_taken_and_said_so(archive: MemoryArchive) -> None:
    report = audit(archive)
    assert report.findings == []
    assert any("taken from the archive itself" in note for note in report.notes)


def test_a_ledger_under_no_checkpoint_at_all_is_nobodys_word(archive: MemoryArchive, log: Log) -> None:
    """The storage's admin, who has no key, writes the log anew and drops what was signed; a partner audits."""
    for key in [checkpoint_key(size) for size in (3, 5, 7)] + [POINTER]:
        del archive.objects[key]
    partner = Expectations((samples.LOG_KEY.verifier,))
    assert rules(audit(archive, partner)) == [("ledger/checkpoints/", "checkpoint-missing")]
    assert audit(archive, log.expectations()).findings == []  # what is remembered vouches as well


FAR = 999_999_999_000


def claiming(log: Log, first: int) -> list[bytes]:
    """Two entries that say to be number `first` and the next, the second vouching for the first."""
    made = [canonical(json.loads(log.entries[2]) | {"index": first, "prev": "ab" * 32})]
    return [*made, canonical(json.loads(log.entries[2]) | {"index": first + 1, "prev": chain(made[0])})]


def test_a_segment_far_beyond_the_log_does_not_keep_the_audit_from_ending(
    archive: MemoryArchive, log: Log
) -> None:
    archive.put(segment_key(FAR), encode_segment(claiming(log, FAR)))
    assert rules(audited(archive, log)) == [(segment_key(FAR), "object-extra")]


def test_lines_that_claim_a_place_far_beyond_the_log_do_not_either(archive: MemoryArchive, log: Log) -> None:
    archive.put(segment_key(7), encode_segment(claiming(log, FAR)))
    assert rules(audited(archive, log)) == [(segment_key(7), "entry-changed")]


def test_a_checkpoint_far_beyond_the_log_does_not_either(archive: MemoryArchive, log: Log) -> None:
    note = sign_note(replace(log.checkpoint(), size=FAR).body(), [samples.LOG_KEY])
    archive.put(checkpoint_key(FAR), note)
    assert rules(audited(archive, log)) == [(checkpoint_key(FAR), "entry-dropped")]


def test_entries_behind_the_newest_checkpoint_are_a_note(archive: MemoryArchive, log: Log) -> None:
    expected = log.expectations()
    log.append("capture.started", capture_id(13), started_body())
    log.publish(archive, signed=False)
    report = audit(archive, expected)
    assert report.findings == []
    assert "entries 7 to 7 are not under a checkpoint yet" in report.notes


def test_a_missing_object_is_named_with_what_a_delete_marker_left(archive: MemoryArchive, log: Log) -> None:
    for key in (warc_key(FIRST), manifest_key(SECOND)):
        del archive.objects[key]
    assert sorted(rules(audited(archive, log))) == sorted(
        [(warc_key(FIRST), "object-missing"), (manifest_key(SECOND), "object-missing")]
    )


@pytest.mark.parametrize(
    "key",
    [
        f"{folder(FIRST)}extra.bin",
        f"{folder(capture_id(99))}manifest.json",
        "captures/stray",
        "ledger/tiles/0",
        "ledger/segments/7",
        "ledger/checkpoints/7",
    ],
)
def test_an_object_that_nobody_names_is_extra(archive: MemoryArchive, log: Log, key: str) -> None:
    archive.put(key, b"x")
    assert rules(audited(archive, log)) == [(key, "object-extra")]


def test_what_belongs_to_a_capture_under_way_is_a_note(archive: MemoryArchive, log: Log) -> None:
    archive.put(warc_key(OPEN), b"half")
    report = audited(archive, log)
    assert report.findings == []
    assert f"{warc_key(OPEN)} belongs to a capture that is not closed" in report.notes


def test_an_object_written_over_is_named_and_its_first_bytes_still_checked(
    archive: MemoryArchive, log: Log
) -> None:
    archive.put(warc_key(FIRST), b"another version")
    archive.put(segment_key(3), archive.data(segment_key(3)))
    assert sorted(rules(audited(archive, log))) == sorted(
        [(segment_key(3), "object-versions"), (warc_key(FIRST), "object-versions")]
    )


def test_an_object_put_again_after_deletion_has_another_version(archive: MemoryArchive, log: Log) -> None:
    data = archive.data(warc_key(FIRST))
    del archive.objects[warc_key(FIRST)]
    archive.put(warc_key(FIRST), data)
    assert rules(audited(archive, log)) == [(warc_key(FIRST), "object-version")]


def test_a_copy_has_other_versions_throughout_and_that_is_a_note(archive: MemoryArchive, log: Log) -> None:
    copy = MemoryArchive({key: [("", held[-1][1])] for key, held in archive.objects.items()})
    report = audited(copy, log)
    assert report.findings == []
    assert any("this is a copy" in note for note in report.notes)


def test_of_versions_that_differ_only_so_many_are_held_until_one_agrees(
    archive: MemoryArchive, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_objects, "_HELD", 1)
    for key in (warc_key(FIRST), manifest_key(FIRST)):
        data = archive.data(key)
        del archive.objects[key]
        archive.put(key, data)
    report = audited(archive, log)
    assert rules(report) == [(warc_key(FIRST), "object-version")]
    assert "1 more objects have another version than their entry names" in report.notes


def test_since_reads_only_later_objects_again(archive: MemoryArchive, log: Log) -> None:
    archive.replace_bytes(warc_key(FIRST), b"x")
    assert audit(archive, log.expectations(), since="2027-01-01T00:00:00.000Z").findings == []
    assert audit(archive, log.expectations(), since=samples.TIME).findings


class Growing(MemoryArchive):
    """An archive in which another process starts, preserves and closes a capture between any two readings."""

    log: Log
    at: int
    calls: int = 0

    def step(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            started = self.log.append("capture.started", capture_id(20), started_body())
            self.log.publish(self)
            close(self.log, self, capture_id(20), started)
            self.log.publish(self)

    def list(self, prefix: str) -> Iterator[Head]:
        self.step()
        heads = list(super().list(prefix))
        for head in heads:
            self.step()
            yield head

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        self.step()
        return super().open(key, version, start, length)


def test_an_archive_that_grows_during_the_audit_gives_no_false_finding() -> None:
    at = 0
    while True:
        at += 1
        whole, log = build()
        growing = Growing(whole.objects, whole.puts)
        growing.log, growing.at = log, at
        report = audit(growing, log.expectations())
        assert report.findings == [], at
        if growing.calls < at:
            break
    assert at > 20


def archive_with(capture: str, manifest: bytes, **changes: Any) -> tuple[MemoryArchive, Log]:
    """An archive whose one capture has this manifest, and whose closing entry is changed."""
    archive, log = MemoryArchive(), Log()
    log.open()
    started = log.append("capture.started", capture, started_body())
    warc = warc_and_manifest(capture, started)[0]
    objects = preserve(archive, capture, warc, manifest)
    log.append("capture.completed", capture, closing_body(started, objects, manifest) | changes)
    log.publish(archive)
    return archive, log


def manifest_of(**changes: Any) -> bytes:
    """A manifest in which some sealed facts are others, over the unchanged WARC."""
    final = warc_and_manifest(FIRST, 2)[1]
    document = json.loads(final)
    warc = document.pop("warc")
    return reseal(seal({**document, **changes}), warc)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"capture": {"id": FIRST, "attempt_of": None, "started_entry": 1}}, {"capture.started_entry", ""}),
        ({"capture": {"id": FIRST, "attempt_of": SECOND, "started_entry": 2}}, {"capture.attempt_of", ""}),
        ({"request": {**samples.REQUEST, "case": "other"}}, {"request", ""}),
        ({"outcome": "partial", "reasons": [{"code": "no-video", "detail": ""}]}, {"outcome", "reasons", ""}),
        ({"salt": "0" * 32}, {""}),
    ],
)
def test_a_manifest_that_was_wrong_from_the_start_is_found(changes: dict[str, Any], fields: set[str]) -> None:
    archive, log = archive_with(FIRST, manifest_of(**changes))
    report = audited(archive, log)
    assert {found.field for found in report.findings} == fields
    assert {found.object for found in report.findings} == {manifest_key(FIRST)}


def test_a_manifest_that_names_records_or_media_that_are_not_there_is_found() -> None:
    media = json.loads(warc_and_manifest(FIRST, 2)[1])["media"]
    lost = [media[0] | {"records": [warcs.record_id(77)]}]
    other = [media[0] | {"sha256": "0" * 64}]
    for medium, said in ((lost, "has no record"), (other, "payload")):
        archive, log = archive_with(FIRST, manifest_of(media=medium))
        assert any(said in found.detail for found in audited(archive, log).findings)


def test_a_manifest_signed_by_another_key_is_found() -> None:
    manifest = warc_and_manifest(FIRST, 2)[1]
    for key, rule in (
        (samples.LOG_KEY, "signature-key"),
        (SigningKey.from_seed(samples.COLLECTOR.name, bytes(31) + b"\x09"), "signature-key"),
    ):
        archive, log = archive_with(FIRST, manifest, signature=dict(sign(manifest, key)))
        assert rules(audited(archive, log)) == [(manifest_key(FIRST), rule)]
    archive, log = archive_with(FIRST, manifest, signature=dict(sign(b"other", samples.COLLECTOR)))
    assert rules(audited(archive, log)) == [(manifest_key(FIRST), "signature")]


def test_a_key_counts_only_from_its_entry_on() -> None:
    archive, log = MemoryArchive(), Log()
    origin = samples.ORIGIN
    log.append("log.opened", origin, {"origin": origin, "vkey": samples.LOG_KEY.vkey})
    started = log.append("capture.started", FIRST, started_body())
    close(log, archive, FIRST, started)
    log.append("key.added", origin, {"role": "collector", "vkey": samples.COLLECTOR.vkey})
    log.publish(archive)
    assert rules(audited(archive, log)) == [(manifest_key(FIRST), "signature-key")]


def test_a_capture_starts_once_and_closes_once_by_its_own_start() -> None:
    archive, log = MemoryArchive(), Log()
    log.open()
    started = log.append("capture.started", FIRST, started_body())
    log.append("capture.started", FIRST, started_body())
    failed = {"outcome": "failed", "reasons": ["interrupted"], "objects": [], "signature": None}
    log.append("capture.failed", FIRST, {"started": started, **failed})
    log.append("capture.failed", FIRST, {"started": started, **failed})
    log.append("capture.failed", SECOND, {"started": started, **failed})
    log.publish(archive)
    assert [(f.rule, f.entry) for f in audited(archive, log).findings] == [
        ("capture-started-twice", 3),
        ("capture-closed-twice", 5),
        ("capture-not-started", 6),
    ]


def test_an_object_of_another_kind_is_compared_too() -> None:
    archive, log = MemoryArchive(), Log()
    log.open()
    started = log.append("capture.started", FIRST, started_body())
    warc, manifest = warc_and_manifest(FIRST, started)
    objects = preserve(archive, FIRST, warc, manifest)
    key = f"{folder(FIRST)}note.txt"
    version = archive.put(key, b"text")
    objects.append({"key": key, "version": version, **digest_bytes(b"text").as_json()})
    log.append("capture.completed", FIRST, closing_body(started, objects, manifest))
    log.publish(archive)
    assert rules(audited(archive, log)) == []
    archive.replace_bytes(key, b"test")
    assert rules(audited(archive, log)) == [(key, "object-digest")]


def test_findings_print_their_place(archive: MemoryArchive, log: Log) -> None:
    data = bytearray(archive.data(segment_key(3)))
    line = parse_segment(bytes(data)).entries[0]
    data[line.offset + 20] ^= 1
    archive.replace_bytes(segment_key(3), bytes(data))
    (found,) = audited(archive, log).findings
    assert found.as_line().startswith(
        f"{segment_key(3)} bytes {line.offset}-{line.offset + line.length - 1} "
    )
    assert found.as_json() | {"detail": ""} == {
        "object": segment_key(3),
        "offset": line.offset,
        "length": line.length,
        "entry": 3,
        "rule": "entry-changed",
        "detail": "",
    }
    assert Entry.decode(line.data).index == 3


def test_a_manifest_that_was_stored_malformed_is_told_from_one_that_was_changed() -> None:
    archive, log = archive_with(FIRST, manifest_of() + b"\n")
    (found,) = audited(archive, log).findings
    assert found.rule == "canonical"  # and not object-digest


def test_a_changed_manifest_without_a_sound_copy_has_no_field(archive: MemoryArchive, log: Log) -> None:
    data = archive.data(manifest_key(FIRST))
    archive.replace_bytes(manifest_key(FIRST), data.replace(b"Aiko", b"Eiko"))
    del archive.objects[warc_key(FIRST)]
    found = [f for f in audited(archive, log).findings if f.object == manifest_key(FIRST)]
    assert [(f.rule, f.offset, f.length, f.field) for f in found] == [("object-digest", 0, len(data), "")]
    assert "no sound copy" in found[0].detail


def test_a_manifest_that_names_another_warc_is_found() -> None:
    final = json.loads(warc_and_manifest(FIRST, 2)[1])
    warc = final.pop("warc")
    for change, field in (
        ({"key": f"{folder(FIRST)}other.warc.gz"}, "warc.key"),
        ({"sha512": "0" * 128}, "warc.sha512"),
        ({"records": 5}, "warc.records"),
    ):
        archive, log = archive_with(FIRST, reseal(canonical(final), warc | change))
        assert [found.field for found in audited(archive, log).findings] == [field]


def test_a_damaged_key_entry_leaves_signatures_unjudged(archive: MemoryArchive, log: Log) -> None:
    key = segment_key(0)
    line = parse_segment(archive.data(key)).entries[1]
    archive.replace_bytes(key, archive.data(key).replace(b'"collector"', b'"collectos"'))
    report = audited(archive, log)
    assert [(f.rule, f.offset) for f in report.findings] == [("entry-changed", line.offset)]
    assert sum("its key's may be among them" in note for note in report.notes) == 2
