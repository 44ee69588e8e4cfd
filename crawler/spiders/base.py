"""What both spiders share: how a candidate is made."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import scrapy

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

    def candidate(self, url: str, **facts: Any) -> Candidate:
        """One candidate, stamped with this spider and the time."""
        return Candidate(url=url, spider=self.name, found_at=utc(datetime.now(UTC)), **facts)
