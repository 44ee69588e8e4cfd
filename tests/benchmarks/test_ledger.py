"""The ledger's benchmark: what it appends, what it asserts, what it draws."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import islice
from typing import Any

import pytest

from benchmarks.ledger.__main__ import p95
from benchmarks.ledger.phases import OPENING, drafts_from
from benchmarks.ledger.section import LIMITS, beyond, document, draw
from evidence.entry import Entry


def row(entries: int = 1_000_000, **changes: Any) -> dict[str, Any]:
    return {name: limit for name, (_, limit) in LIMITS.items()} | {
        "entries": entries,
        "findings": [],
        **changes,
    }


def test_what_is_appended_are_entries_and_the_same_from_wherever_one_begins():
    drafts = list(islice(drafts_from(OPENING), 20))
    for index, draft in enumerate(drafts, OPENING):
        Entry.decode(Entry(index, f"{1:064x}", "2026-11-23T08:13:00.123Z", *draft).encode())
    assert list(islice(drafts_from(OPENING + 7), 13)) == drafts[7:]
    assert len({subject for _, subject, _ in drafts}) == 10


def test_figures_at_their_limits_pass():
    assert beyond([row()]) == []


@pytest.mark.parametrize("name", LIMITS)
def test_a_figure_beyond_its_limit_is_named(name: str):
    kind, limit = LIMITS[name]
    (line,) = beyond([row(**{name: limit * (0.99 if kind == "at least" else 1.01)})])
    assert name in line


def test_a_thousand_entries_are_too_few_for_a_rate_but_not_for_a_finding():
    assert beyond([row(1000, **{"appends per s": 1, "audit per s": 1})]) == []
    assert beyond([row(1000, findings=["entry-changed"])]) == ["1000 entries: the audit found entry-changed"]


def test_the_95th_of_100_values():
    assert p95([float(value) for value in range(1, 102)]) == 96


def test_the_section_and_its_picture_hold_every_figure():
    result = {
        "rows": [row(10**power) for power in range(3, 8)],
        "date": "today",
        "commit": "c",
        "machine": "m",
    }
    text = "\n".join(document(result))
    assert text.count("\n| ") == len(LIMITS) + 1
    picture = ET.fromstring(draw(result))  # noqa: S314 - ours
    assert len(picture.findall("{*}polyline")) == 6
    assert len(picture.findall("{*}circle")) == 30
