"""What both spiders share: how a candidate is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Self

import scrapy
from scrapy.crawler import Crawler

from crawler.settings import EXTENSIONS
from evidence.canonical import utc
from pipelines.candidate import Candidate


def being_checked() -> bool:
    """Whether `scrapy check` runs the contracts, which it does without arguments (Scrapy's documented sign)."""
    return "SCRAPY_CHECK" in os.environ


class AkashiSpider(scrapy.Spider):
    """A spider that yields candidates; what becomes of them is the pipelines' business."""

    # Outside the project folder Scrapy silently has no settings of ours: these go wherever the spider goes.
    custom_settings = {"EXTENSIONS": EXTENSIONS}  # noqa: RUF012 - Scrapy reads it off the class
    reach = ""
    """What it can find without login, in a sentence (for `akashi spiders`)."""

    arguments: Mapping[str, Any] = MappingProxyType({})
    """What it was given (`-a NAME=VALUE`), for the crawl's record."""

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> Self:
        """Scrapy's constructor."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        spider.arguments = kwargs
        return spider

    def candidate(self, url: str, **facts: Any) -> Candidate:
        """One candidate, stamped with this spider and the time."""
        return Candidate(url=url, spider=self.name, found_at=utc(datetime.now(UTC)), **facts)
