r"""Backup of what would end the log if it were lost; restore into an empty home.

    akashi-backup.tar     0600, pax; each name at most once, plain files only
      keys/…                              all keys (storage/keyring.py), what was signed last
      ledger.sqlite                       one consistent copy (SQLite's backup interface)
      akashi.toml  store-credentials      if they are there
      store/credentials.json
      store/…                             all of the embedded store, stopped meanwhile, if asked
      SHA256SUMS                          last: "<64 hex>  <name>\n" of every file before it

What is not in it is in the object store (evidence, segments, checkpoints) or is made anew
(catalogue, probe.json, ports). It holds private keys: keep it where only you can read it.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, Final

from evidence.errors import CheckFailedError, UsageError
from storage.embedded import EmbeddedStore
from storage.files import locked
from storage.home import Home
from storage.objects import check_key

_SUMS: Final = "SHA256SUMS"
_COLLECTOR: Final = "keys/collector.key"
_LOG: Final = frozenset({"keys/log.key", "keys/log.vkey"})
"""One of them: the log's key, or its public half where a signer elsewhere holds it."""
_KEYS: Final = frozenset({".key", ".silent", ".vkey", ".json"})
_IF_THERE: Final = ("akashi.toml", "store-credentials", "store/credentials.json")


def backup(home: Home, to: Path, *, include_store: bool = False) -> None:
    """Write a backup to a file that is not there yet; it exists only once it was read back and compared.

    Raises UsageError for a home without keys and for a file that is there, StoreUnavailableError if
    the embedded store is in use and was asked for, CheckFailedError if what was written is not what
    was read.
    """
    if not _has_keys(_key_files(home)):
        raise UsageError(f"{home.root} has no keys yet", next="there is nothing to back up before a capture")
    if to.exists():
        raise UsageError(f"{to} is there already", next="give another name")
    part = to.with_name(f"{to.name}.part")
    part.unlink(missing_ok=True)
    quiet = EmbeddedStore(home).stopped() if include_store else nullcontext()
    try:
        publishing, signing = (locked(home.root / f"ledger.{name}") for name in ("publish", "sign"))
        keys = locked(home.keys / "keyring.lock")
        with quiet, TemporaryDirectory(dir=home.root) as scratch, publishing, signing, keys:
            sums = _write(part, _files(home, Path(scratch), include_store=include_store))
        if _read_back(part) != sums:
            raise CheckFailedError(
                f"{part} does not read as it was written", rule="backup", next="try another disk"
            )
        part.rename(to)
    finally:
        part.unlink(missing_ok=True)


def restore(path: Path, home: Home) -> None:
    """Put a backup into a home that holds no file.

    Raises CheckFailedError for a backup that is damaged (nothing is written then), UsageError for a
    home that is not empty.
    """
    if home.root.exists() and any(found.is_file() or found.is_symlink() for found in home.root.rglob("*")):
        raise UsageError(f"{home.root} is not empty", next="set AKASHI_HOME to a new folder")
    names = _read_back(path)
    home.make()
    inside = home.root / ".restoring"
    with tarfile.open(path) as archive:
        for name in names:
            target = inside / name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
                shutil.copyfileobj(_content(archive, archive.getmember(name)), written)
                written.flush()
                os.fsync(written.fileno())
    # The keys last: without them nothing is opened, with them everything is there.
    for child in sorted(inside.iterdir(), key=lambda found: found.name == "keys"):
        with suppress(FileNotFoundError):
            (home.root / child.name).rmdir()
        child.rename(home.root / child.name)
    inside.rmdir()
    home.make()


def _files(home: Home, scratch: Path, *, include_store: bool) -> dict[str, Path]:
    """What goes into the backup, by its name there; the database as one consistent copy."""
    names = [*_key_files(home), *(name for name in _IF_THERE if (home.root / name).exists())]
    if include_store:
        store = (path for path in sorted(home.store.rglob("*")) if path.is_file() and path.name != "in-use")
        names += [path.relative_to(home.root).as_posix() for path in store]
    files = {name: home.root / name for name in names}
    if home.ledger.exists():
        files["ledger.sqlite"] = copied = scratch / "ledger.sqlite"
        with closing(sqlite3.connect(home.ledger)) as ours, closing(sqlite3.connect(copied)) as copy:
            ours.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    return files


def _key_files(home: Home) -> list[str]:
    return [f"keys/{path.name}" for path in sorted(home.keys.glob("*")) if path.suffix in _KEYS]


def _has_keys(names: list[str]) -> bool:
    return _COLLECTOR in names and not _LOG.isdisjoint(names)


def _write(part: Path, files: dict[str, Path]) -> dict[str, str]:
    """Write the archive; the SHA-256 of what was read, by name."""
    sums: dict[str, str] = {}
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as stream:
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, path in files.items():
                with path.open("rb") as source:
                    sums[name] = _digest(source)
                    _add(archive, name, source, source.tell())
            listing = _listing(sums)
            _add(archive, _SUMS, io.BytesIO(listing), len(listing))
        stream.flush()
        os.fsync(stream.fileno())
    return sums


def _add(archive: tarfile.TarFile, name: str, source: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    source.seek(0)
    archive.addfile(member, source)


def _read_back(path: Path) -> dict[str, str]:
    """The SHA-256 of each file in a backup, as its own list says too. Raises CheckFailedError."""
    try:
        with tarfile.open(path) as archive:
            *members, last = archive.getmembers()
            sums = {check_key(member.name): _digest(_content(archive, member)) for member in members}
            listed = _content(archive, last).read()
    except (tarfile.TarError, ValueError, OSError) as error:
        raise _damaged(path, str(error)) from error
    if last.name != _SUMS or listed != _listing(sums) or len(sums) != len(members):
        raise _damaged(path, f"its files are not those of a {_SUMS} at its end")
    if not _has_keys(list(sums)):
        raise _damaged(path, "it holds no keys")
    return sums


def _digest(stream: Any) -> str:
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise ValueError(f"{member.name} is no file")
    return content


def _listing(sums: dict[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()


def _damaged(path: Path, what: str) -> CheckFailedError:
    return CheckFailedError(f"{path} is no whole backup: {what}", rule="backup", next="use another backup")
