"""Scrapy's side of the one door: what its downloader may reach, and whom it trusts (crawler/settings.py).

    TWISTED_DNS_RESOLVER   GuardedResolver   names and literal addresses, every one checked, AKASHI_HOSTS first
    DOWNLOAD_HANDLERS      GuardedHandler    http and https only; the connected peer is checked again before
                                             a byte is sent; certificates are verified, which Scrapy by
                                             itself does not; AKASHI_EXTRA_CA is trusted besides; every
                                             exchange is recorded (crawler/tap.py)

Redirects, robots.txt and every other request pass the same handler. AKASHI_ALLOW_PRIVATE lifts the
address check alone. A proxy would be another door, so a request that names one is refused.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Self
from urllib.parse import urlsplit

from OpenSSL import SSL
from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler, _LenientHTTP11ClientFactory
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadTimeoutError,
    IgnoreRequest,
    NotConfigured,
)
from scrapy.http import Response
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet._resolver import GAIResolver
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.threads import deferToThread
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer  # type: ignore[import-untyped]

from crawler.tap import TRAIL, TappedPool, TappedProtocol, Trail
from evidence.errors import RefusedError, UsageError
from pipelines.items import Workshop
from pipelines.record.exchange import Exchange
from pipelines.record.recording import Recorder
from pipelines.record.spool import remove_spooled
from pipelines.steps import UNREACHABLE
from storage.resolver import Resolver, parse_url

KEPT: Final = "akashi_exchanges"
"""Of a request's meta: a list that takes its exchanges, for whoever wants them beside the crawl's WARC."""
GIVEN_UP: Final = {DownloadTimeoutError: "time", DownloadCancelledError: "length"}
"""Errors with which Scrapy itself ends an exchange, and what WARC-Truncated then says."""


class RefusedRequest(RefusedError, IgnoreRequest):  # noqa: N818  # named as Scrapy names its own
    """A request that the door refuses: Scrapy drops it, and does not try it again."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, code="address-refused")


class GuardedResolver(GAIResolver):
    """Twisted's resolver, answered by ours (storage/resolver.py); one for the whole process."""

    def __init__(self, reactor: Any, resolver: Resolver) -> None:
        super().__init__(reactor, getaddrinfo=self._answers)
        self.resolver = resolver

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> Self:
        """Scrapy's constructor. Raises UsageError for a malformed AKASHI_HOSTS."""
        return cls(reactor, Resolver(allow_private=crawler.settings.getbool("AKASHI_ALLOW_PRIVATE")))

    def install_on_reactor(self) -> None:
        """Scrapy calls this before the reactor starts."""
        self._reactor.installNameResolver(self)

    def _answers(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
        try:
            addresses = self.resolver.resolve(host)
        except RefusedError as error:  # the one end that Twisted knows
            raise socket.gaierror(socket.EAI_FAIL, error.detail) from error
        kind = socket.SOCK_STREAM
        return [answer for ip in addresses for answer in socket.getaddrinfo(ip, port, type=kind)]


class GuardedHandler(HTTP11DownloadHandler):
    """Scrapy's own handler for http and https, behind the door."""

    def __init__(self, crawler: Crawler) -> None:
        from twisted.internet import reactor  # noqa: PLC0415  # importing it earlier would choose a reactor

        super().__init__(crawler)
        if not isinstance(reactor.nameResolver, GuardedResolver):
            raise NotConfigured("TWISTED_DNS_RESOLVER is not crawler.door.GuardedResolver")
        self._resolver = resolver = reactor.nameResolver.resolver
        self._contextFactory: Any = Verified(os.environ.get("AKASHI_EXTRA_CA"))

        class CheckingPeers(_LenientHTTP11ClientFactory):
            def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
                resolver.check(addr.host, (addr.host,))
                return TappedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]

        self._pool = TappedPool(reactor, persistent=True)  # type: ignore[no-untyped-call]
        self._pool.maxPersistentPerHost = crawler.settings.getint("CONCURRENT_REQUESTS_PER_DOMAIN")
        self._pool._factory = CheckingPeers  # noqa: SLF001  # as Scrapy itself sets it
        self._workshop = Workshop.of(crawler)
        # Kept as long as the connections: one may bring bytes when its exchange is over.
        self._folder = TemporaryDirectory(prefix="akashi-robots-", ignore_cleanup_errors=True)

    async def download_request(self, request: Request) -> Response:
        """Scrapy's; raises RefusedRequest, CannotResolveHostError, and Scrapy's other exceptions."""
        if request.meta.get("proxy"):
            raise RefusedRequest(f"{request.url}: a proxy would be another way out")
        try:
            _, host, _ = parse_url(request.url)
            return await self._record(request, host)
        except UNREACHABLE as error:  # what cannot be recorded is not fetched
            self._workshop.stop(error)
            raise IgnoreRequest(error.detail) from error
        except RefusedError as error:
            raise RefusedRequest(error.detail) from error
        except UsageError as error:
            raise IgnoreRequest(error.detail) from error
        except socket.gaierror as error:
            raise CannotResolveHostError(f"{host}: {error.strerror}") from error

    async def close(self) -> None:
        """Scrapy's, at the crawl's end."""
        await super().close()
        self._folder.cleanup()

    async def _record(self, request: Request, host: str) -> Response:
        """Download, recorded: into the list that the request brings along, else into the crawl's WARC."""
        kept: list[Exchange] | None = request.meta.get(KEPT)
        if kept is None:
            return await self._recorded(request, host, (await self._workshop.begin_crawl()).recorder)
        recorder = Recorder(Path(self._folder.name), partial(self._keep, kept), client="scrapy")
        return await self._recorded(request, host, recorder)

    async def _recorded(self, request: Request, host: str, recorder: Recorder) -> Response:
        trail = Trail(recorder, "{0.scheme}://{0.netloc}".format(urlsplit(request.url)), self._workshop.stuck)
        token = TRAIL.set(trail)
        try:
            resolving = deferToThread(self._resolver.resolve, host)
            trail.dns = await maybe_deferred_to_future(resolving)
            return await super().download_request(request)
        finally:
            TRAIL.reset(token)
            error = sys.exception()
            what = f"{type(error).__name__}: {error}"
            word = next((word for kind, word in GIVEN_UP.items() if isinstance(error, kind)), "")
            if not trail.end(word and f"{word}: {what}"):
                (self._workshop.crawl or trail).recorder.unreached.append((request.url, what))

    def _keep(self, kept: list[Exchange], exchange: Exchange) -> None:
        """An exchange that a capture keeps for itself, in memory; a crawl under way keeps it too."""
        body = exchange.response_body
        held = replace(body, data=body.path.read_bytes() if body.path else body.data, path=None)
        for path in filter(None, (body.path, exchange.note)):
            remove_spooled(path)
        exchange = replace(exchange, response_body=held, note=None)
        kept.append(exchange)
        if self._workshop.crawl is not None:
            self._workshop.crawl.give(exchange)


@implementer(IPolicyForHTTPS, IOpenSSLTrustRoot)
class Verified:
    """Every server's certificate is verified, for its name, against the system's authorities and `extra`.

    Raises UsageError when `extra` is not a file of PEM certificates.
    """

    def __init__(self, extra: str | None) -> None:
        self.extra = extra
        try:
            self._addCACertsToContext(SSL.Context(SSL.TLS_CLIENT_METHOD))
        except SSL.Error as error:
            why = f"AKASHI_EXTRA_CA: {extra} is not a file of PEM certificates"
            raise UsageError(why, next="correct AKASHI_EXTRA_CA") from error

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:  # noqa: N802, ARG002
        """What Twisted asks for at each connection."""
        trust: Any = self
        return optionsForClientTLS(hostname.decode("ascii"), trustRoot=trust)

    def _addCACertsToContext(self, context: SSL.Context) -> None:  # noqa: N802  # Twisted's name for it
        context.set_default_verify_paths()
        if self.extra:
            context.load_verify_locations(self.extra)
