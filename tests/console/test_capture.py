"""The command's results: exit codes, their order, JSON and the lines for people."""

from __future__ import annotations

import pytest

from console.capture import Results, as_json, exit_code, for_people
from evidence.errors import RefusedError, StoreUnavailableError
from pipelines.candidate import Candidate


def ended(outcome: str, code: str = "", rank: int = 1) -> Candidate:
    reasons = [{"code": code, "detail": "why"}] if code else []
    return Candidate(
        f"https://a.test/{rank}", rank=rank, outcome=outcome, reasons=reasons, capture="01K", entry=1
    )


@pytest.mark.parametrize(
    ("item", "error", "code"),
    [
        (ended("complete"), None, 0),
        (ended("partial", "no-video"), None, 3),
        (ended("failed", "http-403"), None, 4),
        (ended("failed", "address-refused"), None, 6),
        (Candidate("u"), RefusedError("no", code="robots-disallowed"), 6),
        (Candidate("u"), RefusedError("stopped", code="interrupted"), 4),
        (Candidate("u"), StoreUnavailableError("gone"), 5),
    ],
)
def test_each_end_has_its_documented_exit_code(item, error, code):
    assert exit_code(item, error) == code


def test_the_exit_is_the_gravest_that_occurred(capsys):
    results = Results(["1", "2", "3"], None)
    results.add(ended("complete", rank=3), None)
    results.add(ended("partial", "no-video", rank=1), None)
    results.add(ended("failed", "timeout", rank=2), None)
    assert results.finish() == 4


def test_objects_come_in_the_order_of_the_urls_whichever_ended_first(capsys):
    results = Results(["1", "2"], None)
    results.add(ended("complete", rank=2), None)
    assert capsys.readouterr().out == ""
    results.add(ended("complete", rank=1), None)
    assert [line.split('"url": "')[1][:16] for line in capsys.readouterr().out.splitlines()] == [
        "https://a.test/1",
        "https://a.test/2",
    ]


def test_what_a_signal_left_is_told_as_interrupted(capsys):
    results = Results(["1"], None)
    assert results.finish() == 4
    assert "stopped by a signal" in capsys.readouterr().out


def test_a_refused_subject_has_null_ids_and_says_why():
    told = as_json(Candidate("https://a.test/"), RefusedError("no", code="robots-disallowed", next="ask"))
    assert (told["capture"], told["entry"], told["next"]) == (None, None, "ask")


def test_the_lines_for_people_name_outcome_reasons_and_the_next_step():
    text = for_people(ended("partial", "no-video"))
    assert "partial: capture 01K, ledger entry 1" in text
    assert "no-video: why" in text
    assert "next: akashi show 01K" in text
