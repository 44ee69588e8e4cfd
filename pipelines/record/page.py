"""Recording one page: a Chromium of its own visits it, its network log becomes exchanges, what it shows becomes facts.

Chromium ──SOCKS──> the tunnel ──> the network
   └── NetLog ──FIFO──> reader thread ──> Assembler ──> WarcSink      while the page is being visited
   └── Playwright ──> Visit: screenshots, DOM, text                   written when the browser is gone
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urldefrag, urlsplit

from evidence.canonical import utc
from evidence.errors import CaptureFailedError
from evidence.reasons import Reason
from pipelines.guard import Connection, Tunnel
from pipelines.record.chromium import run_chromium
from pipelines.record.displayed import read_displayed
from pipelines.record.exchange import Exchange, Missing
from pipelines.record.heads import parse_head
from pipelines.record.netlog_exchanges import Assembler
from pipelines.record.netlog_reader import NetLogReader
from pipelines.record.page_outcome import GONE, failure_of, gaps_of, unreached
from pipelines.record.page_visit import Progress, Seen, Visit
from pipelines.record.sink import WarcSink
from storage.settings import Settings

_MEDIA: Final = ("video/", "application/vnd.apple.mpegurl", "application/x-mpegurl", "application/dash+xml")
_HINTS_MAX: Final = 100
_DATES_MAX: Final = 50
_OWN_MAX: Final = 20


@dataclass(slots=True)
class PageRecord:
    """What recording a page gave; `failed` names why there is no page, `reasons` what it lacks."""

    requested: str
    final_url: str = ""
    status: int = 0
    """Of the document's last answer; 0 when none came."""
    redirects: list[dict[str, Any]] = field(default_factory=list)
    """Each hop before the last: {url, status}."""
    title: str = ""
    canonical_url: str = ""
    displayed: dict[str, Any] = field(default_factory=dict)
    """{facts, meta}: see `pipelines.record.displayed`."""
    video_hints: list[str] = field(default_factory=list)
    """URLs of video that the markup names, then those that the page fetched."""
    text: str = ""
    """Visible text, cut at 200,000 characters."""
    missing: list[Missing] = field(default_factory=list)
    browser: dict[str, Any] = field(default_factory=dict)
    """Version, command line, sandbox, viewport…: as in the WARC's browser.json."""
    reasons: list[Reason] = field(default_factory=list)
    failed: Reason | None = None
    server_dates: list[dict[str, str]] = field(default_factory=list)
    """{url, date, received}: the first `Date` of each host."""
    bytes: int = 0
    """Received above TLS."""
    exchanges: int = 0


async def record_page(
    url: str, *, sink: WarcSink, workdir: Path, tunnel: Tunnel, settings: Settings, on_progress: Progress
) -> PageRecord:
    """Record the page at `url` into `sink`.

    Trouble with the page is in what is returned. However this ends (cancelled, too), the browser and
    its processes are gone and what it sent and received until then is in the sink. `workdir` is made
    for the browser's user. Raises UsageError (AKASHI_EXTRA_CA), OSError (a full disk).
    """
    recording = _Recording(url, sink, tunnel)
    try:
        async with run_chromium(
            workdir=workdir, port=tunnel.port, settings=settings, make_reader=recording.make_reader
        ) as browser:
            visit = Visit(browser, settings, on_progress)
            recording.facts, recording.seen = browser.facts, visit.seen
            await visit.run(url)
    except CaptureFailedError as error:
        return PageRecord(url, failed=Reason("browser-failed", f"{error.detail}: {error.next}"))
    finally:
        await asyncio.shield(asyncio.to_thread(recording.flush))
    return recording.result()


class _Recording:
    """Joins what the reader's thread records with what the visit saw."""

    def __init__(self, url: str, sink: WarcSink, tunnel: Tunnel) -> None:
        self.seen = Seen()
        self.facts: dict[str, Any] = {}
        """How the browser runs; empty until it does."""
        self._url, self._sink, self._tunnel = url, sink, tunnel
        self._statuses: dict[str, int] = {}
        self._media: dict[str, None] = {}
        self._dates: dict[str, dict[str, str]] = {}
        self._exchanges = 0
        self._readers: list[NetLogReader] = []
        self._log_failure: Exception | None = None

    def make_reader(self, fifo: Path) -> NetLogReader:
        """The reader of one browser's log."""
        self._assembler = Assembler(spool=self._sink.spool, emit=self._emit, peer=self._peer)
        self._readers.append(NetLogReader(fifo, self._assembler))
        return self._readers[-1]

    def flush(self) -> None:
        """Read the log to its end and write what was seen; the browser is gone. Raises OSError."""
        for reader in self._readers:
            self._log_failure = None  # of two, the first was of a browser that did not start
            try:
                reader.finish(self._why_cut())
            except (ValueError, LookupError) as error:
                self._log_failure = error
        if not self.facts:
            return
        seen, write = self.seen, self._sink.write_resource
        for name, png in seen.pictures.items():
            write(f"screenshot-{name}.png", "image/png", png)
        if seen.html:
            write("dom.html", "text/html; charset=utf-8", seen.html.encode("utf-8", "replace"))
        own = self._assembler.own
        self.facts |= {
            **self._readers[-1].client,
            "user_agent": seen.agent,
            "screenshot_clipped": seen.clipped,
            "own_requests": {"count": len(own), "urls": [url[:300] for url in own[:_OWN_MAX]]},
        }
        told = json.dumps(self.facts, ensure_ascii=False, sort_keys=True, indent=1)
        write("browser.json", "application/json", told.encode("utf-8"))

    def result(self) -> PageRecord:
        """The page's facts, its failure, and what is missing."""
        seen, assembler = self.seen, self._assembler
        record = PageRecord(self._url, browser=self.facts, title=seen.title, text=seen.text)
        if self._log_failure is not None or not self._readers[-1].began:
            why = f"the recording cannot be trusted: {self._log_failure or 'Chromium wrote no network log'}"
            record.failed = Reason("browser-failed", why)
            return record
        *hops, document = assembler.document or [urldefrag(self._url).url]
        door = unreached(self._tunnel)
        record.status = seen.status or self._statuses.get(document, 0)
        record.final_url = seen.final_url if seen.opened else document
        record.redirects = [{"url": hop, "status": self._statuses.get(hop, 0)} for hop in hops]
        record.failed = failure_of(document, record.status, seen.error, door)
        record.bytes, record.exchanges = assembler.received, self._exchanges
        displayed = read_displayed(seen.html, record.final_url)
        record.canonical_url = displayed.canonical
        record.displayed = {"facts": displayed.facts, "meta": displayed.meta}
        record.video_hints = list(dict.fromkeys([*displayed.hints, *self._media]))[:_HINTS_MAX]
        record.server_dates = list(self._dates.values())[:_DATES_MAX]
        record.missing, gaps = gaps_of(assembler, seen.urls, self._statuses, door)
        record.reasons = [*seen.reasons, *self._shortcomings(record, document), *gaps]
        return record

    def _emit(self, exchange: Exchange) -> None:  # from the reader's thread, like _peer
        self._sink.write_exchange(exchange)
        head = parse_head(exchange.response_head)
        url, date = exchange.url, head.get("date")
        self._exchanges += 1
        self._statuses[url] = head.status
        if head.mime.startswith(_MEDIA):
            self._media[url] = None
        if date:
            told = {"url": url, "date": date, "received": utc(exchange.started)}
            self._dates.setdefault(urlsplit(url).netloc, told)

    def _peer(self, client_port: int) -> Connection | None:
        made = reversed(self._tunnel.connections)  # a port may be used again
        return next((one for one in made if one.client_port == client_port), None)

    def _why_cut(self) -> str:
        codes = {reason.code for reason in self.seen.reasons}
        if "budget-spent" in codes:
            return "length: the bytes allowed for the page were spent"
        cut = "time: the time allowed" if "page-unsettled" in codes else "disconnect: the visit"
        return f"{cut} was over"

    def _shortcomings(self, record: PageRecord, document: str) -> list[Reason]:
        seen = self.seen
        if record.status in GONE:
            return [Reason("page-gone", f"{document} answered {record.status}")]
        if seen.opened and seen.empty and not seen.reasons:
            return [Reason("empty-page", "the document shows nothing")]
        if not seen.opened and record.failed is None:
            return [Reason("empty-page", f"nothing to look at: {seen.error}")]
        return []
