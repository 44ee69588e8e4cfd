"""Scrapy extensions: no crawl without preserve and prove, what Ctrl-C means, others' word at the end."""

from __future__ import annotations

import asyncio
import logging
import signal
from types import FrameType
from typing import Any, Final, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings
from scrapy.utils.misc import load_object

from crawler.spiders.base import being_checked
from evidence.errors import AkashiError, UsageError
from pipelines.items import PreservePipeline, ProvePipeline, Workshop
from storage.anchors import stamp_at_end
from storage.witnesses import cosign_at_end

log = logging.getLogger(__name__)

REQUIRED: Final = {"preserve": PreservePipeline, "prove": ProvePipeline}


def missing_steps(settings: BaseSettings) -> list[str]:
    """Which of preserve and prove the settings lack (outside the project folder Scrapy has none)."""
    pipelines = settings.getdict("ITEM_PIPELINES")
    present = [load_object(path) for path, order in pipelines.items() if order is not None]
    return [name for name, wanted in REQUIRED.items() if wanted not in present]


class EvidenceRequired:
    """Refuses a crawl, however it was started, whose settings lack preserve or prove.

    It refuses while the crawl is being put together, and ends the process: at `engine_started`,
    where Scrapy catches what a handler raises, it could only log.
    """

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's constructor. Raises SystemExit."""
        missing = missing_steps(crawler.settings)
        if (
            missing and not being_checked()
        ):  # `scrapy check` takes the pipelines away, and every item with them
            log.error(
                "crawl refused: ITEM_PIPELINES lacks %s, so nothing captured would be kept. "
                "Next: run it in the project folder, without changing ITEM_PIPELINES",
                " and ".join(missing),
            )
            raise SystemExit(UsageError.exit_code)  # anything else Scrapy would bury in its own traceback
        return cls()


class Interrupts:
    """Ctrl-C and SIGTERM: recording stops, captures under way are closed, then Scrapy stops its way.

    Scrapy must hear of it only when no item is under way: asked to stop while an item of a spider's
    `start()` is in the pipelines, it waits for ever. A second signal goes to Scrapy at once.
    """

    def __init__(self, crawler: Crawler) -> None:
        self.workshop = Workshop.of(crawler)
        self.previous: dict[int, Any] = {}
        self.stopping: asyncio.Task[None] | None = None

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.engine_started, signal=signals.engine_started)
        crawler.signals.connect(extension.engine_stopped, signal=signals.engine_stopped)
        return extension

    async def engine_started(self) -> None:
        """Stand before Scrapy's handlers."""
        self.loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.previous[number] = signal.signal(number, self.handle)

    async def engine_stopped(self) -> None:
        """Give the handlers back."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler, which may do little: the loop does the rest."""
        if self.stopping is None:
            self.loop.call_soon_threadsafe(self._stop, number)
        else:
            self.previous[number](number, frame)

    def _stop(self, number: int) -> None:
        self.workshop.interrupt()
        self.stopping = asyncio.ensure_future(self._tell_scrapy(number))

    async def _tell_scrapy(self, number: int) -> None:
        await self.workshop.idle()
        self.previous[number](number, None)


class OutsideWord:
    """When all is kept and entered: timestamps and witnesses, tried once and briefly, never failing the run."""

    def __init__(self, crawler: Crawler) -> None:
        self.workshop = Workshop.of(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.engine_stopped, signal=signals.engine_stopped)
        return extension

    async def engine_stopped(self) -> None:
        """The spider is closed, and its crawl entered. Witnesses come last: timestamps are entries."""
        workshop = self.workshop
        if workshop.runtime is None or workshop.interrupted or workshop.fatal is not None:
            return
        told = []
        for command, ask in (("timestamp", stamp_at_end), ("witness", cosign_at_end)):
            try:
                told.append(await asyncio.to_thread(ask, workshop.runtime))
            except (AkashiError, OSError) as error:
                told.append(f"the ledger waits: {error}; next: akashi ledger {command}")
        workshop.told = "\n".join(filter(None, told))
        if workshop.told:
            log.info("%s", workshop.told)
