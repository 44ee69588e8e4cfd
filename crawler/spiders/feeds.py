"""The *feeds* spider: RSS and Atom feeds, and plain listing pages whose posts carry OpenGraph."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from scrapy import Request
from scrapy.http import Response, TextResponse
from scrapy.linkextractors import LinkExtractor
from twisted.python.failure import Failure

from crawler.spiders.base import AkashiSpider, being_checked
from evidence.errors import UsageError
from pipelines.candidate import Candidate

_VIDEO_META = ("og:video:secure_url", "og:video:url", "og:video", "twitter:player:stream")


class FeedsSpider(AkashiSpider):
    """Reads a feed or a listing page and yields each post that carries a video.

    Usage: scrapy crawl feeds -a url=URL [-a limit=N]
    """

    name = "feeds"
    reach = "RSS and Atom feeds; listing pages that link posts with OpenGraph, JSON-LD or <video>"

    def __init__(self, url: str = "", limit: str = "50", *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.urls = url.split()
        if not self.urls and not being_checked():
            raise UsageError("the feeds spider was given no URL", next="scrapy crawl feeds -a url=URL")
        self.limit = int(limit)

    async def start(self) -> AsyncIterator[Request]:
        """The feed or listing itself."""
        for url in self.urls:
            yield Request(url, callback=self.parse, dont_filter=True)

    def parse(self, response: Response, **_: Any) -> Iterator[Candidate | Request]:
        """A feed's items, or a listing's links.

        @url data:application/rss+xml,<rss><item><link>http://v.test/</link><enclosure%20url="/1.mp4"%20type="video/mp4"/></item></rss>
        @returns items 1 1
        """
        if not isinstance(response, TextResponse):
            self.logger.warning(
                "%s is neither a feed nor a page: %s", response.url, response.headers.get("Content-Type")
            )
            return
        head = response.text.lstrip()[:400].casefold()
        is_feed = head.startswith("<?xml") or "<rss" in head or "<feed" in head
        posts = self._feed_items(response) if is_feed else self._listing_links(response)
        for rank, post in enumerate(posts, start=1):
            if rank > self.limit:
                break
            facts = {"query": response.url, "rank": rank, "title": post.get("title", "")}
            if post.get("hints"):
                yield self.candidate(post["url"], hints=post["hints"], **facts)
            else:
                yield Request(post["url"], self.parse_post, errback=self.refused, cb_kwargs={"facts": facts})

    def parse_post(self, response: Response, facts: dict[str, Any]) -> Iterator[Candidate]:
        """A post: a candidate if its markup names a video.

        @url data:text/html,<meta%20property="og:video"%20content="http://v.test/1.mp4"><title>t</title>
        @cb_kwargs {"facts": {"rank": 1}}
        @returns items 1 1
        """
        hints = video_hints(response) if isinstance(response, TextResponse) else []
        if not hints:
            self.crawler.stats.inc_value("akashi/no_video_hint")
            self.logger.info("no video on %s", response.url)
            return
        title = facts.get("title") or response.xpath("//title/text()").get(default="").strip()
        yield self.candidate(response.url, hints=hints, **{**facts, "title": title})

    def refused(self, failure: Failure) -> Iterator[Candidate]:
        """A post that robots.txt keeps from us, or that failed: admit names the reason."""
        request: Request = failure.request  # type: ignore[attr-defined]  # Scrapy adds it
        self.logger.info("%s: %s", request.url, failure.getErrorMessage())
        yield self.candidate(request.url, **request.cb_kwargs["facts"])

    def _feed_items(self, response: TextResponse) -> Iterator[dict[str, Any]]:
        selector = (
            response.selector
            if response.selector.type == "xml"
            else type(response.selector)(text=response.text, type="xml")
        )
        selector.remove_namespaces()
        for item in selector.xpath("//item | //entry"):
            link = (
                item.xpath("link/text()").get()
                or item.xpath("link[not(@rel) or @rel='alternate']/@href").get()
            )
            if not link or not link.strip():
                continue
            hints = item.xpath(
                "enclosure[starts-with(@type, 'video/')]/@url | link[@rel='enclosure' and starts-with(@type, 'video/')]/@href"
                " | content[@medium='video' or starts-with(@type, 'video/')]/@url"
                " | group/content[@medium='video' or starts-with(@type, 'video/')]/@url"
            ).getall()
            yield {
                "url": response.urljoin(link.strip()),
                "title": item.xpath("title/text()").get(default="").strip(),
                "hints": [response.urljoin(hint) for hint in hints],
            }

    def _listing_links(self, response: TextResponse) -> Iterator[dict[str, Any]]:
        host = response.url.split("/")[2]
        extractor = LinkExtractor(allow_domains=[host], unique=True, canonicalize=False)
        for link in extractor.extract_links(response):
            if link.url.split("#")[0] != response.url.split("#")[0]:
                yield {"url": link.url.split("#")[0], "title": link.text.strip()}


def video_hints(response: TextResponse) -> list[str]:
    """Video URLs that a post's markup names: OpenGraph, Twitter card, JSON-LD VideoObject, <video>."""
    found: list[str] = []
    for name in _VIDEO_META:
        found += response.xpath("//meta[@property=$n or @name=$n]/@content", n=name).getall()
    for text in response.xpath("//script[@type='application/ld+json']/text()").getall():
        found += _from_json_ld(text)
    found += response.xpath("//video/@src | //video/source/@src").getall()
    return list(dict.fromkeys(response.urljoin(url.strip()) for url in found if url.strip()))


def _from_json_ld(text: str) -> list[str]:
    try:
        document = json.loads(text)
    except ValueError:
        return []  # markup that is no JSON names nothing
    found: list[str] = []
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            if node.get("@type") == "VideoObject":
                found += [u for u in (node.get("contentUrl"), node.get("embedUrl")) if isinstance(u, str)]
            waiting += [value for value in node.values() if isinstance(value, (dict, list))]
    return found
