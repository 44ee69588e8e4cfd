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

from crawler.spiders.base import being_checked
from evidence.errors import UsageError
from pipelines.items import PreservePipeline, ProvePipeline, Workshop

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
