"""Recording one page: a Chromium of its own visits it, its network log becomes exchanges, what it shows becomes facts.

Chromium ──SOCKS──> the tunnel ──> the network
   └── NetLog ──FIFO──> reader thread ──> Assembler ──> WarcSink      while the page is being visited
   └── Playwright ──> Visit: screenshots, DOM, text                   written when the browser is gone
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urldefrag, urlsplit

from evidence.canonical import utc
from evidence.reasons import Reason
from pipelines.guard import Connection, Tunnel
from pipelines.record.chromium import VIEWPORT, BrowserFailedError, Chromium, run_chromium
from pipelines.record.displayed import Displayed, read_displayed
from pipelines.record.exchange import Exchange, Missing
from pipelines.record.heads import parse_head
from pipelines.record.netlog import NetLogError
from pipelines.record.netlog_reader import NetLogReader
from pipelines.record.page_outcome import Door, failure_of, missing_of, reasons_of, shortcoming_of
from pipelines.record.page_visit import Progress, Seen, Visit
from pipelines.record.sink import RecordRef, WarcSink
from storage.settings import Settings

_MEDIA: Final = ("video/", "application/vnd.apple.mpegurl", "application/x-mpegurl", "application/dash+xml")
_HINTS_MAX: Final = 100
_OWN_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Picture:
    """A screenshot in the WARC: its record, and its size in pixels."""

    record: RecordRef
    width: int
    height: int
    clipped: bool
    """Whether the page is taller than the picture."""


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
    """See `pipelines.record.displayed`."""
    video_hints: list[str] = field(default_factory=list)
    """URLs of video that the markup names, then those that the page fetched."""
    text: str = ""
    """Visible text, cut at 200,000 characters."""
    screenshots: dict[str, Picture] = field(default_factory=dict)
    """By name: `viewport`, `full`."""
    dom: RecordRef | None = None
    missing: list[Missing] = field(default_factory=list)
    browser: dict[str, Any] = field(default_factory=dict)
    """Version, command line, sandbox, viewport…: as in the WARC's browser.json."""
    reasons: list[Reason] = field(default_factory=list)
    failed: Reason | None = None
    server_dates: list[dict[str, str]] = field(default_factory=list)
    """{url, date, received}: `Date` of the document's answers, then of the first answer of every other host."""
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
            recording.begin(browser, settings)
            visit = Visit(browser, settings, on_progress)
            recording.seen = visit.seen
            await visit.run(url)
    except BrowserFailedError as error:
        return PageRecord(url, failed=Reason("browser-failed", str(error)))
    finally:
        await asyncio.shield(asyncio.to_thread(recording.flush))
    return recording.result()


@dataclass(slots=True)
class _Answer:
    """What is remembered of each exchange: enough for the page's facts, however many there are."""

    url: str
    status: int
    mime: str
    date: str
    received: datetime


class _Recording:
    """Joins what the reader's thread records with what the visit saw."""

    def __init__(self, url: str, sink: WarcSink, tunnel: Tunnel) -> None:
        self.seen = Seen()
        self.reader: NetLogReader | None = None
        self._url, self._sink, self._tunnel = url, sink, tunnel
        self._peers: dict[int, Connection] = {}
        self._answers: list[_Answer] = []
        self._facts: dict[str, Any] = {}
        self._log_failure: NetLogError | None = None
        self._record = PageRecord(url)

    def make_reader(self, fifo: Path) -> NetLogReader:
        """The reader of one browser's log."""
        self.reader = NetLogReader(fifo, spool=self._sink.spool, emit=self._emit, peer=self._peer)
        return self.reader

    def begin(self, browser: Chromium, settings: Settings) -> None:
        """The browser runs."""
        self._facts = {
            "executable": str(browser.executable),
            "sandbox": {"on": browser.sandboxed, "note": browser.sandbox_note},
            "viewport": {"width": VIEWPORT[0], "height": VIEWPORT[1]},
            "locale": settings.locale,
            "timezone": settings.timezone,
        }

    def flush(self) -> None:
        """Read the log to its end and write what was seen; the browser is gone. Raises OSError."""
        reader = self.reader
        if reader is None:
            return
        try:
            reader.finish(self._why_cut())
        except NetLogError as error:
            self._log_failure = error
        if not self._facts:  # it never ran
            return
        seen, record = self.seen, self._record
        for name, png in seen.pictures.items():
            ref = self._sink.write_resource(f"screenshot-{name}.png", "image/png", png)
            width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
            record.screenshots[name] = Picture(ref, width, height, seen.clipped and name == "full")
        if seen.html:
            dom = seen.html.encode("utf-8", "replace")
            record.dom = self._sink.write_resource("dom.html", "text/html; charset=utf-8", dom)
        record.browser = self._browser(reader)
        told = json.dumps(record.browser, ensure_ascii=False, sort_keys=True, indent=1).encode("utf-8")
        self._sink.write_resource("browser.json", "application/json", told)

    def result(self) -> PageRecord:
        """The page's facts, its failure, and what is missing."""
        record, seen = self._record, self.seen
        assembler = self.reader.assembler if self.reader else None
        if assembler is None or self._log_failure is not None:
            why = self._log_failure or "its network log was never opened"
            record.failed = Reason("browser-failed", f"the recording cannot be trusted: {why}")
            return record
        document = assembler.document[-1] if assembler.document else urldefrag(self._url).url
        door = Door.of(self._tunnel)
        record.status = seen.status or self._status_of(document)
        record.final_url = seen.final_url if seen.opened else document
        record.redirects = [{"url": hop, "status": self._status_of(hop)} for hop in assembler.document[:-1]]
        record.failed = failure_of(document, record.status, seen.error, timed_out=seen.timed_out, door=door)
        record.bytes, record.exchanges = assembler.received, len(self._answers)
        record.title, record.text = seen.title, seen.text
        self._read(read_displayed(seen.html, record.final_url) if seen.html else Displayed())
        recorded = {answer.url for answer in self._answers}
        record.missing = missing_of(assembler, seen.urls, recorded, door)
        record.reasons = [
            *seen.reasons,
            *filter(None, [shortcoming_of(document, record.status), self._empty()]),
            *reasons_of(record.missing, seen.urls, assembler, door),
        ]
        record.server_dates = self._dates(assembler.document)
        return record

    # From the reader's thread -----------------------------------------------------------------

    def _emit(self, exchange: Exchange) -> None:
        self._sink.write_exchange(exchange)
        head = parse_head(exchange.response_head)
        self._answers.append(
            _Answer(exchange.url, head.status, head.mime, head.get("date"), exchange.started)
        )

    def _peer(self, client_port: int) -> Connection | None:
        if client_port not in self._peers:
            self._peers = {one.client_port: one for one in list(self._tunnel.connections)}
        return self._peers.get(client_port)

    # What came of it --------------------------------------------------------------------------

    def _why_cut(self) -> str:
        if any(reason.code == "budget-spent" for reason in self.seen.reasons):
            return "length: the bytes allowed for the page were spent"
        if any(reason.code == "page-unsettled" for reason in self.seen.reasons):
            return "time: under way when the time allowed for the page was over"
        return "disconnect: under way when the browser was closed"

    def _browser(self, reader: NetLogReader) -> dict[str, Any]:
        seen, assembler = self.seen, reader.assembler
        own = assembler.own if assembler else []
        return {
            **reader.client,
            **self._facts,
            "user_agent": seen.agent,
            "dialogs": seen.dialogs,
            "popups": seen.popups,
            "own_requests": {"count": len(own), "urls": [url[:300] for url in own[:_OWN_MAX]]},
        }

    def _read(self, displayed: Displayed) -> None:
        record = self._record
        record.canonical_url, record.displayed = displayed.canonical, displayed.as_json()
        fetched = [answer.url for answer in self._answers if answer.mime.startswith(_MEDIA)]
        record.video_hints = list(dict.fromkeys([*displayed.hints, *fetched]))[:_HINTS_MAX]

    def _empty(self) -> Reason | None:
        seen = self.seen
        if seen.opened and seen.empty and not seen.reasons:
            return Reason("empty-page", "the document shows nothing")
        if not seen.opened and self._record.failed is None and self._record.status // 100 != 4:  # noqa: PLR2004
            return Reason("empty-page", f"nothing to look at: {seen.error}")
        return None

    def _status_of(self, url: str) -> int:
        return next((answer.status for answer in reversed(self._answers) if answer.url == url), 0)

    def _dates(self, document: list[str]) -> list[dict[str, str]]:
        hosts: set[str] = set()
        dates = []
        for answer in sorted(self._answers, key=lambda one: one.url not in document):
            host = urlsplit(answer.url).netloc
            if answer.date and (answer.url in document or host not in hosts):
                hosts.add(host)
                dates.append({"url": answer.url, "date": answer.date, "received": utc(answer.received)})
        return dates[:50]


__all__ = ["PageRecord", "Picture", "record_page"]
