"""What `akashi audit` says besides its findings."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from console import audit
from evidence.audit_report import LIMITS
from tests.evidence.archives import build


@pytest.fixture(autouse=True)
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    store, log = build()
    opened = SimpleNamespace(store=store, keyring=log)
    monkeypatch.setattr(audit.Archive, "open", lambda: opened)


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_a_sound_archive_is_told_with_what_that_does_not_prove(options, capsys):
    assert audit.command.main(list(options), standalone_mode=False) == 0
    said = capsys.readouterr()
    if options:
        assert json.loads(said.out)["limits"] == list(LIMITS.values())
    else:
        assert all(limit in said.err for limit in LIMITS.values())
