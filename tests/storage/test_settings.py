"""Lists among the settings: TOML has them, a variable separates them by commas."""

from __future__ import annotations

import pytest

from evidence.errors import UsageError
from storage.settings import Settings


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setenv("AKASHI_HOME", str(tmp_path))
    monkeypatch.delenv("AKASHI_TIMESTAMP_AUTHORITIES")

    def write(text: str) -> None:
        (tmp_path / "settings.toml").write_text(text)
        monkeypatch.setenv("AKASHI_CONFIG", str(tmp_path / "settings.toml"))

    return write


def test_two_operators_are_asked_by_default(written):
    assert len(Settings.load().timestamp_authorities) == 2


def test_a_list_is_read_from_the_file_and_a_variable_goes_over_it(written, monkeypatch):
    written('timestamp_authorities = ["http://a.example/tsa"]')
    assert Settings.load().timestamp_authorities == ["http://a.example/tsa"]
    monkeypatch.setenv("AKASHI_TIMESTAMP_AUTHORITIES", "http://b.example/tsa, http://c.example/tsa")
    assert Settings.load().timestamp_authorities == ["http://b.example/tsa", "http://c.example/tsa"]
    monkeypatch.setenv("AKASHI_TIMESTAMP_AUTHORITIES", "")
    assert Settings.load().timestamp_authorities == []


@pytest.mark.parametrize("value", ["[1]", "7", "true"])
def test_what_is_no_list_of_text_is_refused(written, value):
    written(f"timestamp_authorities = {value}")
    with pytest.raises(UsageError, match="timestamp_authorities"):
        Settings.load()
