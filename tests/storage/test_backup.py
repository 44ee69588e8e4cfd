"""A backup holds what would end the log, is read back, and is restored whole or not at all."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from evidence.digests import digest_bytes
from evidence.errors import CheckFailedError, StoreUnavailableError, UsageError
from storage import backup as backup_module
from storage.backup import backup, restore
from storage.connect import open_store
from storage.embedded import EmbeddedStore
from storage.home import Home
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.s3 import S3Store
from storage.settings import Settings
from tests.storage.samples import kill_server
from tests.storage.test_ledger import append, read_log


@pytest.fixture
def saved(home: Home, tmp_path: Path, open_ledger: Callable[..., Ledger]) -> Path:
    ledger = open_ledger()
    append(ledger)
    (home.root / "akashi.toml").write_text('operator = "A"\n')
    backup(home, tmp_path / "backup.tar")
    ledger.close()
    return tmp_path / "backup.tar"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a home that has no log yet."""
    folder = tmp_path_factory.mktemp("plain")
    home = Home(folder / "home")
    Keyring.open_or_create(home)
    (home.root / "akashi.toml").write_text('operator = "A"\n')
    backup(home, folder / "backup.tar")
    return folder / "backup.tar"


def test_after_a_restore_the_log_goes_on_as_if_nothing_had_been_lost(
    saved: Path, home: Home, store: S3Store, tmp_path: Path, open_ledger: Callable[..., Ledger]
) -> None:
    opened = Keyring.open_or_create(home)
    before = (opened.log.seed, opened.collector.seed)
    assert append(open_ledger()) == 4  # after the backup
    shutil.rmtree(home.root)
    other = Home(tmp_path / "new" / "home")
    restore(saved, other)
    keyring = Keyring.open_or_create(other)
    assert (keyring.log.seed, keyring.collector.seed) == before
    assert (other.root / "akashi.toml").read_text() == 'operator = "A"\n'
    assert append(open_ledger(at=other)) == 5
    assert len(read_log(store, other)) == 6
    assert {p.stat().st_mode & 0o777 for p in other.keys.iterdir() if p.suffix in {".key", ".json"}} == {
        0o600
    }


def test_a_backup_is_for_us_only_and_lists_what_it_holds(saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    with tarfile.open(saved) as archive:
        assert archive.getnames() == [
            "keys/collector.key", "keys/log.key", "keys/remembered.json", "akashi.toml", "ledger.sqlite", "SHA256SUMS",
        ]  # fmt: skip
    assert [path.name for path in saved.parent.glob("backup*")] == ["backup.tar"]


def test_a_backup_never_replaces_a_file_and_a_restore_never_a_home(plain: Path, home: Home) -> None:
    Keyring.open_or_create(home)
    with pytest.raises(UsageError, match="is there already"):
        backup(home, plain)
    with pytest.raises(UsageError, match="is not empty"):
        restore(plain, home)


def test_a_home_without_keys_has_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no keys yet"):
        backup(Home(tmp_path / "new").make(), tmp_path / "backup.tar")
    assert not (tmp_path / "backup.tar").exists()


def rewritten(
    saved: Path, out: Path, change: Callable[[tarfile.TarInfo, bytes], list[tuple[tarfile.TarInfo, bytes]]]
) -> Path:
    """The same backup after a change to its members."""
    with tarfile.open(saved) as old, tarfile.open(out, "w") as new:
        for member in old:
            stream = old.extractfile(member)
            assert stream is not None
            for info, data in change(member, stream.read()):
                info.size = len(data)
                new.addfile(info, io.BytesIO(data))
    return out


def renamed(name: str) -> tarfile.TarInfo:
    return tarfile.TarInfo(name)


def as_link(member: tarfile.TarInfo) -> tarfile.TarInfo:
    link = tarfile.TarInfo(member.name)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return link


DAMAGE: dict[str, Callable[[tarfile.TarInfo, bytes], list[tuple[tarfile.TarInfo, bytes]]]] = {
    "changed byte": lambda m, d: [(m, d.replace(b"A", b"B", 1) if m.name == "akashi.toml" else d)],
    "file dropped": lambda m, d: [] if m.name == "akashi.toml" else [(m, d)],
    "file added": lambda m, d: (
        [(m, d), (renamed("akashi2.toml"), b"")] if m.name == "akashi.toml" else [(m, d)]
    ),
    "file twice": lambda m, d: [(m, d), (m, d)] if m.name == "akashi.toml" else [(m, d)],
    "outside": lambda m, d: [(renamed("../akashi.toml") if m.name == "akashi.toml" else m, d)],
    "absolute": lambda m, d: [(renamed("/etc/akashi.toml") if m.name == "akashi.toml" else m, d)],
    "link": lambda m, d: [(as_link(m), b"")] if m.name == "akashi.toml" else [(m, d)],
    "no list": lambda m, d: [] if m.name == "SHA256SUMS" else [(m, d)],
    "no keys": lambda m, d: [] if m.name.startswith("keys/") else [(m, d.replace(b"keys", b"kays"))],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_backup_restores_nothing(plain: Path, tmp_path: Path, damage: str) -> None:
    changed = rewritten(plain, tmp_path / "changed.tar", DAMAGE[damage])
    with pytest.raises(CheckFailedError, match="is no whole backup"):
        restore(changed, Home(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_torn_or_foreign_file_is_no_backup(plain: Path, tmp_path: Path) -> None:
    for data in (b"", b"no archive", plain.read_bytes()[:2500]):
        (tmp_path / "torn.tar").write_bytes(data)
        with pytest.raises(CheckFailedError, match="is no whole backup"):
            restore(tmp_path / "torn.tar", Home(tmp_path / "new"))


def test_a_backup_that_does_not_read_as_written_is_not_left_behind(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Keyring.open_or_create(home)
    monkeypatch.setattr(backup_module, "_read_back", lambda path: {})
    with pytest.raises(CheckFailedError, match="does not read as it was written"):
        backup(home, tmp_path / "backup.tar")
    assert not list(tmp_path.glob("backup*"))


@pytest.mark.slow
def test_with_the_embedded_store_the_evidence_comes_back_too(home: Home, tmp_path: Path) -> None:
    settings = Settings(home=home, store_endpoint="", store_bucket="akashi")
    store = open_store(settings)
    Keyring.open_or_create(home)
    store.put_once("crawls/a", b"evidence", digest_bytes(b"evidence"), content_type="text/plain")
    with pytest.raises(StoreUnavailableError, match="another process is using"):
        backup(home, tmp_path / "backup.tar", include_store=True)
    store.close()
    backup(home, tmp_path / "backup.tar", include_store=True)
    assert not EmbeddedStore(home).status()["running"]
    other = Home(tmp_path / "new")
    restore(tmp_path / "backup.tar", other)
    again = open_store(Settings(home=other, store_endpoint="", store_bucket="akashi"))
    assert again.read("crawls/a") == b"evidence"
    again.close()
    kill_server(EmbeddedStore(other))
