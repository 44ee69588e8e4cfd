"""What `akashi audit` says besides its findings."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from console import audit
from evidence.audit_report import LIMITS
from evidence.errors import UsageError
from storage.settings import Settings
from tests.evidence import samples
from tests.evidence.archives import build


@pytest.fixture(autouse=True)
def sound(monkeypatch: pytest.MonkeyPatch) -> None:
    store, log = build()
    opened = SimpleNamespace(store=store, keyring=log, settings=Settings())
    monkeypatch.setattr(audit.Archive, "open", lambda: opened)


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_a_sound_archive_is_told_with_what_that_does_not_prove(options, capsys):
    assert audit.command.main(list(options), standalone_mode=False) == 0
    said = capsys.readouterr()
    if options:
        assert json.loads(said.out)["limits"] == list(LIMITS.values())
    else:
        assert all(limit in said.err for limit in LIMITS.values())


def test_a_time_that_is_none_is_refused_and_nothing_passes_unread():
    """As text, `yesterday` is later than every time: all objects would be left out, and none found wrong."""
    with pytest.raises(UsageError, match="no time"):
        audit.command.main(["--since", "yesterday"], standalone_mode=False)


def test_since_a_day_reads_the_objects_of_that_day(capsys):
    assert audit.command.main(["--json", "--since", samples.TIME[:10]], standalone_mode=False) == 0
    assert json.loads(capsys.readouterr().out)["captures"] == 2
    assert audit.command.main(["--json", "--since", "2031-01-01T09:00+09:00"], standalone_mode=False) == 0
    assert "captures" not in json.loads(capsys.readouterr().out)
