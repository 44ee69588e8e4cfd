"""Fetch robots.txt for a capture's admission through Scrapy's own downloader: its door, its delays."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
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
from scrapy.http import Headers, Response

from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
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
    started = datetime.now(UTC)
    # identity: Scrapy decodes content encodings on the way, and the record is to hold what arrived
    request = Request(
        url,
        headers={"Accept-Encoding": "identity"},
        meta={"dont_obey_robotstxt": True, "handle_httpstatus_all": True, "max_retry_times": 0},
        dont_filter=True,
        priority=1000,
    )
    try:
        response = await crawler.engine.download_async(request)
    except _FAILURES as failure:
        return Answer(0, b"", None, f"{type(failure).__name__}: {failure}")
    return Answer(response.status, response.body, exchange_of(request, response, started))


def exchange_of(request: Request, response: Response, started: datetime) -> Exchange:
    """The exchange as Scrapy's client gives it: headers parsed and put together again, and marked so."""
    parts = urlsplit(response.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = b"Host: %s\r\n" % parts.netloc.encode("ascii", "replace")
    head = (
        f"{request.method} {target} HTTP/1.1\r\n".encode("ascii", "replace") + host + _lines(request.headers)
    )
    status = f"{response.protocol or 'HTTP/1.1'} {response.status} \r\n".encode("ascii")
    return Exchange(
        client="scrapy",
        url=response.url,
        method=request.method,
        started=started,
        request_head=head + b"\r\n",
        response_head=status + _lines(response.headers) + b"\r\n",
        response_body=Body(
            len(response.body),
            response.body,
            state=BodyState.AS_RECEIVED,
            why="transfer coding removed by the client",
        ),
        layer=Layer.CLIENT_DECODED,
        network=Network(ip=str(response.ip_address or "")),
    )


def _lines(headers: Headers) -> bytes:
    return b"".join(b"%s: %s\r\n" % (name, value) for name in headers for value in headers.getlist(name))
