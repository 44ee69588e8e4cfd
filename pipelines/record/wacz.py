"""A capture as one WACZ 1.1.1 file, for replayweb.page and pywb: made on demand, never evidence itself.

    archive/<name>.warc.gz     the WARC as it is
    indexes/index.cdx          what answers for what (pipelines/record/cdxj.py)
    pages/pages.jsonl          the one page that was captured
    datapackage.json           name, size and SHA-256 of each of these
    datapackage-digest.json    SHA-256 of that

A ZIP without compression, so that a replayer reads single records by offset. The same capture gives the
same bytes: its times are the capture's, those of the ZIP 1980-01-01. docs/formats/wacz.md shows them.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urldefrag

from pipelines.record.cdxj import Row

VERSION: Final = "1.1.1"
_READ: Final = 1 << 20
_MODE: Final = 0o100644 << 16
_UNIX: Final = 3


def write_wacz(path: Path, warc: Path, rows: Sequence[Row], manifest: Mapping[str, Any]) -> None:
    """Create `path` for a WARC with its replay index and manifest, in constant memory. Raises OSError."""
    page = _page(rows, manifest)
    pages = ({"format": "json-pages-1.0", "id": "pages", "title": "Pages", "hasText": False}, page)
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED) as wacz:
        members = [
            _add(wacz, f"archive/{warc.name}", _pieces(warc), warc.stat().st_size),
            _add(wacz, "indexes/index.cdx", (str(row).encode("ascii") for row in rows)),
            _add(wacz, "pages/pages.jsonl", (_json(line) + b"\n" for line in pages)),
        ]
        package = {
            "profile": "data-package",
            "wacz_version": VERSION,
            "software": f"akashi {manifest['environment']['akashi']}",
            "created": manifest["times"]["ended"],
            "title": page["title"],
            "mainPageUrl": page["url"],
            "mainPageDate": page["ts"],
            "resources": members,
        }
        described = _add(wacz, "datapackage.json", [_json(package)])
        digest = {name: described[name] for name in ("path", "hash")}
        _add(wacz, "datapackage-digest.json", [_json(digest)])


def _page(rows: Sequence[Row], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The page where the capture arrived, by the URL and the time under which it is filed."""
    target = manifest["target"]
    url = urldefrag(target["final"] or target["requested"]).url
    return {
        "id": manifest["capture"]["id"],
        "url": url,
        "ts": next((row.date for row in rows if row.url == url), manifest["times"]["started"]),
        "title": target["title"] or url,
        "seed": True,
        "requested": target["requested"],
    }


def _add(wacz: zipfile.ZipFile, name: str, pieces: Iterable[bytes], size: int = 0) -> dict[str, Any]:
    """Write a member; gives its entry in the data package. `size`, if large, makes room for ZIP64."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr, info.file_size = _UNIX, _MODE, size
    digest, written = hashlib.sha256(), 0
    with wacz.open(info, "w") as out:
        for piece in pieces:
            out.write(piece)
            digest.update(piece)
            written += len(piece)
    short = name.rpartition("/")[2].lower()
    return {"name": short, "path": name, "hash": f"sha256:{digest.hexdigest()}", "bytes": written}


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while data := stream.read(_READ):
            yield data


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
