r"""Backup of what would end the log if it were lost; restore into an empty home.

    akashi-backup.tar     0600, pax; each name at most once, plain files only
      keys/log.key  keys/collector.key  keys/remembered.json
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
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

from evidence.digests import CHUNK
from evidence.errors import CheckFailedError, UsageError
from storage.embedded import EmbeddedStore
from storage.home import Home
from storage.locks import locked
from storage.objects import check_key

_SUMS: Final = "SHA256SUMS"
_ALWAYS: Final = ("keys/log.key", "keys/collector.key")
_IF_THERE: Final = ("keys/remembered.json", "akashi.toml", "store-credentials", "store/credentials.json")
_RESTORING: Final = ".restoring"


def backup(home: Home, to: Path, *, include_store: bool = False) -> None:
    """Write a backup to a file that is not there yet; it exists only once it was read back and compared.

    Raises UsageError for a home without keys and for a file that is there, StoreUnavailableError if
    the embedded store is in use and was asked for, CheckFailedError if what was written is not what
    was read.
    """
    if not all((home.root / name).exists() for name in _ALWAYS):
        raise UsageError(f"{home.root} has no keys yet", next="there is nothing to back up before a capture")
    if to.exists():
        raise UsageError(f"{to} is there already", next="give another name")
    part = to.with_name(f"{to.name}.part")
    part.unlink(missing_ok=True)
    quiet = EmbeddedStore(home).stopped() if include_store else nullcontext()
    try:
        with quiet, TemporaryDirectory(dir=home.root) as scratch, locked(home.root / "ledger.publish"):
            ledger = Path(scratch) / "ledger.sqlite"
            if home.ledger.exists():
                _copy_database(home.ledger, ledger)
            with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as stream:
                sums = _write(stream, _files(home, ledger, include_store=include_store))
                stream.flush()
                os.fsync(stream.fileno())
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
    _read_back(path)
    home.make()
    inside = home.root / _RESTORING
    with tarfile.open(path) as archive:
        for member in archive:
            if member.name == _SUMS:
                break
            target = inside / member.name
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
                shutil.copyfileobj(_content(archive, member), written, CHUNK)
                written.flush()
                os.fsync(written.fileno())
    # The keys last: without them nothing is opened, with them everything is there.
    for child in sorted(inside.iterdir(), key=lambda found: found.name == "keys"):
        target = home.root / child.name
        with suppress(FileNotFoundError):
            target.rmdir()
        child.rename(target)
    inside.rmdir()
    home.make()


def _files(home: Home, ledger: Path, *, include_store: bool) -> Iterator[tuple[str, Path]]:
    names = [*_ALWAYS, *(name for name in _IF_THERE if (home.root / name).exists())]
    if include_store:
        store = (path for path in sorted(home.store.rglob("*")) if path.is_file() and path.name != "in-use")
        names += [path.relative_to(home.root).as_posix() for path in store]
    yield from ((name, home.root / name) for name in dict.fromkeys(names))
    if ledger.exists():
        yield "ledger.sqlite", ledger


def _copy_database(source: Path, to: Path) -> None:
    with closing(sqlite3.connect(source)) as ours, closing(sqlite3.connect(to)) as copy:
        ours.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


class _Hashing:
    """A stream that is read through a SHA-256."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.digest.update(data)
        return data


def _write(stream: IO[bytes], files: Iterator[tuple[str, Path]]) -> dict[str, str]:
    """Write the archive; the SHA-256 of what was read, by name."""
    sums: dict[str, str] = {}
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files:
            with path.open("rb") as source:
                hashing = _Hashing(source)
                archive.addfile(_member(name, path.stat().st_size), hashing)
            sums[name] = hashing.digest.hexdigest()
        listing = _listing(sums)
        archive.addfile(_member(_SUMS, len(listing)), io.BytesIO(listing))
    return sums


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _read_back(path: Path) -> dict[str, str]:
    """The SHA-256 of each file in a backup, as its own list says too. Raises CheckFailedError."""
    try:
        with tarfile.open(path) as archive:
            sums, listed = _sums_of(archive)
    except (tarfile.TarError, ValueError, OSError) as error:
        raise _damaged(path, str(error)) from error
    if listed != _listing(sums):
        raise _damaged(path, f"its files are not those of its {_SUMS}")
    if not sums.keys() >= set(_ALWAYS):
        raise _damaged(path, "it holds no keys")
    return sums


def _sums_of(archive: tarfile.TarFile) -> tuple[dict[str, str], bytes]:
    """What the files' digests are, and what the list at the end says. Raises ValueError."""
    sums: dict[str, str] = {}
    for member in archive:
        check_key(member.name)
        if not member.isreg() or member.name in sums:
            raise ValueError(f"{member.name} does not belong there")
        if member.name == _SUMS:
            return sums, _content(archive, member).read()
        hashing = _Hashing(_content(archive, member))
        while hashing.read(CHUNK):
            pass
        sums[member.name] = hashing.digest.hexdigest()
    raise ValueError(f"it ends before its {_SUMS}")


def _listing(sums: dict[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()


def _damaged(path: Path, what: str) -> CheckFailedError:
    return CheckFailedError(f"{path} is no whole backup: {what}", rule="backup", next="use another backup")


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise ValueError(f"{member.name} is no file")
    return content
