"""A plain Scrapy spider, run by the Scrapy of each environment: the HTML, its pictures, the video of og:video."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import scrapy


class Posts(scrapy.Spider):
    """`-a urls=…,…`; files go to FILES_STORE."""

    name = "posts"

    def __init__(self, urls: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_urls = urls.split(",")

    def parse(self, response: Any) -> Iterator[dict[str, Any]]:
        """What FilesPipeline is to fetch."""
        found = response.css("img::attr(src), meta[property='og:video']::attr(content)").getall()
        yield {"url": response.url, "file_urls": [response.urljoin(one) for one in found]}
