"""Tiles and bundles against the entries: each defect by its rule, in its object, at its offset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import pytest

from evidence.audit_ledger import audit_ledger
from evidence.audit_report import AuditReport, Expectations
from evidence.segment import segment_key
from evidence.tiles import PREFIX, bundle_path, decode_bundle, tile_path
from tests.evidence.archives import Head, MemoryArchive
from tests.evidence.biglog import make_log

SIZE, EARLIER = 700, 600


@pytest.fixture(scope="module")
def made() -> tuple[MemoryArchive, Expectations]:
    """700 entries in segments that no tile's edge knows, with checkpoints of 600 and 700."""
    archive = MemoryArchive()
    return archive, make_log(archive, SIZE, seed=5, per_segment=100, per_checkpoint=EARLIER)


@pytest.fixture
def archive(made: tuple[MemoryArchive, Expectations]) -> MemoryArchive:
    return made[0].copy()


@pytest.fixture
def expected(made: tuple[MemoryArchive, Expectations]) -> Expectations:
    return made[1]


def audited(archive: MemoryArchive, expected: Expectations) -> AuditReport:
    report = AuditReport()
    audit_ledger(archive, expected, report)
    return report


def flip(archive: MemoryArchive, key: str, offset: int) -> None:
    data = bytearray(archive.data(key))
    data[offset] ^= 1
    archive.replace_bytes(key, bytes(data))


def test_tiles_as_the_entries_give_them_are_no_finding(
    archive: MemoryArchive, expected: Expectations
) -> None:
    report = audited(archive, expected)
    assert report.findings == []
    assert report.counts["tiles"] == len(list(archive.list("ledger/tile/")))
    assert not any("tiles" in note for note in report.notes)


@pytest.mark.parametrize(
    ("path", "offset"),
    [
        (tile_path(0, 0), 33),
        (tile_path(0, 1), 8191),
        (tile_path(0, 2, SIZE - 512), 100),
        (tile_path(0, 2, EARLIER - 512), 0),
        (tile_path(1, 0, 2), 40),
    ],
)
def test_a_changed_hash_is_named_by_its_offset(
    archive: MemoryArchive, expected: Expectations, path: str, offset: int
) -> None:
    flip(archive, PREFIX + path, offset)
    (found,) = audited(archive, expected).findings
    assert (found.object, found.rule, found.offset, found.length) == (
        PREFIX + path,
        "tile-changed",
        offset // 32 * 32,
        32,
    )


@pytest.mark.parametrize("change", ["shorter", "longer", "empty", "of other entries"])
def test_a_tile_of_other_bytes_is_changed(
    archive: MemoryArchive, expected: Expectations, change: str
) -> None:
    key = PREFIX + tile_path(0, 1)
    data = archive.data(key)
    other = {
        "shorter": data[:-32],
        "longer": data + bytes(32),
        "empty": b"",
        "of other entries": archive.data(PREFIX + tile_path(0, 0)),
    }[change]
    archive.replace_bytes(key, other)
    (found,) = audited(archive, expected).findings
    where = {"shorter": 8160, "longer": 8192, "empty": 0, "of other entries": 0}[change]
    assert (found.object, found.rule, found.offset) == (key, "tile-changed", where)


@pytest.mark.parametrize("path", [bundle_path(0), bundle_path(2, SIZE - 512), bundle_path(2, EARLIER - 512)])
def test_a_changed_bundle_is_named_by_its_first_byte(
    archive: MemoryArchive, expected: Expectations, path: str
) -> None:
    for offset in (0, 1, 700, len(archive.data(PREFIX + path)) - 1):
        changed = archive.copy()
        flip(changed, PREFIX + path, offset)
        (found,) = audited(changed, expected).findings
        assert (found.object, found.rule, found.offset) == (PREFIX + path, "bundle-changed", offset)


@pytest.mark.parametrize(
    "path",
    [
        tile_path(0, 0),
        tile_path(0, 1),
        tile_path(0, 2, SIZE - 512),
        tile_path(1, 0, 2),
        bundle_path(1),
        bundle_path(2, SIZE - 512),
    ],
)
def test_what_the_newest_checkpoint_needs_and_is_gone_is_missing(
    archive: MemoryArchive, expected: Expectations, path: str
) -> None:
    del archive.objects[PREFIX + path]
    assert [(found.object, found.rule) for found in audited(archive, expected).findings] == [
        (PREFIX + path, "tile-missing")
    ]


def test_parts_that_only_an_older_checkpoint_needed_may_go(
    archive: MemoryArchive, expected: Expectations
) -> None:
    del archive.objects[PREFIX + tile_path(0, 2, EARLIER - 512)]
    del archive.objects[PREFIX + bundle_path(2, EARLIER - 512)]
    assert audited(archive, expected).findings == []


@pytest.mark.parametrize(
    "path",
    [
        tile_path(0, 3),
        tile_path(0, 2),
        tile_path(0, 2, SIZE - 511),
        tile_path(1, 0, 3),
        tile_path(2, 0, 1),
        tile_path(0, 1_234_067),
        bundle_path(2, SIZE - 511),
        bundle_path(4, 1),
        "tile/0/1",
        "tile/0/x000/001",
        "tile/0/000.p/256",
        "tile/0/000.p/0",
        "tile/00/000",
        "tile/entries/000.bin",
        "tile/63/000",
        "tile/0/x999/x999/x999/x999/x999/999",
    ],
)
def test_what_no_size_of_this_log_gives_is_extra(
    archive: MemoryArchive, expected: Expectations, path: str
) -> None:
    archive.put(PREFIX + path, bytes(32))
    assert [(found.object, found.rule) for found in audited(archive, expected).findings] == [
        (PREFIX + path, "tile-extra")
    ]


def test_a_tile_written_over_is_named(archive: MemoryArchive, expected: Expectations) -> None:
    key = PREFIX + tile_path(0, 1)
    archive.put(key, archive.data(key))
    assert [(found.object, found.rule) for found in audited(archive, expected).findings] == [
        (key, "object-versions")
    ]


def test_tiles_over_a_lost_entry_are_not_judged_and_all_others_are(
    archive: MemoryArchive, expected: Expectations
) -> None:
    flip(archive, segment_key(300), 5000)
    flip(archive, PREFIX + tile_path(0, 0), 0)
    flip(archive, PREFIX + bundle_path(1), 0)
    report = audited(archive, expected)
    assert [(found.object, found.rule) for found in report.findings] == [
        (segment_key(300), "entry-changed"),
        (PREFIX + tile_path(0, 0), "tile-changed"),
    ]
    # The hash of the lost entry is known, for the next one vouches for it: only its bundle is not.
    assert "1 tiles cannot be judged: entries under them are damaged" in report.notes


def test_bundles_hold_the_entries_that_segments_hold(archive: MemoryArchive) -> None:
    lines = [line for n in range(0, 600, 100) for line in archive.data(segment_key(n)).split(b"\n")[1:-1]]
    assert decode_bundle(archive.data(PREFIX + bundle_path(1))) == lines[256:512]


def test_a_log_from_before_tiles_is_a_note() -> None:
    archive = MemoryArchive()
    report = audited(archive, make_log(archive, 300, tiles=False))
    assert report.findings == []
    assert "there are no tiles: strangers' tools find none, and nothing else needs them" in report.notes


class _Growing(MemoryArchive):
    """An archive that has grown at its n-th listing or reading."""

    later: MemoryArchive
    left: int

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.objects.update(self.later.objects)

    def list(self, prefix: str) -> Iterator[Head]:
        self.step()
        for head in list(super().list(prefix)):
            yield head
            self.step()

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        self.step()
        return super().open(key, version, start, length)


def test_a_log_that_grows_during_the_audit_gives_no_false_finding() -> None:
    earlier, later = MemoryArchive(), MemoryArchive()
    expected = make_log(earlier, 260, per_segment=130, per_checkpoint=130)
    make_log(later, 520, per_segment=130, per_checkpoint=130)
    at = 0
    while True:
        at += 1
        growing = _Growing({key: list(held) for key, held in earlier.objects.items()})
        growing.later, growing.left = later, at
        assert audited(growing, expected).findings == [], at
        if growing.left > 0:
            break
    assert at > 30
