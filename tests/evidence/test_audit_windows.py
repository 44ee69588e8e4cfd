"""A log too large to be diagnosed whole: what is found in it is what the diagnosis of the whole finds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import BinaryIO, TypeAlias

import pytest

from evidence import audit_segments
from evidence.audit import audit
from evidence.audit_ledger import audit_ledger
from evidence.audit_report import AuditReport, Expectations, Finding
from evidence.canonical import canonical
from evidence.segment import segment_key
from tests.evidence.archives import MemoryArchive
from tests.evidence.biglog import make_log

PER: int = 4
LAST: int = 56
Damage: TypeAlias = Callable[[MemoryArchive, int], None]


@pytest.fixture(scope="module")
def made() -> tuple[MemoryArchive, Expectations]:
    """Sixty entries in fifteen segments."""
    archive = MemoryArchive()
    return archive, make_log(archive, 60, seed=3, per_segment=PER, per_checkpoint=8, tiles=False)


def lines_of(archive: MemoryArchive, first: int) -> list[bytes]:
    return archive.data(segment_key(first)).split(b"\n")[:-1]


def put(archive: MemoryArchive, first: int, lines: list[bytes]) -> None:
    archive.replace_bytes(segment_key(first), b"".join(line + b"\n" for line in lines))


def recounted(lines: list[bytes]) -> list[bytes]:
    header = json.loads(lines[0])
    return [canonical(header | {"count": len(lines) - 1}), *lines[1:]]


def changed(line: int, old: bytes, new: bytes) -> Damage:
    def damage(archive: MemoryArchive, first: int) -> None:
        lines = lines_of(archive, first)
        lines[line] = lines[line].replace(old, new, 1)
        put(archive, first, lines)

    return damage


def dropped(archive: MemoryArchive, first: int) -> None:
    put(archive, first, recounted([*lines_of(archive, first)[:2], *lines_of(archive, first)[3:]]))


def dropped_last(archive: MemoryArchive, first: int) -> None:
    put(archive, first, recounted(lines_of(archive, first)[:-1]))


def doubled(archive: MemoryArchive, first: int) -> None:
    lines = lines_of(archive, first)
    put(archive, first, recounted([*lines[:3], lines[2], *lines[3:]]))


def swapped(archive: MemoryArchive, first: int) -> None:
    header, one, two, *rest = lines_of(archive, first)
    put(archive, first, [header, two, one, *rest])


def torn(archive: MemoryArchive, first: int) -> None:
    archive.replace_bytes(segment_key(first), archive.data(segment_key(first))[:-30])


def gone(archive: MemoryArchive, first: int) -> None:
    del archive.objects[segment_key(first)]


def emptied(archive: MemoryArchive, first: int) -> None:
    archive.replace_bytes(segment_key(first), b"")


def copied_behind(archive: MemoryArchive, first: int) -> None:
    archive.put(segment_key(60), archive.data(segment_key(first)))


def copied_between(archive: MemoryArchive, first: int) -> None:
    archive.put(segment_key(first + 1), archive.data(segment_key(first)))


def stray_line(archive: MemoryArchive, first: int) -> None:
    """A line from far away among the others."""
    put(archive, first, recounted([*lines_of(archive, first), lines_of(archive, 28)[1]]))


DAMAGES: dict[str, Damage] = {
    "a time changed": changed(2, b"T08:", b"T09:"),
    "the last line changed": changed(PER, b"T08:", b"T09:"),
    "no JSON": changed(3, b'"v":1', b'"v":!'),
    "the header unreadable": changed(0, b'{"count"', b'{"court"'),
    "another prev in the header": changed(0, b'"v":1', b'"v":2'),
    "a line dropped": dropped,
    "the last line dropped": dropped_last,
    "a line doubled": doubled,
    "two lines swapped": swapped,
    "torn": torn,
    "gone": gone,
    "emptied": emptied,
    "copied behind the end": copied_behind,
    "copied between": copied_between,
    "a stray line": stray_line,
}


def found(archive: MemoryArchive, expected: Expectations) -> list[Finding]:
    report = AuditReport()
    audit_ledger(archive, expected, report)
    return report.findings


@pytest.mark.parametrize("first", [0, 4, 24, 52, LAST])
@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_alike(
    made: tuple[MemoryArchive, Expectations], monkeypatch: pytest.MonkeyPatch, name: str, first: int
) -> None:
    archive, expected = made[0].copy(), made[1]
    DAMAGES[name](archive, first)
    whole = found(archive, expected)
    monkeypatch.setattr(audit_segments, "WINDOW", 1)
    assert whole
    assert found(archive, expected) == whole


@pytest.mark.parametrize(("one", "other"), [(0, 40), (8, 20), (8, 12), (20, LAST)])
@pytest.mark.parametrize("name", ["a time changed", "a line dropped", "a line doubled", "gone"])
def test_damage_in_two_places_is_found_in_both(
    made: tuple[MemoryArchive, Expectations],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    one: int,
    other: int,
) -> None:
    archive, expected = made[0].copy(), made[1]
    for first in (one, other):
        DAMAGES[name](archive, first)
    whole = found(archive, expected)
    monkeypatch.setattr(audit_segments, "WINDOW", 4000)
    assert len({finding.object for finding in whole}) == (1 if (name, other) == ("gone", one + PER) else 2)
    assert found(archive, expected) == whole


def test_a_log_without_a_sound_segment_is_read_in_parts(
    made: tuple[MemoryArchive, Expectations], monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, expected = made[0].copy(), made[1]
    for first in range(0, 60, PER):
        changed(2, b"T08:", b"T09:")(archive, first)
    monkeypatch.setattr(audit_segments, "WINDOW", 4000)
    findings = [finding for finding in found(archive, expected) if finding.rule == "entry-changed"]
    assert {finding.object for finding in findings} == {segment_key(first) for first in range(0, 60, PER)}


def test_a_sound_log_has_no_findings_in_either_way(
    made: tuple[MemoryArchive, Expectations], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(*made) == []
    monkeypatch.setattr(audit_segments, "WINDOW", 1)
    assert found(*made) == []


class _Counted(MemoryArchive):
    """Counts how often each object is read."""

    reads: Counter[str]

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        self.reads[key] += 1
        return super().open(key, version, start, length)


@pytest.mark.parametrize(("since", "times"), [("9999", 1), ("2026-11-24", 1), ("2026-11-23T09", 2), ("", 2)])
def test_a_sound_log_is_read_again_only_for_captures_that_are(
    made: tuple[MemoryArchive, Expectations], since: str, times: int
) -> None:
    archive = _Counted(made[0].objects)
    archive.reads = Counter()
    audit(archive, made[1], since=since)
    assert {archive.reads[segment_key(first)] for first in range(4, 60, PER)} == {times}
