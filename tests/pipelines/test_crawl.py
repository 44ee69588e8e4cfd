"""A crawl's folder in the spool, whatever happens to the process, the disk, or the ledger."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from warcio.archiveiterator import ArchiveIterator

from evidence.digests import digest_file
from evidence.entry import Entry
from evidence.errors import LedgerUnavailableError
from pipelines.crawl import Crawl, recover_crawl
from pipelines.options import CaptureOptions
from pipelines.record.exchange import Body, Exchange
from storage.home import Home
from storage.settings import Settings


class Ledger:
    """Stands in for the ledger: what was appended, each checked as the real one checks it."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.broken = False

    def append(self, type: str, subject: str, body: dict[str, Any]) -> Any:
        if self.broken:
            raise LedgerUnavailableError("gone")
        entry = Entry(len(self.entries) + 5, "a" * 64, "2026-11-23T08:13:00.123Z", type, subject, body)
        entry.encode()
        self.entries.append(entry)
        return SimpleNamespace(index=entry.index)

    def entries_of(self, subject: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.subject == subject]


class Store:
    """Stands in for the store: keeps each object's bytes, refuses others under the same key."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_once(self, key: str, path: Path, digests: Any, *, content_type: str) -> Any:
        assert self.objects.setdefault(key, path.read_bytes()) == path.read_bytes()
        assert digest_file(path) == digests
        return SimpleNamespace(key=key, version="v1", digests=digests)


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Home, "spool", property(lambda home: home.root))
    settings = Settings(home=Home(tmp_path / "spool"))
    settings.home.spool.mkdir()
    return SimpleNamespace(settings=settings, options=CaptureOptions(), ledger=Ledger(), store=Store())


def exchange(number: int) -> Exchange:
    return Exchange(
        client="scrapy",
        url=f"https://a.example/{number}",
        method="GET",
        started=datetime.now(UTC),
        request_head=b"GET /%d HTTP/1.1\r\n\r\n" % number,
        response_head=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        response_body=Body(2, b"ok"),
    )


def begin(runtime: Any, stuck: Any = None) -> Crawl:
    return asyncio.run(Crawl.begin(runtime, "feeds", {"url": "https://a.example/"}, stuck or pytest.fail))


def requests(data: bytes, tmp_path: Path) -> list[str]:
    path = tmp_path / "read.warc.gz"
    path.write_bytes(data)
    with path.open("rb") as stream:
        return [
            record.rec_headers.get_header("WARC-Target-URI")
            for record in ArchiveIterator(stream)
            if record.rec_type == "request"
        ]


def died(crawl: Crawl) -> None:
    """What the end of its process does: the lock is free, the rest lies as it is."""
    crawl._writer.shutdown()
    crawl._lock.close()
    for recording in crawl.recorder.under_way:
        recording._spool._file.close()
    with contextlib.suppress(ValueError):  # closed already
        crawl.sink.close()


def test_what_is_given_is_written_in_that_order_and_entered(runtime: Any, tmp_path: Path) -> None:
    crawl = begin(runtime)
    for number in range(600):
        crawl.give(exchange(number))
    asyncio.run(crawl.end(runtime, "finished", "finished", 3))
    ((key, data),) = runtime.store.objects.items()
    assert requests(data, tmp_path) == [f"https://a.example/{number}" for number in range(600)]
    ended = runtime.ledger.entries[-1].body
    assert (ended["exchanges"], ended["candidates"], ended["started"]) == (600, 3, 5)
    assert key == ended["objects"][0]["key"]
    assert not crawl.warc.parent.exists()


def test_a_full_disk_is_told_once_and_the_next_start_keeps_what_is_whole(
    runtime: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException] = []
    crawl = begin(runtime, told.append)
    crawl.give(exchange(1))
    crawl._writer.submit(lambda: None).result()
    monkeypatch.setattr(crawl.sink, "write_exchange", full)
    crawl.give(exchange(2))
    crawl.give(exchange(3))
    asyncio.run(crawl.end(runtime, "stopped", "store-unavailable", 0))
    assert [type(error) for error in told] == [OSError]
    assert runtime.store.objects == {}
    died(crawl)
    assert asyncio.run(recover_crawl(crawl.warc.parent, runtime))
    (data,) = runtime.store.objects.values()
    assert requests(data, tmp_path) == ["https://a.example/1"]
    ended = runtime.ledger.entries[-1].body
    assert (ended["outcome"], ended["candidates"]) == ("interrupted", None)


def full(_exchange: Exchange) -> None:
    raise OSError(28, "no space left on device")


def test_a_torn_tail_is_cut_and_what_lay_half_received_is_added(runtime: Any, tmp_path: Path) -> None:
    crawl = begin(runtime)
    crawl.give(exchange(1))
    recording = crawl.recorder.begin("https://a.example", exchange(0).network)
    recording.sent(b"GET /half HTTP/1.1\r\n\r\n")
    recording.received(memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 600_000))
    died(crawl)
    with crawl.warc.open("ab") as stream:
        stream.write(b"\x1f\x8b\x08\x00torn")
    assert asyncio.run(recover_crawl(crawl.warc.parent, runtime))
    (data,) = runtime.store.objects.values()
    assert requests(data, tmp_path) == ["https://a.example/1", "https://a.example/half"]
    assert b"x" * 60_000 in data


def test_one_that_died_between_storing_and_entering_is_entered_with_the_same_bytes(runtime: Any) -> None:
    crawl = begin(runtime)
    crawl.give(exchange(1))
    runtime.ledger.broken = True
    with pytest.raises(LedgerUnavailableError):
        asyncio.run(crawl.end(runtime, "finished", "finished", 1))
    runtime.ledger.broken = False
    died(crawl)
    assert asyncio.run(recover_crawl(crawl.warc.parent, runtime))
    assert [entry.type for entry in runtime.ledger.entries] == ["crawl.started", "crawl.ended"]
    assert len(runtime.store.objects) == 1
    assert not crawl.warc.parent.exists()


def test_one_whose_start_never_got_in_fetched_nothing_and_goes(runtime: Any) -> None:
    runtime.ledger.broken = True
    with pytest.raises(LedgerUnavailableError):
        begin(runtime)
    runtime.ledger.broken = False
    (folder,) = runtime.settings.home.spool.iterdir()
    assert not asyncio.run(recover_crawl(folder, runtime))
    assert not folder.exists()


def test_one_that_is_alive_is_left_alone(runtime: Any) -> None:
    crawl = begin(runtime)
    assert not asyncio.run(recover_crawl(crawl.warc.parent, runtime))
    assert crawl.warc.exists()
    died(crawl)
