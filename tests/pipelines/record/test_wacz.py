from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.record.cdxj import replay_rows
from pipelines.record.exchange import Body
from pipelines.record.wacz import write_wacz
from tests.pipelines.record.test_sink import exchange, open_sink

MANIFEST = Path(__file__).resolve().parents[2] / "vectors" / "manifest" / "manifest.json"
MP4 = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"


def manifest(**target: str) -> dict[str, Any]:
    document = json.loads(MANIFEST.read_bytes())
    told = {"requested": "https://a.test/go", "final": "https://a.test/v?id=7#top", "title": "星 & <b>"}
    return {**document, "target": {**document["target"], **told, **target}}


def made(folder: Path, name: str = "a.wacz", body: bytes | Path = b"hello", **target: str) -> Path:
    """A WACZ of one exchange."""
    folder.mkdir(exist_ok=True)
    sink = open_sink(folder)
    stored = Body(len(body), data=body) if isinstance(body, bytes) else Body(body.stat().st_size, path=body)
    sink.write_exchange(exchange(MP4, stored))
    sink.close()
    write_wacz(folder / name, sink.path, replay_rows(sink.path), manifest(**target))
    return folder / name


def test_it_holds_the_warc_untouched_its_index_one_page_and_the_digests_of_all(tmp_path: Path) -> None:
    path = made(tmp_path)
    with zipfile.ZipFile(path) as wacz:
        data = {info.filename: wacz.read(info) for info in wacz.infolist()}
        assert {info.compress_type for info in wacz.infolist()} == {zipfile.ZIP_STORED}
    assert [*data] == [
        *("archive/akashi.warc.gz", "indexes/index.cdx", "pages/pages.jsonl"),
        *("datapackage.json", "datapackage-digest.json"),
    ]
    assert data["archive/akashi.warc.gz"] == (tmp_path / "akashi.warc.gz").read_bytes()
    package = json.loads(data["datapackage.json"])
    assert (package["profile"], package["wacz_version"]) == ("data-package", "1.1.1")
    assert {one["path"]: (one["hash"], one["bytes"]) for one in package["resources"]} == {
        name: ("sha256:" + hashlib.sha256(data[name]).hexdigest(), len(data[name])) for name in [*data][:3]
    }
    assert json.loads(data["datapackage-digest.json"]) == {
        "path": "datapackage.json",
        "hash": "sha256:" + hashlib.sha256(data["datapackage.json"]).hexdigest(),
    }
    head, page = map(json.loads, data["pages/pages.jsonl"].splitlines())
    assert head["format"] == "json-pages-1.0"
    assert {name: page[name] for name in ("url", "ts", "title", "seed", "requested")} == {
        "url": "https://a.test/v?id=7",
        "ts": "2026-11-23T08:13:00.123456Z",
        "title": "星 & <b>",
        "seed": True,
        "requested": "https://a.test/go",
    }
    assert (package["mainPageUrl"], package["mainPageDate"]) == (page["url"], page["ts"])


def test_without_a_page_it_is_the_url_that_was_asked_for_at_the_start(tmp_path: Path) -> None:
    with zipfile.ZipFile(made(tmp_path, final="", title="")) as wacz:
        page = json.loads(wacz.read("pages/pages.jsonl").splitlines()[1])
    assert (page["url"], page["title"]) == ("https://a.test/go", "https://a.test/go")
    assert page["ts"] == manifest()["times"]["started"]


def test_the_same_capture_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(tmp_path)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    os.utime(tmp_path / "akashi.warc.gz", (0, 0))
    os.umask(os.umask(0o077))
    rows = replay_rows(tmp_path / "akashi.warc.gz")
    write_wacz(tmp_path / "b.wacz", tmp_path / "akashi.warc.gz", rows, manifest())
    assert (tmp_path / "b.wacz").read_bytes() == first.read_bytes()
    with pytest.raises(FileExistsError):
        write_wacz(first, tmp_path / "akashi.warc.gz", rows, manifest())


def test_beyond_the_old_limit_it_is_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100_000)
    path = made(tmp_path, body=os.urandom(300_000))
    monkeypatch.undo()
    with zipfile.ZipFile(path) as wacz:
        assert wacz.testzip() is None
        assert wacz.infolist()[0].extract_version == 45, "APPNOTE 4.4.3.2: needs ZIP64"
    assert subprocess.run(["python3", "-m", "zipfile", "-t", path], check=False).returncode == 0


def test_memory_does_not_grow_with_the_warc(tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(bytes(48 << 20))
    tracemalloc.start()
    try:
        assert made(tmp_path, body=tmp_path / "video").stat().st_size > 48 << 20
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
