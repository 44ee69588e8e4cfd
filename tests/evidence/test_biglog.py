"""The big logs that other tests and benchmarks are made on keep the formats."""

from __future__ import annotations

import pytest

from evidence.audit import audit
from evidence.segment import parse_segment
from tests.evidence.archives import MemoryArchive
from tests.evidence.biglog import make_log


@pytest.mark.parametrize(("entries", "per_segment"), [(1, 256), (3, 1), (700, 256), (2500, 100)])
def test_a_synthetic_log_is_sound_and_the_same_each_time(entries: int, per_segment: int) -> None:
    archive, again = MemoryArchive(), MemoryArchive()
    expected = make_log(archive, entries, seed=1, per_segment=per_segment, per_checkpoint=1000)
    assert make_log(again, entries, seed=1, per_segment=per_segment, per_checkpoint=1000) == expected
    assert again.objects == archive.objects
    segments = [parse_segment(archive.data(head.key)) for head in archive.list("ledger/segments/")]
    assert sum(len(segment.entries) for segment in segments) == entries
    report = audit(archive, expected, since="9999")
    assert report.findings == []
    assert report.counts["entries"] == entries
