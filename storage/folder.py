"""A copy of all objects in a folder that mirrors their keys: `akashi store copy`, and its audit.

    <folder>/captures/2026/11/23/01KAR…/manifest.json        mode 0444
    <folder>/ledger/segments/000000000000

Version ids, locks and earlier versions stay behind in the store: a copy shows the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import BinaryIO, Final, cast

from evidence.digests import Digests
from evidence.errors import StoreUnavailableError
from storage.objects import ObjectHead, ObjectSource, check_key, write_stream

EVIDENCE: Final = ("captures/", "crawls/", "ledger/")
"""The prefixes of everything that is kept; `probe/` is throw-away."""


class FolderCopy:
    """A read-only ObjectSource over such a folder; symbolic links are never followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, prefix: str) -> Iterator[ObjectHead]:
        """See ObjectSource.list."""
        files = (path for path in self._root.rglob("*") if path.is_file() and not path.is_symlink())
        for key in sorted(path.relative_to(self._root).as_posix() for path in files):
            if key.startswith(prefix) and (head := self.head(key)):
                yield head

    def head(self, key: str) -> ObjectHead | None:
        """See ObjectSource.head."""
        try:
            found = self._path(key).stat()
        except FileNotFoundError:
            return None
        return ObjectHead(key, found.st_size, "", modified=datetime.fromtimestamp(found.st_mtime, UTC))

    def versions(self, key: str) -> Sequence[str]:
        """See ObjectSource.versions: one, without a name."""
        return [] if self.head(key) is None else [""]

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        """See ObjectSource.open; a version cannot be asked for."""
        if version:
            raise FileNotFoundError(f"{key} version {version}: a copy has no versions")
        stream = self._path(key).open("rb")
        stream.seek(start or 0)
        return stream if length is None else cast("BinaryIO", BufferedReader(_Window(stream, length)))

    def read(self, key: str, version: str | None = None) -> bytes:
        """See ObjectSource.read."""
        with self.open(key, version) as stream:
            return stream.read()

    def download(self, key: str, to: Path) -> Digests:
        """See ObjectSource.download."""
        with self.open(key) as stream:
            return write_stream(stream, to)

    def _path(self, key: str) -> Path:
        path = self._root.joinpath(*check_key(key).split("/"))
        inside = [path, *path.parents[: len(path.relative_to(self._root).parts) - 1]]
        if any(part.is_symlink() for part in inside) or not path.is_file():
            raise FileNotFoundError(key)
        return path


class _Window(RawIOBase):
    """The next `length` bytes of a file."""

    def __init__(self, stream: BinaryIO, length: int) -> None:
        self._stream = stream
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # typeshed's Buffer has no length
        data = self._stream.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def copy_to_folder(store: ObjectSource, folder: Path) -> tuple[int, int]:
    """Copy every object; how many, and how many bytes.

    Each is compared with the size and digest that the store tells (no digest above 4 GiB: `akashi
    audit --copy` compares those with their manifests). Raises StoreUnavailableError for a difference,
    FileExistsError for a file that is there.
    """
    count = size = 0
    for prefix in EVIDENCE:
        for listed in store.list(prefix):
            path = folder.joinpath(*check_key(listed.key).split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            digests, head = store.download(listed.key, path), store.head(listed.key)
            if head is None or digests.size != head.size or head.sha256 not in {None, digests.sha256}:
                raise StoreUnavailableError(
                    f"the copy of {listed.key} is not what the store tells", next="run `akashi audit`"
                )
            path.chmod(0o444)
            count, size = count + 1, size + digests.size
    return count, size
