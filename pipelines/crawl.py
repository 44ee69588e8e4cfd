"""One crawl that fetches something: its folder in the spool, its WARC, its two entries in the ledger.

    <spool>/<crawl id>/
      lock                              as a capture's (pipelines/capture.py)
      crawl.json                        what is known so far
      akashi-crawl-<UTC>-<id>.warc.gz   what Scrapy sent and received, being written

`crawl.started` is in the store before Scrapy's first fetch, so that a crawl whose finds are unwelcome
cannot silently vanish; the WARC is sealed, preserved and named by `crawl.ended` when the spider closes,
or by the next start if the process died (`pipelines/recovery.py`).
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import BoundedSemaphore
from typing import IO, Any, Final, cast

from evidence.canonical import plain, utc
from evidence.crawl import NAME, crawl_request_digests, encode_crawl
from evidence.digests import Digests
from evidence.entry import CRAWL_ENDED
from evidence.identifiers import new_ulid
from pipelines.capture import lock_folder, write_durably
from pipelines.record.exchange import Exchange, Missing
from pipelines.record.recording import Recorder
from pipelines.record.sink import WarcSink
from pipelines.record.spool import salvage
from pipelines.record.warcfile import trim_torn_tail
from pipelines.runtime import Runtime, in_thread
from pipelines.seal import environment, network

STATE: Final = "crawl.json"
CLIENT: Final = "scrapy"
_WAITING: Final = 256
"""Exchanges that may wait to be written before Scrapy has to wait too: each holds at most 64 KiB of a body."""


@dataclass
class Crawl:
    """One crawl; `facts` survive in crawl.json."""

    folder: Path
    started: datetime
    facts: dict[str, Any]
    lock: IO[str]

    @classmethod
    async def begin(cls, runtime: Runtime, spider: str, arguments: Mapping[str, Any]) -> Crawl:
        """Fix what is asked, enter `crawl.started`; only then may anything be fetched.

        Raises OSError, StoreUnavailableError, LedgerUnavailableError.
        """
        now = datetime.now(UTC)
        folder = runtime.settings.home.spool / new_ulid(now)
        folder.mkdir(mode=0o711)
        lock = cast("IO[str]", lock_folder(folder))  # a new folder's: nobody else can hold it
        request = {
            "spider": spider,
            "arguments": {name: str(value) for name, value in arguments.items()},
            "requested_at": utc(now),
            "operator": runtime.options.operator_facts(runtime.settings),
            "options": runtime.options.as_json(),
            "case": runtime.options.case,
            "note": runtime.options.note,
            "salt": secrets.token_hex(16),
        }
        crawl = cls(folder, now, {"request": request, "missing": []}, lock)
        crawl.save()
        try:
            body = {"request": crawl_request_digests(request).as_json()}
            appended = await in_thread(runtime.ledger.append, "crawl.started", crawl.id, body)
        except BaseException:
            crawl.lock.close()  # the next start asks the ledger whether the entry got in
            raise
        crawl.facts["started_entry"] = appended.index
        crawl.save()
        return crawl

    @classmethod
    def reopen(cls, folder: Path) -> Crawl | None:
        """Take over a dead crawl; None when it is alive."""
        lock = lock_folder(folder)
        if lock is None:
            return None
        state = json.loads((folder / STATE).read_text("utf-8"))
        return cls(folder, datetime.fromisoformat(state["started"]), state["facts"], lock)

    @property
    def id(self) -> str:
        """Its ULID."""
        return self.folder.name

    @property
    def warc_path(self) -> Path:
        """The local WARC; its name is the object's last segment and WARC-Filename."""
        return self.folder / f"akashi-crawl-{self.started:%Y%m%dT%H%M%SZ}-{self.id}.warc.gz"

    @property
    def key(self) -> str:
        """Where the WARC will lie in the store."""
        return f"crawls/{self.started:%Y/%m/%d}/{self.warc_path.name}"

    def save(self) -> None:
        """Write crawl.json whole and durably. Raises OSError."""
        state = {"started": self.started.isoformat(), "facts": self.facts}
        write_durably(self.folder / STATE, json.dumps(state, ensure_ascii=False))

    def open_sink(self) -> WarcSink:
        """Its WARC, new or behind the whole records that it holds. Raises OSError."""
        request = self.facts["request"]
        about = {
            "description": f"what Scrapy sent and received in one crawl by the spider {request['spider']}",
            "hostname": request["operator"]["host"],
            "isPartOf": self.id,
            "operator": request["operator"]["name"],
        }
        return WarcSink(self.warc_path, spool=self.folder, capture_id=self.id, warcinfo=about)

    def discard(self) -> None:
        """Drop the local folder. Only after the WARC was read back and `crawl.ended` is in the ledger."""
        shutil.rmtree(self.folder)
        self.lock.close()


@dataclass
class CrawlRecord:
    """A crawl under way: a thread of its own writes what the taps give, in their order."""

    crawl: Crawl
    stuck: Callable[[BaseException], object]
    """Told, in that thread, when an exchange could not be written."""
    lost: bool = False
    """Whether something could not be written: then the next start makes of it what can be made."""
    _room: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_WAITING))

    def __post_init__(self) -> None:
        """Open the WARC. Raises OSError."""
        self.recorder = Recorder(self.crawl.folder, self.give, client=CLIENT)
        self._sink = self.crawl.open_sink()
        self._writer = ThreadPoolExecutor(1, "akashi-crawl")

    def give(self, exchange: Exchange) -> None:
        """Have it written."""
        self._room.acquire()
        self._writer.submit(self._sink.write_exchange, exchange).add_done_callback(self._written)

    def _written(self, done: Future[Any]) -> None:
        self._room.release()
        error = done.exception()
        if error is not None and not self.lost:
            self.lost = True
            self.stuck(error)

    async def end(self, runtime: Runtime, reason: str, candidates: int) -> None:
        """The spider has closed: seal, preserve, enter. Raises as `finish`."""
        self.recorder.end_all()
        await in_thread(self._writer.shutdown)
        if self.lost:
            self.crawl.lock.close()
            return
        unreached = dict.fromkeys(self.recorder.unreached)
        self.crawl.facts["missing"] = [Missing(url, why, CLIENT).as_json() for url, why in unreached]
        outcome = "finished" if reason == "finished" else "stopped"
        self.crawl.facts["ended"] = _ended(outcome, reason, candidates)
        self.crawl.save()
        await finish(self.crawl, runtime, self._sink)


def _ended(outcome: str, reason: str, candidates: int) -> dict[str, Any]:
    now = utc(datetime.now(UTC))
    return {"outcome": outcome, "reason": reason, "candidates": candidates, "ended": now}


async def recover_crawl(crawl: Crawl, runtime: Runtime) -> bool:
    """Close a dead crawl; gives whether there was one to close. Raises as `finish`."""
    entries = await in_thread(runtime.ledger.entries_of, crawl.id)
    if not entries or entries[-1].type == CRAWL_ENDED:  # nothing was fetched; only the folder is left
        crawl.discard()
        return False
    crawl.facts["started_entry"] = entries[0].index
    sink = None
    if "sealed" not in crawl.facts:
        sink = await in_thread(_salvage, crawl)
    await finish(crawl, runtime, sink)
    return True


def _salvage(crawl: Crawl) -> WarcSink:
    """The WARC up to its last whole record, then what lies half-received."""
    if crawl.warc_path.exists():
        trim_torn_tail(crawl.warc_path)
    sink = crawl.open_sink()
    for exchange in salvage(crawl.folder):
        sink.write_exchange(exchange)
    if "ended" not in crawl.facts:
        crawl.facts["ended"] = _ended("interrupted", "the process died", 0)
        crawl.save()
    return sink


async def finish(crawl: Crawl, runtime: Runtime, sink: WarcSink | None) -> None:
    """Seal if `sink` is open, store, read back, enter `crawl.ended`; only then does the folder go.

    Raises OSError, StoreUnavailableError, LedgerUnavailableError: then the next start goes on.
    """
    if sink is not None:
        await in_thread(_seal, crawl, runtime, sink)
    sealed = crawl.facts["sealed"]
    stored = await in_thread(
        runtime.store.put_once, crawl.key, crawl.warc_path, Digests(**sealed), content_type="application/warc"
    )
    ended = crawl.facts["ended"]
    body = {
        "started": crawl.facts["started_entry"],
        **{name: ended[name] for name in ("outcome", "exchanges", "candidates")},
        "objects": [{"key": stored.key, "version": stored.version, **stored.digests.as_json()}],
    }
    await in_thread(runtime.ledger.append, CRAWL_ENDED, crawl.id, body)
    crawl.discard()


def _seal(crawl: Crawl, runtime: Runtime, sink: WarcSink) -> None:
    """Close the WARC with what the crawl says of itself in it."""
    crawl.facts["ended"]["exchanges"] = sum(ref.type == "request" for ref in sink.records)
    ended = dict(crawl.facts["ended"])
    document = {
        "v": 1,
        "crawl": {"id": crawl.id, "started_entry": crawl.facts["started_entry"]},
        "request": crawl.facts["request"],
        "times": {"started": utc(crawl.started), "ended": ended.pop("ended")},
        **ended,
        "missing": crawl.facts["missing"],
        "environment": environment(runtime.settings),
        "network": network({}),
    }
    if not any(ref.target_uri.endswith(f":{NAME}") for ref in sink.records):  # killed while sealing
        sink.write_resource(NAME, "application/json", encode_crawl(plain(document)))  # type: ignore[arg-type]
    crawl.facts["sealed"] = sink.close().as_json()
    crawl.save()
