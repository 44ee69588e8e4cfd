"""Attacks on retention, and the erasure that is none: rows 25 and 29 of docs/threat-model.md."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.evidence.archives import (
    Lock,
    Locking,
    Log,
    MemoryArchive,
    act,
    audited,
    build,
    capture_id,
    manifest_key,
    rules,
    side_record,
    warc_key,
)

CAPTURE = capture_id(10)
PLACES = (warc_key(CAPTURE), manifest_key(CAPTURE))
UNTIL = datetime(2027, 3, 31, tzinfo=UTC)


@pytest.fixture
def held() -> tuple[Locking, Log]:
    """A capture that is held and retained until a day."""
    built, log = build()
    archive = Locking(built.objects, built.puts, {key: Lock(UNTIL, legal_hold=True) for key in PLACES})
    act(log, archive, "custody.held", CAPTURE)
    act(log, archive, "custody.retained", CAPTURE, until="2027-03-31T00:00:00.000Z")
    log.publish(archive)
    assert audited(archive, log).findings == []
    return archive, log


def test_25_an_admin_shortens_a_retention(held: tuple[Locking, Log]) -> None:
    archive, log = held
    archive.locks[PLACES[1]].retain_until = UNTIL - timedelta(days=1)
    assert rules(audited(archive, log)) == [(PLACES[1], "custody-retention-shortened")]


def test_25_an_admin_lifts_a_hold(held: tuple[Locking, Log]) -> None:
    archive, log = held
    archive.locks[PLACES[0]].legal_hold = False
    assert rules(audited(archive, log)) == [(PLACES[0], "custody-hold-lifted")]


def erased(*acts: str, second: str = "Ben") -> tuple[MemoryArchive, Log]:
    archive, log = build()
    for kind in acts:
        if kind == "custody.erased":
            act(log, archive, kind, CAPTURE, side_record(kind, CAPTURE, second), request=len(log.entries) - 1)
        else:
            act(log, archive, kind, CAPTURE)
    for key in PLACES:
        del archive.objects[key]
    if acts:
        log.publish(archive)
    return archive, log


def test_29_a_lawful_erasure_leaves_every_proof_whole() -> None:
    report = audited(*erased("custody.erasure-requested", "custody.erased"))
    assert report.findings == []
    assert any("was erased by entry" in note for note in report.notes)


@pytest.mark.parametrize(
    "name", ["Aiko", " \uff21\uff29\uff2b\uff2f", "Ai\u200bko", "A-i.k\u00a0o"], ids=ascii
)
def test_29_one_person_under_two_spellings_is_not_two(name: str) -> None:
    acts = ["custody.erasure-requested", "custody.erased"]
    assert {rule for _, rule in rules(audited(*erased(*acts, second=name)))} == {"custody-one-person"}


@pytest.mark.parametrize("acts", [[], ["custody.erasure-requested"]], ids=["nobody-asked", "one-person"])
def test_29_an_erasure_that_two_persons_did_not_want_is_a_loss(acts: list[str]) -> None:
    assert {rule for _, rule in rules(audited(*erased(*acts)))} == {"object-missing"}
