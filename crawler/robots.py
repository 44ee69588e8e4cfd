"""Fetch robots.txt for a capture's admission through Scrapy's own downloader: its door, its delays."""

from __future__ import annotations

import asyncio
from typing import Final
from weakref import WeakKeyDictionary

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
)

from crawler.door import KEPT
from pipelines.record.exchange import Exchange
from pipelines.robots import Answer, Fetch

_FAILURES: Final = (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    OSError,
    ResponseDataLossError,
)

_ANSWERS: WeakKeyDictionary[Crawler, dict[str, asyncio.Task[Answer]]] = WeakKeyDictionary()


def fetcher(crawler: Crawler) -> Fetch:
    """A fetch that asks each host once per crawl and remembers its answer."""
    answers = _ANSWERS.setdefault(crawler, {})

    async def fetch(url: str) -> Answer:
        if url not in answers:
            answers[url] = asyncio.ensure_future(_ask(crawler, url))
        return await asyncio.shield(answers[url])

    return fetch


async def _ask(crawler: Crawler, url: str) -> Answer:
    kept: list[Exchange] = []
    # identity: the manifest's digest of what was read is then that of the recorded payload
    request = Request(
        url,
        headers={"Accept-Encoding": "identity"},
        meta={"dont_obey_robotstxt": True, "handle_httpstatus_all": True, "max_retry_times": 0, KEPT: kept},
        dont_filter=True,
        priority=1000,
    )
    try:
        response = await crawler.engine.download_async(request)
    except _FAILURES as failure:
        return Answer(0, b"", kept, f"{type(failure).__name__}: {failure}")
    return Answer(response.status, response.body, kept)
