"""Fetch robots.txt for a capture's admission through Scrapy's own downloader: its door, its delays."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from twisted.internet.error import (
    ConnectError,
    ConnectionClosed,
    ConnectionLost,
    DNSLookupError,
    TimeoutError,
)
from twisted.web.client import ResponseFailed

from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.robots import Answer, Fetch

_FAILURES = (
    ConnectError,
    ConnectionClosed,
    ConnectionLost,
    DNSLookupError,
    IgnoreRequest,
    OSError,
    ResponseFailed,
    TimeoutError,
)


def fetcher(crawler: Crawler) -> Fetch:
    """A fetch that asks each host once per crawl and remembers its answer."""
    answers: dict[str, Answer] | None = getattr(crawler, "akashi_robots", None)
    if answers is None:
        answers = crawler.akashi_robots = {}

    async def fetch(url: str) -> Answer:
        if url not in answers:
            answers[url] = await _ask(crawler, url)
        return answers[url]

    return fetch


async def _ask(crawler: Crawler, url: str) -> Answer:
    if crawler.engine is None:
        return Answer(0, b"", None, "the crawl has ended")
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
    except _FAILURES as error:
        return Answer(0, b"", None, f"{type(error).__name__}: {error}")
    return Answer(response.status, response.body, exchange_of(response, started))


def exchange_of(response: Response, started: datetime) -> Exchange:
    """The exchange as Scrapy's client gives it: headers parsed and put together again, and marked so."""
    request = response.request
    parts = urlsplit(response.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {b"Host": [parts.netloc.encode("ascii", "replace")], **dict(request.headers)}
    head = f"{request.method} {target} HTTP/1.1\r\n".encode("ascii", "replace") + _lines(headers)
    status = f"{response.protocol or 'HTTP/1.1'} {response.status} \r\n".encode("ascii")
    return Exchange(
        client="scrapy",
        url=response.url,
        method=request.method,
        started=started,
        request_head=head + b"\r\n",
        response_head=status + _lines(dict(response.headers)) + b"\r\n",
        response_body=Body(
            len(response.body),
            response.body,
            state=BodyState.AS_RECEIVED,
            why="transfer coding removed by the client",
        ),
        layer=Layer.CLIENT_DECODED,
        network=Network(ip=str(response.ip_address or "")),
    )


def _lines(headers: dict[bytes, list[bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % (name, value) for name, values in headers.items() for value in values)
