"""Two Scrapy extensions: no crawl without preserve and prove, and what Ctrl-C means."""

from __future__ import annotations

import logging
import signal
from types import FrameType
from typing import Any, Final, Self

from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.settings import BaseSettings
from scrapy.utils.misc import load_object

from pipelines.items import PreservePipeline, ProvePipeline, Workshop

log = logging.getLogger(__name__)

REQUIRED: Final = {"preserve": PreservePipeline, "prove": ProvePipeline}


def missing_steps(settings: BaseSettings) -> list[str]:
    """Which of preserve and prove the settings lack (outside the project folder Scrapy has none)."""
    pipelines = settings.getdict("ITEM_PIPELINES")
    present = [load_object(path) for path, order in pipelines.items() if order is not None]
    return [name for name, wanted in REQUIRED.items() if wanted not in present]


class EvidenceRequired:
    """Refuses a crawl, however it was started, whose settings lack preserve or prove."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.engine_started, signal=signals.engine_started)
        return extension

    async def engine_started(self) -> None:
        """Stop the crawl before its first request."""
        missing = missing_steps(self.crawler.settings)
        if missing:
            log.error(
                "crawl refused: ITEM_PIPELINES lacks %s, so nothing captured would be kept or proved. "
                "Next: run it in the project folder, without changing ITEM_PIPELINES",
                " and ".join(missing),
            )
            self.crawler.bootstrap_failed = True  # `scrapy crawl` ends with exit code 1
            await self.crawler.stop_async()


class Interrupts:
    """Ctrl-C and SIGTERM first stop the recording, then go on to Scrapy's own handler."""

    def __init__(self, crawler: Crawler) -> None:
        self.workshop = Workshop.of(crawler)
        self.previous: dict[int, Any] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's constructor."""
        extension = cls(crawler)
        crawler.signals.connect(extension.engine_started, signal=signals.engine_started)
        crawler.signals.connect(extension.engine_stopped, signal=signals.engine_stopped)
        return extension

    async def engine_started(self) -> None:
        """Stand before Scrapy's handlers."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.previous[number] = signal.signal(number, self.handle)

    async def engine_stopped(self) -> None:
        """Give the handlers back."""
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Stop recording; what was recorded is sealed, preserved and proved. A second time, Scrapy forces."""
        self.workshop.interrupt()
        previous = self.previous[number]
        if callable(previous):
            previous(number, frame)
