"""docs/threat-model.md: thirty attacks, each with a test that exists, or with a limit that every report prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evidence.audit_report import LIMITS

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/threat-model.md").read_text("utf-8")
ROWS = {
    int(cells[0]): cells
    for line in TEXT.splitlines()
    if re.match(r"\| \d+ \|", line)
    for cells in [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]]
}
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
_LIMIT = re.compile(r"cannot be caught: `([\w-]+)`")


def test_there_are_thirty_attacks_of_six_cells_each() -> None:
    assert list(ROWS) == list(range(1, 31))
    assert {len(cells) for cells in ROWS.values()} == {6}


@pytest.mark.parametrize("number", ROWS)
def test_an_attack_is_shown_by_a_test_or_said_to_be_beyond_what_is_proved(number: int) -> None:
    tests, limits = _TEST.findall(ROWS[number][4]), _LIMIT.findall(" ".join(ROWS[number]))
    assert tests or limits
    assert set(limits) <= set(LIMITS)
    for file, name in tests:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), f"{file} has no {name}"


def test_every_attack_that_has_a_test_here_stands_in_the_table() -> None:
    named = {name for cells in ROWS.values() for _, name in _TEST.findall(cells[4])}
    for path in (ROOT / "tests/attacks").glob("test_*.py"):
        tests = re.findall(r"^def (test_\d\d_\w+)\(", path.read_text("utf-8"), re.MULTILINE)
        assert tests
        assert {name for name in tests if name not in named} <= UNTOLD


UNTOLD = {"test_22_that_all_of_them_collude_is_told_as_not_proved"}
"""Shows a limit, not a detection."""


def test_what_is_not_proved_is_told_as_the_report_tells_it() -> None:
    for name, what in LIMITS.items():
        assert f"| `{name}` | {what} |" in TEXT
