"""What a tool left: how many of the served exchanges its WARCs hold, and whether the video is in them, byte for byte."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from warcio.archiveiterator import ArchiveIterator

_WARC: Final = re.compile(r".*\.warc(\.gz)?(\.open)?$")
_READ: Final = 1 << 18
_HELD: Final = frozenset({200, 206})


@dataclass(frozen=True)
class Left:
    """What was found in a folder."""

    recorded: int
    """Exchanges of the site, by their responses (revisits), or by their requests where more of these were kept:
    one that the browser gave up before an answer came is served, and has none. -1 without a WARC."""
    video: str
    """Where each of the posts' videos was found whole: exchange, resource, file or no."""
    bytes: int


def left_in(folder: Path, host: str, videos: Sequence[Path]) -> Left:
    """Read all that is in `folder`; `host` is the site's `name:port`. Raises OSError, ArchiveLoadFailed."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    wanted = {_of(path) for path in videos}
    kept, warcs = Counter[bool](), False  # by whether it is a request
    found: dict[str, set[str]] = {"exchange": set(), "resource": set(), "file": set()}
    for warc in _warcs(files):
        warcs = True
        for record in ArchiveIterator(warc):
            kind, url = record.rec_type, record.rec_headers.get_header("WARC-Target-URI") or ""
            ours = url.strip("<>").startswith(f"http://{host}/")
            if ours and kind in {"request", "response", "revisit"} and record.http_headers is not None:
                kept[kind == "request"] += 1
            if kind == "response" and record.http_headers is not None:
                if int(record.http_headers.get_statuscode() or 0) in _HELD:
                    found["exchange" if ours else "resource"].add(_sha256(record.content_stream()))
            elif kind in {"resource", "response"}:
                found["resource"].add(_sha256(record.content_stream()))
    sizes = {path.stat().st_size for path in videos}
    found["file"] = {_of(path) for path in files if path.stat().st_size in sizes}
    found["file"] |= _joined(files, videos)
    place = next((name for name, digests in found.items() if wanted <= digests), "no")
    return Left(
        max(kept.values(), default=0) if warcs else -1, place, sum(path.stat().st_size for path in files)
    )


def _warcs(files: Sequence[Path]) -> Iterator[BinaryIO]:
    for path in files:
        if _WARC.match(path.name):
            with path.open("rb") as stream:
                yield stream
        elif path.suffix == ".wacz":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if _WARC.match(name):
                        yield io.BytesIO(archive.read(name))


def _joined(files: Sequence[Path], videos: Sequence[Path]) -> set[str]:
    """The segments' digests, if a file is all of them one behind the other, as yt-dlp leaves HLS."""
    total = sum(path.stat().st_size for path in videos)
    if len(videos) == 1 or not any(path.stat().st_size == total for path in files):
        return set()
    whole = hashlib.sha256(b"".join(path.read_bytes() for path in videos)).hexdigest()
    same = any(path.stat().st_size == total and _of(path) == whole for path in files)
    return {_of(path) for path in videos} if same else set()


def _sha256(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while data := stream.read(_READ):
        digest.update(data)
    return digest.hexdigest()


def _of(path: Path) -> str:
    with path.open("rb") as stream:
        return _sha256(stream)
