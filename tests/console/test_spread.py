"""Threads and processes give what `map` gives."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from console import spread
from evidence.audit import audit
from evidence.segment import segment_key
from tests.evidence.archives import MemoryArchive
from tests.evidence.biglog import make_log


def test_results_come_in_order_and_only_so_many_items_are_taken_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spread, "_SOON", 2)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(200):
            taken.append(number)
            yield number

    with spread.all_means() as means:
        for mapper in (means.compute, means.fetch):
            taken.clear()
            results = mapper(math.isqrt, items())
            assert next(results) == 0
            assert len(taken) <= 20
            assert list(results) == [math.isqrt(number) for number in range(1, 200)]


def test_an_audit_in_processes_finds_what_one_in_this_process_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spread, "_SOON", 3)
    monkeypatch.setattr(spread, "_TOLD_EVERY", 0.0)
    archive = MemoryArchive()
    expected = make_log(archive, 600, per_segment=30, per_checkpoint=300)
    data = archive.data(segment_key(300))
    archive.replace_bytes(segment_key(300), data.replace(b"T08:", b"T09:", 1))
    alone = audit(archive, expected, since="9999")
    with spread.all_means() as means:
        together = audit(archive, expected, since="9999", means=means)
    assert alone.findings
    assert together == alone
    assert "600 of 600 entries" in capsys.readouterr().err


def test_an_error_of_a_worker_is_the_audits_error() -> None:
    with spread.all_means() as means, pytest.raises(ValueError, match="nonnegative"):
        list(means.fetch(math.isqrt, [1, -1]))
