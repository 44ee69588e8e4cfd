"""A spider that asks for every kind of answer of `tests/site/odd_answers.py`; tells one JSON line of each end.

scrapy runspider tests/end_to_end/wire_spider.py -a base=URL [-a more=URL …] [-a paths="/a /b"]
"""

from __future__ import annotations

import json
import sys

from scrapy import Request

from crawler.spiders.base import AkashiSpider

PATHS = (
    *("headers", "gzip", "chunks", "gzip-chunks", "hop", "nowhere", "500", "cut", "large", "large-chunks"),
    *("late?delay=5", "drip?delay=10"),
)
IMPATIENT = {"download_timeout": 3, "max_retry_times": 0}
BODY = b"\x00\xff body of a POST \r\n\r\n" * 4000


class WireSpider(AkashiSpider):
    name = "wire"

    def __init__(self, base: str, more: str = "", paths: str = "", *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.urls = [f"{base}/wire/{path}" for path in paths.split() or PATHS] + more.split()
        self.base = base
        self.posts = not paths

    async def start(self):
        for url in self.urls:
            meta = IMPATIENT if self.posts and "delay=" in url else {}
            yield Request(url, self.told, errback=self.failed, dont_filter=True, meta=meta)
        if self.posts:
            echo = f"{self.base}/wire/echo"
            yield Request(f"{echo}?a=1&a=2", self.told, method="POST", body=BODY, errback=self.failed)
            yield Request(
                f"{self.base}/wire/gzip", self.told, method="HEAD", errback=self.failed, dont_filter=True
            )

    def told(self, response):
        self.tell(response.request, status=response.status, size=len(response.body))

    def failed(self, failure):
        self.tell(failure.request, error=type(failure.value).__name__)

    def tell(self, request, **facts):
        sys.stdout.write(json.dumps({"method": request.method, "url": request.url, **facts}) + "\n")
