"""A home's folders are ours alone where it matters; a spool that others could write into is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evidence.errors import UsageError
from storage.home import Home


@pytest.fixture
def spooling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose spool lies in the shared place, as root's does under /root."""
    monkeypatch.setattr(Home, "spool", property(lambda self: tmp_path / "shared-spool" / "0123456789abcdef"))
    return Home(tmp_path / "home")


def test_its_folders_are_made_with_their_modes_and_again_is_fine(spooling: Home) -> None:
    home = spooling.make().make()
    modes = {path: path.stat().st_mode & 0o777 for path in (home.root, home.keys, home.store, home.spool)}
    assert modes == {home.root: 0o711, home.keys: 0o700, home.store: 0o700, home.spool: 0o711}
    assert home.spool.parent.stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize("below", ["", "0123456789abcdef"])
def test_a_spool_that_others_can_write_into_is_refused(spooling: Home, below: str) -> None:
    path = spooling.spool.parent / below
    path.mkdir(parents=True)
    path.chmod(0o777)
    with pytest.raises(UsageError, match="others can write into it") as told:
        spooling.make()
    assert f"rm -r {path}" in told.value.next


def test_a_spool_that_is_a_link_is_refused(spooling: Home, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    spooling.spool.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is another user's"):
        spooling.make()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_a_spool_of_another_user_is_refused(spooling: Home) -> None:
    spooling.spool.mkdir(parents=True)
    os.chown(spooling.spool, 65534, 65534)
    with pytest.raises(UsageError, match="is another user's"):
        spooling.make()


def test_a_home_may_be_a_link_to_a_larger_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    assert Home(tmp_path / "home").make().spool.is_dir()
