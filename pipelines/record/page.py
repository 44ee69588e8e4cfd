"""Recording one page: a Chromium of its own visits it, its network log becomes exchanges, what it shows becomes facts.

Chromium ──SOCKS──> the tunnel ──> the network
   └── NetLog ──FIFO──> reader thread ──> Assembler ──> WarcSink      while the page is being visited
   │   or, where that cannot be trusted: DevTools ──> CdpTap          (pipelines/record/tap.py)
   └── Playwright ──> Visit: screenshots, DOM, text                   written when the browser is gone
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urldefrag, urlsplit

from evidence.canonical import utc
from evidence.errors import CaptureFailedError
from evidence.reasons import Reason
from pipelines.guard import Connection, Tunnel
from pipelines.record.cdp import CdpTap
from pipelines.record.cdp_exchanges import CdpAssembler
from pipelines.record.chromium import run_chromium
from pipelines.record.displayed import read_displayed
from pipelines.record.exchange import Asked, Exchange, Missing
from pipelines.record.heads import is_response, parse_head
from pipelines.record.netlog_exchanges import Assembler
from pipelines.record.netlog_reader import NetLogReader
from pipelines.record.page_outcome import GONE, PORTS, failure_of, gaps_of, unreached
from pipelines.record.page_visit import Progress, Seen, Visit
from pipelines.record.sink import WarcSink
from pipelines.record.tap import EXACT, PageTap, Recorder
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
    url: str,
    *,
    sink: WarcSink,
    workdir: Path,
    tunnel: Tunnel,
    settings: Settings,
    on_progress: Progress,
    recorder: Recorder = EXACT,
) -> PageRecord:
    """Record the page at `url` into `sink`, by the tap that `recorder` names.

    Trouble with the page is in what is returned. However this ends (cancelled, too), the browser and
    its processes are gone and what it sent and received until then is in the sink. `workdir` is made
    for the browser's user. Raises UsageError (AKASHI_EXTRA_CA), OSError (a full disk).
    """
    recording = Recording(url, sink, tunnel, recorder)
    try:
        async with run_chromium(
            workdir=workdir, port=tunnel.port, settings=settings, make_tap=recording.make_tap
        ) as browser:
            visit = Visit(browser, settings, tunnel.valve, on_progress)
            recording.facts |= browser.facts
            recording.seen = visit.seen
            await visit.run(url)
    except CaptureFailedError as error:
        return PageRecord(url, failed=Reason("browser-failed", f"{error.detail}: {error.next}"))
    finally:
        await asyncio.shield(asyncio.to_thread(recording.flush))
    return recording.result()


class Recording:
    """Joins what the tap's thread records with what the visit saw."""

    def __init__(self, url: str, sink: WarcSink, tunnel: Tunnel, recorder: Recorder) -> None:
        self.seen = Seen()
        self.facts: dict[str, Any] = {}
        """How the browser runs; empty until it does."""
        self._url, self._sink, self._tunnel, self._recorder = url, sink, tunnel, recorder
        self._statuses: dict[str, int] = {}
        self._recorded: Counter[Asked] = Counter()
        self._media: dict[str, None] = {}
        self._dates: dict[str, dict[str, str]] = {}
        self._exchanges = 0
        self._taps: list[PageTap] = []
        self._tap_failure: Exception | None = None

    def make_tap(self, fifo: Path) -> PageTap:
        """What records one browser."""
        spool, emit = self._sink.spool, self._emit
        tap: PageTap
        if self._recorder.name == "cdp":
            tap = CdpTap(CdpAssembler(spool=spool, emit=emit, peer=self._peer_of))
        else:
            tap = NetLogReader(fifo, Assembler(spool=spool, emit=emit, peer=self._peer))
        self._taps.append(tap)
        return tap

    def flush(self) -> None:
        """Have all that was recorded, and write what was seen; the browser is gone. Raises OSError."""
        for tap in self._taps:
            self._tap_failure = None  # of two, the first was of a browser that did not start
            try:
                tap.finish(self._why_cut())
            except (ValueError, LookupError) as error:
                self._tap_failure = error
        if not self.facts:
            return
        seen, write = self.seen, self._sink.write_resource
        for name, png in seen.pictures.items():
            write(f"screenshot-{name}.png", "image/png", png)
        if seen.html:
            write("dom.html", "text/html; charset=utf-8", seen.html.encode("utf-8", "replace"))
        for name, text in seen.scripts.items():
            write(f"script-{name}.js", "text/javascript; charset=utf-8", text.encode("utf-8"))
        own = self._taps[-1].assembler.own
        self.facts |= {
            **self._taps[-1].client,
            "recorder": asdict(self._recorder),
            "user_agent": seen.agent,
            "screenshot_clipped": seen.clipped,
            "consent": seen.consent,
            "players": seen.players,
            "scripts": [
                {"name": f"script-{name}.js", "sha256": _sha256(text)} for name, text in seen.scripts.items()
            ],
            "steps": seen.steps.as_json(),
            "own_requests": {"count": len(own), "urls": [url[:300] for url in own[:_OWN_MAX]]},
        }
        told = json.dumps(self.facts, ensure_ascii=False, sort_keys=True, indent=1)
        write("browser.json", "application/json", told.encode("utf-8"))

    @property
    def untrusted(self) -> str:
        """Why what was recorded counts for nothing; empty when it does."""
        if self._tap_failure is None and self._taps[-1].client:
            return ""
        return (
            f"the recording cannot be trusted: {self._tap_failure or 'Chromium told nothing of its traffic'}"
        )

    def result(self) -> PageRecord:
        """The page's facts, its failure, and what is missing."""
        seen, tap = self.seen, self._taps[-1]
        record = PageRecord(self._url, browser=self.facts, title=seen.title, text=seen.text)
        if self.untrusted:
            record.failed = Reason("browser-failed", self.untrusted)
            return record
        assembler = tap.assembler
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
        record.missing, gaps = gaps_of(assembler, seen, self._recorded, door)
        record.reasons = [*seen.reasons, *self._shortcomings(record, document), *gaps]
        if self._recorder.why:
            record.reasons.append(Reason("recorder-fallback", self._recorder.why))
        return record

    def _emit(self, exchange: Exchange) -> None:  # from the reader's thread, like _peer
        self._sink.write_exchange(exchange)
        head = parse_head(exchange.response_head)
        url, date = exchange.url, head.get("date")
        self._exchanges += 1
        self._recorded[exchange.method, url] += 1
        self._statuses[url] = head.status if is_response(exchange.response_head) else 0
        if head.mime.startswith(_MEDIA):
            self._media[url] = None
        if date:
            told = {"url": url, "date": date, "received": utc(exchange.started)}
            self._dates.setdefault(urlsplit(url).netloc, told)

    def _peer(self, client_port: int) -> Connection | None:
        made = reversed(self._tunnel.connections)  # a port may be used again
        return next((one for one in made if one.client_port == client_port), None)

    def _peer_of(self, url: str) -> Connection | None:
        """For a tap that knows no ports: what the tunnel knows of a host, if it was at one address only."""
        host, port = urlsplit(url).hostname, urlsplit(url).port or PORTS.get(urlsplit(url).scheme)
        made = [one for one in self._tunnel.connections if (one.host.lower(), one.port) == (host, port)]
        return made[-1] if len({one.ip for one in made}) == 1 else None

    def _why_cut(self) -> str:
        if self.seen.spent:
            return f"length: the page {self.seen.spent}"
        if self._tunnel.valve.is_shut:
            return "length: what was allowed for the page's player was spent"
        cut = "time: the time allowed" if self.seen.late else "disconnect: the visit"
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


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
