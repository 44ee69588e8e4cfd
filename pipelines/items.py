"""The item pipelines: each a thin Scrapy class over one step (design §1)."""

from __future__ import annotations

import asyncio
import logging
from typing import ClassVar, Self
from weakref import WeakKeyDictionary

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem
from scrapy.utils.misc import load_object

from evidence.errors import AkashiError, RefusedError, StoreUnavailableError, UsageError
from pipelines import steps
from pipelines.admit import admit
from pipelines.candidate import Candidate
from pipelines.capture import Capture
from pipelines.crawl import Crawl
from pipelines.options import options_from
from pipelines.record.canary import choose_recorder
from pipelines.recovery import recover
from pipelines.robots import Fetch
from pipelines.runtime import Listener, Runtime
from storage.settings import Settings

log = logging.getLogger(__name__)


class Refused(DropItem):
    """A candidate that was not captured; `error` names the reason, the next step and the exit code."""

    def __init__(self, url: str, error: AkashiError) -> None:
        super().__init__(f"{url}: {error.detail}", log_level="INFO")
        self.error = error


def to_log(url: str, step: str, text: str, *, done: int = 0, total: int = 0) -> None:  # noqa: ARG001
    """The listener of a plain crawl: a line a step in Scrapy's log."""
    if not done:
        log.info("%s: %s: %s", url, step, text)


def no_room(error: BaseException) -> StoreUnavailableError:
    """The spool takes nothing more."""
    return StoreUnavailableError(f"the spool: {error}", next="make room or mend the disk, then try again")


class Workshop:
    """One per crawler: the runtime, opened at the first candidate, and the room for captures at once."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self.runtime: Runtime | None = None
        self.fatal: AkashiError | None = None
        self.room = asyncio.Semaphore(crawler.settings.getint("AKASHI_CONCURRENT_CAPTURES", 2))
        self._opening = asyncio.Lock()
        self.listener: Listener = to_log
        self.interrupted = False
        self.under_way: dict[int, Capture] = {}
        self.crawl: Crawl | None = None
        self._beginning = asyncio.Lock()
        self.items = 0
        """Items between admit and their way out, waiting ones too."""
        self.told = ""
        """What came of the ledger's timestamps at the end of the run, in a line."""

    @classmethod
    def of(cls, crawler: Crawler) -> Workshop:
        """The crawler's workshop, made once."""
        if crawler not in _WORKSHOPS:
            _WORKSHOPS[crawler] = cls(crawler)
        return _WORKSHOPS[crawler]

    async def open(self) -> Runtime:
        """The runtime, with dead captures of earlier processes closed first. Raises AkashiError."""
        async with self._opening:
            if self.fatal is not None:
                raise self.fatal
            if self.runtime is None:
                options, settings = options_from(self.crawler.settings, Settings.load())
                runtime = await asyncio.to_thread(
                    Runtime.open, settings, options=options, listener=self.listener
                )
                try:
                    runtime.recorder = await choose_recorder(settings)
                except UsageError as error:
                    self.fatal = error
                    raise
                self.runtime = runtime
                if self.interrupted:
                    self.runtime.interrupted.set()
                await recover(self.runtime)
            return self.runtime

    async def begin_crawl(self) -> Crawl:
        """The record of what Scrapy itself fetches, begun before its first fetch. Raises AkashiError."""
        async with self._beginning:
            if self.crawl is None:
                loop, spider = asyncio.get_running_loop(), self.crawler.spider
                try:
                    runtime = await self.open()
                    crawl = await Crawl.begin(
                        runtime,
                        getattr(spider, "name", ""),
                        getattr(spider, "arguments", {}),
                        lambda error: loop.call_soon_threadsafe(self.stuck, error),
                    )
                except OSError as error:
                    raise no_room(error) from error
                runtime.crawl = {"id": crawl.id, "warc": crawl.key}
                self.crawl = crawl

                async def closed(reason: str) -> None:
                    await self._end_crawl(crawl, runtime, reason)

                self.crawler.signals.connect(closed, signal=signals.spider_closed, weak=False)
            return self.crawl

    def stuck(self, error: BaseException) -> None:
        """An exchange of the crawl cannot be kept: nothing more is fetched."""
        if self.crawl is not None:
            self.crawl.lost = True
        self.stop(no_room(error))

    async def _end_crawl(self, crawl: Crawl, runtime: Runtime, reason: str) -> None:
        """The spider has closed: every item has left Scrapy, and nothing more is fetched."""
        stats = self.crawler.stats
        ends = ("scraped", "dropped", "error")
        found = sum(stats.get_value(f"item_{end}_count", 0) for end in ends)
        try:
            await crawl.end(runtime, "finished" if reason == "finished" else "stopped", reason, found)
        except (*steps.UNREACHABLE, OSError):
            log.exception("the crawl's WARC stays in the spool: the next start finishes it")

    def interrupt(self) -> None:
        """Ctrl-C: recording stops; what was recorded is sealed, preserved and proved."""
        self.interrupted = True
        if self.runtime is not None:
            self.runtime.interrupted.set()

    async def run(self, step: steps.Step, candidate: Candidate) -> Candidate:
        """Run one step for the candidate's capture. Ends the crawl when the store or ledger is gone."""
        capture = self.under_way[id(candidate)]
        runtime = await self.open()
        try:
            await steps.run_step(step, capture, runtime)
        except BaseException as error:
            self.leave(candidate)  # whatever ended it: what is in the spool is the next start's to finish
            capture.release()
            if isinstance(error, steps.UNREACHABLE):
                self.stop(error)
                raise Refused(candidate.url, error) from error
            raise
        return candidate

    def stop(self, error: AkashiError) -> None:
        """Nothing more can be kept: what was fetched stays in the spool, and the crawl ends."""
        if self.fatal is None:
            self.fatal = error
            log.error("%s%s", error.detail, f". Next: {error.next}" if error.next else "")
            self.closing = asyncio.ensure_future(self._close(error.name))

    async def _close(self, reason: str) -> None:
        await self.idle()
        if self.crawler.crawling and self.crawler.engine.running:
            await self.crawler.engine.close_spider_async(reason=reason)

    async def idle(self) -> None:
        """Return once no item is under way, and the last has left Scrapy.

        Told to stop any earlier, Scrapy waits for ever: nothing wakes its scraper when an item that
        came from a spider's `start()` ends (docs/adr/0004-refusal-and-signals-in-scrapy.md).
        """
        while self.items:  # noqa: ASYNC110 - a count that many places change, watched for a short while
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)

    def leave(self, candidate: Candidate) -> None:
        """Make room for the next capture."""
        self.under_way.pop(id(candidate))
        self.room.release()
        self.items -= 1


_WORKSHOPS: WeakKeyDictionary[Crawler, Workshop] = WeakKeyDictionary()


class StepPipeline:
    """What all item pipelines share; a subclass names its step."""

    step: ClassVar[steps.Step]

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's constructor."""
        return cls(Workshop.of(crawler))

    async def process_item(self, item: Candidate) -> Candidate:
        """Run the step over the candidate's capture."""
        return await self.workshop.run(self.step, item)


class AdmitPipeline(StepPipeline):
    """Refuses by policy (the item is dropped with its reason), or starts the capture."""

    async def process_item(self, item: Candidate) -> Candidate:
        """Admit one candidate; waits for room, so that captures at once stay bounded."""
        self.workshop.items += 1
        await self.workshop.room.acquire()
        admitted = False
        try:
            runtime = await self.workshop.open()
            runtime.listener(item.url, "admit", "checking address, scope and robots.txt")
            self.workshop.under_way[id(item)] = await admit(item, runtime, self._fetch_robots())
            admitted = True
        except steps.UNREACHABLE as error:
            self.workshop.stop(error)
            raise Refused(item.url, error) from error
        except OSError as error:
            broken = no_room(error)
            self.workshop.stop(broken)
            raise Refused(item.url, broken) from error
        except (RefusedError, UsageError) as error:
            code = error.code if isinstance(error, RefusedError) else "usage"
            item.reasons = [{"code": code, "detail": error.detail}]
            raise Refused(item.url, error) from error
        finally:
            if not admitted:
                self.workshop.items -= 1
                self.workshop.room.release()
        return item

    def _fetch_robots(self) -> Fetch:
        crawler = self.workshop.crawler
        fetcher: Fetch = load_object(crawler.settings["AKASHI_ROBOTS_FETCHER"])(crawler)
        return fetcher


class PagePipeline(StepPipeline):
    """Records the page."""

    step = steps.PAGE


class VideoPipeline(StepPipeline):
    """Records the video."""

    step = steps.VIDEO


class InspectPipeline(StepPipeline):
    """Reads facts off the files."""

    step = steps.INSPECT


class PreservePipeline(StepPipeline):
    """Stores, reads back, compares."""

    step = steps.PRESERVE


class ProvePipeline(StepPipeline):
    """Enters it in the ledger; the local copy goes only now."""

    step = steps.PROVE

    async def process_item(self, item: Candidate) -> Candidate:
        """Prove, then drop the spool folder and make room."""
        capture = self.workshop.under_way[id(item)]
        await self.workshop.run(self.step, item)
        capture.discard()
        self.workshop.leave(item)
        return item
