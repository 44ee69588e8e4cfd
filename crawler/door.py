"""Scrapy's side of the one door: what its downloader may reach, and whom it trusts (crawler/settings.py).

    TWISTED_DNS_RESOLVER   GuardedResolver   names and literal addresses, every one checked, AKASHI_HOSTS first
    DOWNLOAD_HANDLERS      GuardedHandler    http and https only; the connected peer is checked again before
                                             a byte is sent; certificates are verified, which Scrapy by
                                             itself does not; AKASHI_EXTRA_CA is trusted besides

Redirects, robots.txt and every other request pass the same handler. AKASHI_ALLOW_PRIVATE lifts the
address check alone. A proxy would be another door, so a request that names one is refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, Self

from OpenSSL import SSL
from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler, _LenientHTTP11ClientFactory
from scrapy.crawler import Crawler
from scrapy.exceptions import CannotResolveHostError, IgnoreRequest, NotConfigured
from scrapy.http import Response
from scrapy.resolver import HostResolution
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer  # type: ignore[import-untyped]

from evidence.errors import RefusedError, UsageError
from pipelines.resolver import Addresses, Resolver, parse_url


class RefusedRequest(RefusedError, IgnoreRequest):  # noqa: N818  # named as Scrapy names its own
    """A request that the door refuses: Scrapy drops it, and does not try it again."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, code="address-refused")


@implementer(IHostnameResolver)
class GuardedResolver:
    """Twisted's resolver, answered by ours (pipelines/resolver.py); one for the whole process."""

    def __init__(self, reactor: Any, resolver: Resolver) -> None:
        self.reactor = reactor
        self.resolver = resolver

    @classmethod
    def from_crawler(cls, crawler: Any, reactor: Any) -> Self:
        """Scrapy's constructor. Raises UsageError for a malformed AKASHI_HOSTS."""
        return cls(reactor, Resolver(allow_private=crawler.settings.getbool("AKASHI_ALLOW_PRIVATE")))

    def install_on_reactor(self) -> None:
        """Scrapy calls this before the reactor starts."""
        self.reactor.installNameResolver(self)

    def ask(self, host: str) -> Any:
        """A Deferred of a host's addresses; it fails with RefusedError or socket.gaierror."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), self.resolver.resolve, host)

    def resolveHostName(  # noqa: N802
        self,
        resolutionReceiver: Any,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[Any] | None = None,  # noqa: N803
        transportSemantics: Any = "TCP",  # noqa: N803
    ) -> HostResolution:
        """IHostnameResolver: the allowed addresses, none when the name is refused or unknown."""
        resolution = HostResolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        wanted = addressTypes or (IPv4Address, IPv6Address)

        def tell(addresses: Addresses) -> None:
            for ip in addresses:
                kind = IPv6Address if ":" in ip else IPv4Address
                if kind in wanted:
                    resolutionReceiver.addressResolved(kind(transportSemantics, ip, portNumber))

        def end(failure: Failure | None) -> Failure | None:
            resolutionReceiver.resolutionComplete()
            expected = failure is None or failure.check(RefusedError, socket.gaierror)  # type: ignore[no-untyped-call]
            return None if expected else failure

        self.ask(hostName).addCallback(tell).addBoth(end)
        return resolution


class GuardedHandler(HTTP11DownloadHandler):
    """Scrapy's own handler for http and https, behind the door."""

    def __init__(self, crawler: Crawler) -> None:
        from twisted.internet import reactor  # noqa: PLC0415  # importing it earlier would choose a reactor

        super().__init__(crawler)
        if not isinstance(reactor.nameResolver, GuardedResolver):
            raise NotConfigured("TWISTED_DNS_RESOLVER is not crawler.door.GuardedResolver")
        self._door = reactor.nameResolver
        self._pool._factory = _checking_peers(self._door.resolver)  # noqa: SLF001  # as Scrapy itself sets it
        self._contextFactory: Any = Verified(os.environ.get("AKASHI_EXTRA_CA"))

    async def download_request(self, request: Request) -> Response:
        """Scrapy's; raises RefusedRequest, CannotResolveHostError, and Scrapy's other exceptions."""
        if request.meta.get("proxy"):
            raise RefusedRequest(f"{request.url}: a proxy would be another way out")
        try:
            _, host, _ = parse_url(request.url)
            await maybe_deferred_to_future(self._door.ask(host))
        except RefusedError as error:
            raise RefusedRequest(error.detail) from error
        except UsageError as error:
            raise IgnoreRequest(error.detail) from error
        except socket.gaierror as error:
            raise CannotResolveHostError(f"{host}: {error.strerror}") from error
        return await super().download_request(request)


def _checking_peers(resolver: Resolver) -> type[_LenientHTTP11ClientFactory]:
    """Scrapy's client factory, which builds no client for a peer that is not allowed."""

    class Checking(_LenientHTTP11ClientFactory):
        def buildProtocol(self, addr: Any) -> Any:  # noqa: N802
            try:
                resolver.check(addr.host, (addr.host,))
            except RefusedError as error:
                raise RefusedRequest(error.detail) from error
            return super().buildProtocol(addr)

    return Checking


@implementer(IOpenSSLTrustRoot)
class _Trust:
    """The system's authorities, and those of a PEM file."""

    def __init__(self, extra: str | None) -> None:
        self.extra = extra

    def add_to(self, context: SSL.Context) -> None:
        """Raises OpenSSL.SSL.Error."""
        context.set_default_verify_paths()
        if self.extra:
            context.load_verify_locations(self.extra)

    _addCACertsToContext = add_to  # noqa: N815  # Twisted's name for it


@implementer(IPolicyForHTTPS)
class Verified:
    """Every server's certificate is verified, for its name, against the system's authorities and `extra`.

    Raises UsageError when `extra` is not a file of PEM certificates.
    """

    def __init__(self, extra: str | None) -> None:
        self.trust: Any = _Trust(extra)
        try:
            self.trust.add_to(SSL.Context(SSL.TLS_CLIENT_METHOD))
        except SSL.Error as error:
            raise UsageError(
                f"AKASHI_EXTRA_CA: {extra} is not a file of PEM certificates", next="correct AKASHI_EXTRA_CA"
            ) from error

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:  # noqa: N802, ARG002
        """What Twisted asks for at each connection."""
        return optionsForClientTLS(hostname.decode("ascii"), trustRoot=self.trust)
