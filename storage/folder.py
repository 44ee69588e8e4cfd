"""A copy of all objects in a folder that mirrors their keys: `akashi store copy`, and its audit.

    <folder>/captures/2026/11/23/01KAR…/manifest.json        mode 0444
    <folder>/ledger/segments/000000000000

Version ids, locks and earlier versions stay behind in the store: a copy shows the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from evidence.digests import CHUNK
from evidence.errors import StoreUnavailableError
from storage.objects import ObjectHead, ObjectStore, check_key, stream_of

EVIDENCE: Final = ("captures/", "crawls/", "custody/", "ledger/")
"""The prefixes of everything that is kept; `probe/` is throw-away."""


class FolderCopy:
    """A read-only ObjectSource over such a folder; symbolic links are never followed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def list(self, prefix: str) -> Iterator[ObjectHead]:
        """See ObjectSource.list."""
        files = (path for path in self._root.rglob("*") if path.is_file() and not path.is_symlink())
        for key in sorted(path.relative_to(self._root).as_posix() for path in files):
            if key.startswith(prefix):
                yield ObjectHead(key, self._path(key).stat().st_size)

    def versions(self, key: str) -> Sequence[str]:
        """See ObjectSource.versions: one, without a name."""
        try:
            self._path(key)
        except FileNotFoundError:
            return []
        return [""]

    def open(
        self, key: str, version: str | None = None, start: int | None = None, length: int | None = None
    ) -> BinaryIO:
        """See ObjectSource.open; a version cannot be asked for."""
        if version:
            raise FileNotFoundError(f"{key} version {version}: a copy has no versions")
        path = self._path(key)
        return path.open("rb") if start is length is None else stream_of(_window(path, start or 0, length))

    def _path(self, key: str) -> Path:
        path = self._root
        for part in check_key(key).split("/"):
            path /= part
            if path.is_symlink():
                raise FileNotFoundError(key)
        if not path.is_file():
            raise FileNotFoundError(key)
        return path


def _window(path: Path, start: int, length: int | None) -> Iterator[bytes]:
    left = path.stat().st_size if length is None else length
    with path.open("rb") as stream:
        stream.seek(start)
        while data := stream.read(min(CHUNK, left)):
            left -= len(data)
            yield data


def copy_to_folder(store: ObjectStore, folder: Path) -> tuple[int, int]:
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
            try:
                digests, head = store.download(listed.key, path), store.head(listed.key)
            except FileNotFoundError:
                if store.head(listed.key) is not None:
                    raise
                continue  # erased since it was listed; if it was not, an audit of the copy says so
            if head is None or digests.size != head.size or head.sha256 not in {None, digests.sha256}:
                raise StoreUnavailableError(
                    f"the copy of {listed.key} is not what the store tells", next="run `akashi audit`"
                )
            path.chmod(0o444)
            count, size = count + 1, size + digests.size
    return count, size
