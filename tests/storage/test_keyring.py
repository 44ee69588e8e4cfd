"""Keys are made once, private, and never replaced in silence; what was signed is never gone behind."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence.errors import LedgerUnavailableError, UsageError
from storage.home import Home
from storage.keyring import Keyring, Remembered


def test_new_keys_are_private_named_by_the_log_and_stay(home: Home) -> None:
    keyring = Keyring.open_or_create(home)
    assert keyring.log.name.startswith("akashi.invalid/")
    assert keyring.collector.name == f"{keyring.log.name}/collector"
    assert keyring.log.seed != keyring.collector.seed
    assert home.keys.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in home.keys.iterdir()} == {0o600}
    again = Keyring.open_or_create(home)
    assert (again.log.vkey, again.collector.vkey) == (keyring.log.vkey, keyring.collector.vkey)


def test_an_origin_names_a_new_log_and_must_be_the_same_later(home: Home) -> None:
    assert Keyring.open_or_create(home, "evidence.example/log").origin == "evidence.example/log"
    with pytest.raises(UsageError, match=r"the log of .* is 'evidence.example/log'"):
        Keyring.open_or_create(home, "other.example")


def test_a_name_that_no_note_can_hold_is_refused(home: Home) -> None:
    with pytest.raises(UsageError, match="ledger_origin"):
        Keyring.open_or_create(home, "two words")
    assert not list(home.keys.glob("*.key"))


def test_many_who_open_a_new_home_at_once_get_the_same_keys(
    run_python: Callable[..., subprocess.Popen[str]],
) -> None:
    script = "from storage.keyring import Keyring; print(Keyring.open_or_create(home).log.vkey)"
    assert len({process.communicate()[0] for process in [run_python(script) for _ in range(6)]}) == 1


@pytest.mark.parametrize("name", ["log.key", "collector.key"])
def test_a_lost_key_is_not_replaced(home: Home, name: str) -> None:
    Keyring.open_or_create(home)
    (home.keys / name).unlink()
    with pytest.raises(LedgerUnavailableError, match=f"{name} is missing") as told:
        Keyring.open_or_create(home)
    assert "akashi restore" in told.value.next


def test_keys_are_not_made_where_something_was_signed_before(home: Home) -> None:
    Keyring.open_or_create(home).remember(3, b"r" * 32)
    for path in home.keys.glob("*.key"):
        path.unlink()
    with pytest.raises(LedgerUnavailableError, match="is missing"):
        Keyring.open_or_create(home)


@pytest.mark.parametrize("damage", ["", "torn", "PRIVATE+KEY+x+00000000+AAAA", "id"])
def test_a_damaged_key_is_told_without_its_secret(home: Home, damage: str) -> None:
    Keyring.open_or_create(home)
    path: Path = home.keys / "log.key"
    line = path.read_text()
    path.write_text(line.replace("+akashi.invalid/", "+akashi.invalid/x") if damage == "id" else damage)
    with pytest.raises(LedgerUnavailableError, match=r"log\.key is damaged$"):
        Keyring.open_or_create(home)


def test_a_key_that_others_may_read_is_refused(home: Home) -> None:
    Keyring.open_or_create(home)
    (home.keys / "log.key").chmod(0o640)
    with pytest.raises(UsageError, match="may be read by others"):
        Keyring.open_or_create(home)


def test_what_was_signed_is_remembered_and_never_contradicted(home: Home) -> None:
    keyring = Keyring.open_or_create(home)
    assert keyring.remembered() is None
    keyring.remember(3, b"3" * 32)
    keyring.remember(3, b"3" * 32)
    keyring.remember(5, b"5" * 32)
    assert Keyring.open_or_create(home).remembered() == Remembered(5, b"5" * 32)
    for size, root in ((4, b"4" * 32), (5, b"x" * 32)):
        with pytest.raises(LedgerUnavailableError, match="contradicts size 5"):
            keyring.remember(size, root)


def test_a_damaged_memory_is_not_taken_for_none(home: Home) -> None:
    keyring = Keyring.open_or_create(home)
    (home.keys / "remembered.json").write_text('{"size": 3}')
    with pytest.raises(LedgerUnavailableError, match=r"remembered\.json is damaged"):
        keyring.remembered()
