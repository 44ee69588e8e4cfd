"""At the end of a run others are asked for their word; whatever comes of it, the run ends as it would have."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from crawler import extensions
from crawler.extensions import OutsideWord
from evidence.errors import UnreachableError


def ended(workshop: SimpleNamespace) -> str:
    extension = object.__new__(OutsideWord)
    extension.workshop = workshop
    asyncio.run(extension.engine_stopped())
    return workshop.told


def test_witnesses_are_asked_after_the_authorities_and_each_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def stamp(_: object) -> str:
        asked.append("authorities")
        raise UnreachableError("no answer")

    def cosign(_: object) -> str:
        asked.append("witnesses")
        return "ALARM"

    monkeypatch.setattr(extensions, "stamp_at_end", stamp)
    monkeypatch.setattr(extensions, "cosign_at_end", cosign)
    workshop = SimpleNamespace(runtime=object(), interrupted=False, fatal=None, told="")
    assert ended(workshop) == "the ledger waits: no answer; next: akashi ledger timestamp\nALARM"
    assert asked == ["authorities", "witnesses"]


@pytest.mark.parametrize(
    "facts",
    [{"runtime": None}, {"interrupted": True}, {"fatal": OSError("disk")}],
    ids=["nothing-opened", "interrupted", "fatal"],
)
def test_nobody_is_asked_when_the_run_was_cut_short(monkeypatch: pytest.MonkeyPatch, facts: dict) -> None:
    monkeypatch.setattr(extensions, "stamp_at_end", lambda _: pytest.fail("asked"))
    monkeypatch.setattr(extensions, "cosign_at_end", lambda _: pytest.fail("asked"))
    whole = {"runtime": object(), "interrupted": False, "fatal": None, "told": ""}
    assert ended(SimpleNamespace(**(whole | facts))) == ""
