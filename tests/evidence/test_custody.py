"""Custody: what may follow what, that records and entries agree, and that locks are what entries say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence.canonical import canonical
from evidence.custody import Custody, encode_record, parse_record, same_person
from evidence.digests import digest_bytes
from evidence.entry import CUSTODY, Entry
from evidence.errors import CustodyError
from evidence.segment import segment_key
from tests.evidence import samples
from tests.evidence.archives import (
    Lock,
    Locking,
    Log,
    MemoryArchive,
    act,
    audited,
    build,
    capture_id,
    close,
    manifest_key,
    rules,
    side_record,
    started_body,
    warc_key,
)
from tests.vectors import make

CAPTURE = capture_id(10)
MARCH, MAY = "2027-03-31T00:00:00.000Z", "2027-05-31T00:00:00.000Z"
BUNDLE = digest_bytes(b"tagmanifest").as_json()
FACTS: dict[str, dict[str, Any]] = {
    "custody.accessed": {"how": "download"},
    "custody.exported": {"bundle": BUNDLE},
    "custody.retained": {"until": MARCH},
}


def life(*kinds: str, archive: MemoryArchive | None = None) -> tuple[MemoryArchive, Log]:
    """The small archive, and these acts on its first capture, one after the other; erasures by Ben."""
    built, log = build()
    archive = archive or built
    archive.objects, archive.puts = built.objects, built.puts
    for kind in kinds:
        facts, record = FACTS.get(kind, {}), None
        if kind == "custody.erased":
            facts = {"request": len(log.entries) - 1}
            record = side_record(kind, CAPTURE, "Ben")
        act(log, archive, kind, CAPTURE, record, **facts)
    return archive, log


def publish(archive: MemoryArchive, log: Log) -> list[tuple[str, str]]:
    log.publish(archive)
    return [
        (place, rule) for place, rule in rules(audited(archive, log)) if not place.startswith("captures/")
    ]


def short(*names: str) -> list[str]:
    return [f"custody.{name}" for name in names]


def test_every_side_record_of_the_vectors_is_read_and_written_again() -> None:
    paths = sorted((Path(make.__file__).parent / "custody").iterdir())
    assert {path.name.removesuffix(".json") for path in paths} == CUSTODY
    for path in paths:
        assert encode_record(parse_record(path.read_bytes())) == path.read_bytes()


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["released"], "custody-not-held"),
        (["held", "released", "released"], "custody-not-held"),
        (["cleared"], "custody-not-quarantined"),
        (["quarantined", "accessed"], "custody-quarantined"),
        (["quarantined", "exported"], "custody-quarantined"),
        (["held", "erasure-requested"], "custody-held"),
        (["erased"], "custody-no-request"),
        (["erasure-requested", "held", "released", "erased"], "custody-no-request"),
        (["erasure-requested", "erased", "accessed"], "custody-erased"),
        (["erasure-requested", "erased", "held"], "custody-erased"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_may_not_follow_is_named_by_its_rule(names: list[str], rule: str) -> None:
    archive, log = life(*short(*names))
    last = log.entries[-1]
    before = [entry for entry in map(Entry.decode, log.entries[:-1]) if entry.subject == CAPTURE]
    entry = Entry.decode(last)
    assert [found for found, _ in Custody.of(before).broken(entry.type, entry.body)] == [rule]
    assert (segment_key(7), rule) in publish(archive, log)


@pytest.mark.parametrize(
    "names",
    [
        ["held", "released", "held"],
        ["quarantined", "transferred", "cleared", "accessed", "exported"],
        ["retained", "retained"],
        ["held", "held", "released"],
    ],
    ids="-".join,
)
def test_what_may_follow_is_no_finding(names: list[str]) -> None:
    assert publish(*life(*short(*names))) == []


def test_a_capture_that_was_not_closed_before_has_no_custody() -> None:
    archive, log = life()
    act(log, archive, "custody.accessed", capture_id(12), how="view")
    assert publish(archive, log) == [(segment_key(7), "custody-not-closed")]


def test_custody_that_began_too_early_is_named_once() -> None:
    archive, log = build()
    started = log.append("capture.started", capture_id(13), started_body())
    act(log, archive, "custody.accessed", capture_id(13), how="view")
    close(log, archive, capture_id(13), started)
    act(log, archive, "custody.accessed", capture_id(13), how="view")
    assert publish(archive, log) == [(segment_key(7), "custody-not-closed")]


def test_other_objects_than_those_of_the_closing_entry_are_named() -> None:
    archive, log = life()
    act(log, archive, "custody.held", CAPTURE, objects=[{"key": manifest_key(CAPTURE), "version": "v9"}])
    assert publish(archive, log) == [(segment_key(7), "custody-objects")]


def test_retention_that_an_entry_shortens_is_named() -> None:
    archive, log = life()
    for until in (MAY, MARCH):
        act(log, archive, "custody.retained", CAPTURE, until=until)
    assert publish(archive, log) == [(segment_key(7), "custody-shortened")]


def erase(archive: MemoryArchive) -> None:
    for key in (warc_key(CAPTURE), manifest_key(CAPTURE)):
        archive.objects.pop(key, None)


def test_objects_that_were_lawfully_erased_are_a_note_and_the_proofs_of_all_else_stand() -> None:
    archive, log = life("custody.erasure-requested", "custody.erased")
    erase(archive)
    log.publish(archive)
    report = audited(archive, log)
    assert report.findings == []
    assert f"capture {CAPTURE} was erased by entry 8: its manifest cannot be checked any more" in report.notes


def test_objects_that_are_said_to_be_erased_and_lie_there_are_named() -> None:
    archive, log = life("custody.erasure-requested", "custody.erased")
    log.publish(archive)
    assert rules(audited(archive, log)) == [
        (warc_key(CAPTURE), "custody-not-erased"),
        (manifest_key(CAPTURE), "custody-not-erased"),
    ]


@pytest.mark.parametrize(
    "acts", [["custody.transferred"], ["custody.erasure-requested"]], ids=["no request", "request only"]
)
def test_objects_that_are_gone_without_a_second_person_are_missing(acts: list[str]) -> None:
    archive, log = life(*acts)
    erase(archive)
    log.publish(archive)
    assert {rule for _, rule in rules(audited(archive, log))} == {"object-missing"}


@pytest.mark.parametrize(
    ("name", "later", "explained"),
    [
        ("Ben", timedelta(hours=1), True),
        ("AIKO ", timedelta(hours=1), False),
        ("Ben", timedelta(days=1), False),
    ],
    ids=["in time", "one person", "never entered"],
)
def test_an_erasure_between_deletion_and_entry_is_explained_by_the_second_persons_record(
    name: str, later: timedelta, explained: bool
) -> None:
    archive, log = life("custody.erasure-requested")
    record = side_record("custody.erased", CAPTURE, name)
    archive.put("custody/2026/11/24/01KAR5Q8Z41X7JQ9D2N6V0D000.json", canonical(record))
    erase(archive)
    log.publish(archive)
    report = audited(archive, log, samples.MOMENT + later)
    assert {rule for _, rule in rules(report)} == (set() if explained else {"object-missing"})
    assert any("is not entered" in note for note in report.notes)
    assert any("as entry 7 asks, and not entered yet" in note for note in report.notes) == explained


def test_one_person_alone_cannot_erase() -> None:
    archive, log = life("custody.erasure-requested")
    act(log, archive, "custody.erased", CAPTURE, request=7)
    erase(archive)
    assert publish(archive, log) == [(segment_key(7), "custody-one-person")]


def test_a_person_is_one_whatever_the_width_case_and_spaces_of_the_name() -> None:
    one = side_record("custody.held", CAPTURE, "Sato  Aiko")
    assert same_person(one, side_record("custody.held", CAPTURE, " \uff33ato aiko"))
    assert not same_person(one, side_record("custody.held", CAPTURE, "Sato Aika"))


def test_every_byte_of_a_side_record_counts_and_its_loss_shows() -> None:
    archive, log = life("custody.held")
    (key,) = (key for key in archive.objects if key.startswith("custody/"))
    log.publish(archive)
    data = archive.data(key)
    for position in range(0, len(data), 17):
        archive.replace_bytes(key, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert rules(audited(archive, log)) == [(key, "object-digest")]
    archive.replace_bytes(key, data)
    assert rules(audited(archive, log)) == []
    del archive.objects[key]
    assert rules(audited(archive, log)) == [(key, "object-missing")]


@pytest.mark.parametrize(
    "record",
    [
        side_record("custody.released", CAPTURE),
        side_record("custody.held", capture_id(11)),
        b"{}",
        b"no json",
    ],
    ids=["of another act", "of another capture", "of no shape", "no json"],
)
def test_a_side_record_that_is_not_its_entrys_is_named(record: Any) -> None:
    archive, log = life()
    act(log, archive, "custody.held", CAPTURE, record)
    (key,) = (key for key in archive.objects if key.startswith("custody/"))
    assert publish(archive, log) == [(key, "custody-record")]


def test_a_side_record_that_a_second_entry_names_is_named() -> None:
    archive, log = life("custody.held")
    log.append("custody.held", CAPTURE, dict(Entry.decode(log.entries[7]).body))
    (key,) = (key for key in archive.objects if key.startswith("custody/"))
    assert publish(archive, log) == [(key, "custody-record")]


@pytest.mark.parametrize(
    ("key", "record"),
    [
        ("custody/2026/11/23/01KAR5Q8Z41X7JQ9D2N6V0D000.json", b"x"),
        ("custody/notes.txt", canonical(side_record("custody.held", CAPTURE))),
    ],
    ids=["no record", "no record's key"],
)
def test_what_lies_under_custody_and_is_no_side_record_is_extra(key: str, record: bytes) -> None:
    archive, log = life()
    archive.put(key, record)
    assert rules(audited(archive, log)) == [(key, "object-extra")]


def test_a_side_record_that_no_entry_names_tells_what_was_begun() -> None:
    archive, log = life()
    archive.put(
        "custody/2026/11/23/01KAR5Q8Z41X7JQ9D2N6V0D000.json", canonical(side_record("custody.held", CAPTURE))
    )
    report = audited(archive, log)
    assert report.findings == []
    assert [note for note in report.notes if f"custody.held of capture {CAPTURE} was begun" in note]


def locked(*names: str) -> tuple[Locking, Log]:
    archive, log = life(*short(*names), archive=Locking())
    assert isinstance(archive, Locking)
    until = datetime(2027, 3, 31, tzinfo=UTC)
    for key in (warc_key(CAPTURE), manifest_key(CAPTURE)):
        archive.locks[key] = Lock(until, legal_hold=True)
    log.publish(archive)
    return archive, log


def test_locks_that_are_as_entries_say_are_no_finding() -> None:
    archive, log = locked("held", "retained")
    report = audited(archive, log)
    assert report.findings == []
    assert not any("hold" in note for note in report.notes)


def test_a_hold_that_no_entry_took_off_is_named() -> None:
    archive, log = locked("held")
    archive.locks[warc_key(CAPTURE)].legal_hold = False
    assert rules(audited(archive, log)) == [(warc_key(CAPTURE), "custody-hold-lifted")]


def test_a_hold_that_is_off_while_its_release_is_under_way_is_a_note() -> None:
    archive, log = locked("held")
    archive.locks[warc_key(CAPTURE)].legal_hold = False
    archive.put(
        "custody/2026/11/24/01KAR5Q8Z41X7JQ9D2N6V0D000.json",
        canonical(side_record("custody.released", CAPTURE)),
    )
    report = audited(archive, log, samples.MOMENT + timedelta(hours=1))
    assert report.findings == []
    assert any("its hold was taken off by custody/" in note for note in report.notes)
    for unbelievable in (
        timedelta(days=1),
        timedelta(days=-1),
    ):  # whoever lifted it can write such a record too
        assert rules(audited(archive, log, samples.MOMENT + unbelievable)) == [
            (warc_key(CAPTURE), "custody-hold-lifted")
        ]


def test_a_hold_that_no_entry_speaks_of_is_a_note() -> None:
    archive, log = locked("held", "released")
    report = audited(archive, log)
    assert report.findings == []
    assert f"{warc_key(CAPTURE)} is on legal hold, and no entry says so" in report.notes


@pytest.mark.parametrize("until", [None, datetime(2027, 3, 30, tzinfo=UTC)], ids=["none", "a day less"])
def test_retention_that_is_shorter_than_an_entry_says_is_named(until: datetime | None) -> None:
    archive, log = locked("retained")
    archive.locks[manifest_key(CAPTURE)].retain_until = until
    assert rules(audited(archive, log)) == [(manifest_key(CAPTURE), "custody-retention-shortened")]


def test_a_copy_cannot_tell_locks_and_says_so() -> None:
    archive, log = life("custody.held")
    log.publish(archive)
    report = audited(archive, log)
    assert report.findings == []
    assert "holds and retention cannot be seen in a copy" in report.notes


def test_damaged_entries_leave_custody_unjudged_and_say_so() -> None:
    archive, log = life("custody.held", "custody.released")
    log.publish(archive)
    held = log.entries[7]
    key = segment_key(7)
    archive.replace_bytes(
        key, archive.data(key).replace(held, held.replace(b"custody.held", b"custody.hold"))
    )
    report = audited(archive, log)
    assert {rule for _, rule in rules(report)} == {"entry-changed"}
    assert any("custody-not-held" in note and "cannot be judged" in note for note in report.notes)


@pytest.mark.parametrize("change", [{"reason": ""}, {"salt": "0"}])
def test_a_side_record_that_would_be_refused_is_not_made(change: dict[str, str]) -> None:
    with pytest.raises(CustodyError) as caught:
        encode_record(side_record("custody.held", CAPTURE, **change))
    assert (caught.value.rule, caught.value.exit_code) == ("custody-record", 6)
