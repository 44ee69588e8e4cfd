"""One crawl that fetches something: its WARC in the spool, then in the store; its two entries in the ledger.

    <spool>/<crawl id>/
      lock                              flock held by the process that crawls; free = that process is dead
      akashi-crawl-<UTC>-<id>.warc.gz   what was asked (`crawl.json`), then what Scrapy sent and received

`crawl.started` is in the store before Scrapy's first fetch, so that a crawl whose finds are unwelcome
cannot silently vanish. The WARC is preserved and named by `crawl.ended` when the spider closes; when the
process died, by the next start (`pipelines/recovery.py`).
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import BoundedSemaphore
from typing import IO, Any, Final, cast

from evidence.canonical import canonical, plain, utc
from evidence.digests import digest_bytes
from evidence.entry import CRAWL_ENDED, CRAWL_REQUEST
from evidence.identifiers import new_ulid
from pipelines.capture import lock_folder
from pipelines.record.exchange import Exchange, Missing
from pipelines.record.recording import Recorder
from pipelines.record.sink import WarcSink
from pipelines.record.warcfile import trim_torn_tail
from pipelines.runtime import Runtime, in_thread
from pipelines.seal import environment, network

WARC: Final = "akashi-crawl-*.warc.gz"
CLIENT: Final = "scrapy"
_WAITING: Final = 256
"""Exchanges that may wait to be written before Scrapy waits too: each holds at most 64 KiB of a body."""


class Crawl:
    """One crawl, under way or taken over; a thread of its own writes what the taps give, in their order."""

    started = 0
    """Index of `crawl.started`."""
    lost = False
    """Whether something could not be written: then the next start makes of the folder what can be made."""

    def __init__(
        self, warc: Path, lock: IO[str], about: Mapping[str, str], stuck: Callable[[BaseException], object]
    ) -> None:
        """Open the WARC; `stuck` is told, in that thread, what could not be written. Raises OSError."""
        self.warc, self._lock, self._stuck = warc, lock, stuck
        self.sink = WarcSink(warc, spool=warc.parent, capture_id=self.id, warcinfo=about)
        self.recorder = Recorder(warc.parent, self.give, client=CLIENT)
        self._room = BoundedSemaphore(_WAITING)
        self._writer = ThreadPoolExecutor(1, "akashi-crawl")

    @property
    def id(self) -> str:
        """Its ULID."""
        return self.warc.parent.name

    @property
    def key(self) -> str:
        """Where the WARC will lie in the store."""
        day = self.warc.name.split("-")[2]
        return f"crawls/{day[:4]}/{day[4:6]}/{day[6:8]}/{self.warc.name}"

    @classmethod
    async def begin(
        cls,
        runtime: Runtime,
        spider: str,
        arguments: Mapping[str, Any],
        stuck: Callable[[BaseException], object],
    ) -> Crawl:
        """Fix what is asked, enter `crawl.started`; only then may anything be fetched.

        Raises OSError, StoreUnavailableError, LedgerUnavailableError.
        """
        now, operator = datetime.now(UTC), runtime.options.operator_facts(runtime.settings)
        folder = runtime.settings.home.spool / new_ulid(now)
        folder.mkdir(mode=0o711)
        lock = cast("IO[str]", lock_folder(folder))  # a new folder's: nobody else can hold it
        about = {
            "description": f"what Scrapy sent and received in one crawl by the spider {spider}",
            "hostname": operator["host"],
            "isPartOf": folder.name,
            "operator": operator["name"],
        }
        crawl = cls(folder / WARC.replace("*", f"{now:%Y%m%dT%H%M%SZ}-{folder.name}"), lock, about, stuck)
        asked = {
            "arguments": {name: str(value) for name, value in arguments.items()},
            "case": runtime.options.case,
            "environment": environment(runtime.settings),
            "network": network({}),
            "note": runtime.options.note,
            "operator": operator,
            "options": runtime.options.as_json(),
            "requested_at": utc(now),
            "salt": secrets.token_hex(16),
            "spider": spider,
            "v": 1,
        }
        request = canonical(plain(asked))
        crawl.sink.write_resource(CRAWL_REQUEST, "application/json", request)
        body = {"request": digest_bytes(request).as_json()}
        try:
            appended = await in_thread(runtime.ledger.append, "crawl.started", crawl.id, body)
        except BaseException:
            crawl.sink.close()  # the next start asks the ledger whether the entry got in
            lock.close()
            raise
        crawl.started = appended.index
        return crawl

    def give(self, exchange: Exchange) -> None:
        """Have it written."""
        self._room.acquire()
        self._writer.submit(self.sink.write_exchange, exchange).add_done_callback(self._written)

    def _written(self, done: Future[Any]) -> None:
        self._room.release()
        error = done.exception()
        if error is not None and not self.lost:
            self.lost = True
            self._stuck(error)

    async def end(self, runtime: Runtime, outcome: str, reason: str, candidates: int | None) -> None:
        """Seal, store, read back, enter `crawl.ended`; only then does the folder go.

        Raises OSError, StoreUnavailableError, LedgerUnavailableError: then the next start does it.
        """
        self.recorder.end_all()
        await in_thread(self._writer.shutdown)
        if self.lost:
            return
        if unreached := dict.fromkeys(self.recorder.unreached):
            missing = [Missing(url, why, CLIENT).as_json() for url, why in unreached]
            self.sink.write_resource("missing.json", "application/json", json.dumps(missing).encode())
        exchanges = sum(record.type == "request" for record in self.sink.records)
        digests = await in_thread(self.sink.close)
        stored = await in_thread(
            runtime.store.put_once, self.key, self.warc, digests, content_type="application/warc"
        )
        body = {
            "candidates": candidates,
            "exchanges": exchanges,
            "objects": [{"key": stored.key, "version": stored.version, **stored.digests.as_json()}],
            "outcome": outcome,
            "reason": reason,
            "started": self.started,
        }
        await in_thread(runtime.ledger.append, CRAWL_ENDED, self.id, body)
        shutil.rmtree(self.warc.parent)
        self._lock.close()


async def recover_crawl(folder: Path, runtime: Runtime) -> bool:
    """Close a dead crawl; gives whether there was one to close. Raises as `Crawl.end`."""
    lock = lock_folder(folder)
    if lock is None:  # alive
        return False
    with lock:
        entries = await in_thread(runtime.ledger.entries_of, folder.name)
        if not entries or entries[-1].type == CRAWL_ENDED:  # nothing was fetched; only the folder is left
            shutil.rmtree(folder)
            return False
        crawl = await in_thread(_salvage, folder, lock)
        crawl.started = entries[0].index
        await crawl.end(runtime, "interrupted", "its process did not close it", None)
        return True


def _salvage(folder: Path, lock: IO[str]) -> Crawl:
    """The WARC up to its last whole record, then what lies half-received."""
    (warc,) = folder.glob(WARC)
    trim_torn_tail(warc)
    crawl = Crawl(warc, lock, {}, lambda _error: None)
    deque(crawl.sink.salvage(folder), maxlen=0)
    return crawl
