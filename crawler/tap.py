"""The tap on Scrapy's connections, between its HTTP/1.1 client and TLS: what was sent and received, byte for byte.

    Agent → Pool.getConnection → TappedProtocol.request → TeeTransport → TLS or TCP

Chunk framing, content codings, interim answers, the order and case of header fields: Twisted's parser
sees the bytes after us. Each request of Scrapy's carries its `Trail` down to the connection; a request
that Twisted repeats on another connection leaves two recordings there.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Final

from OpenSSL import SSL, crypto
from scrapy.core.downloader.handlers.http11 import _LenientHTTP11ClientProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import connectionDone
from twisted.web.client import HTTPConnectionPool
from zope.interface import directlyProvides, implementer, providedBy  # type: ignore[import-untyped]

from pipelines.record.exchange import Network
from pipelines.record.recording import Recorder, Recording


@dataclass
class Trail:
    """One request of Scrapy's: where it is recorded, and the exchanges that it led to."""

    recorder: Recorder
    origin: str
    """`https://host[:port]`."""
    broken: Callable[[OSError], None]
    """Told when bytes could not be kept; the connection is then cut, for what is not kept is not fetched."""
    dns: tuple[str, ...] = ()
    recordings: list[Recording] = field(default_factory=list)

    def end(self, given_up: str = "") -> bool:
        """The request has its answer or its error; gives whether any byte of it left this machine.

        `given_up` says why Scrapy itself cut it short, if it did.
        """
        left = [recording for recording in self.recordings if recording.network.ip]
        for recording in self.recordings:
            if recording.over:
                continue
            if recording not in left:  # TLS never stood: what Scrapy wrote was not sent
                recording.drop()
                continue
            if given_up and recording is left[-1]:
                recording.given_up(given_up)
            try:
                recording.end()
            except OSError as error:
                self.broken(error)
        return bool(left)


TRAIL: Final = ContextVar[Trail]("TRAIL")
"""Of the request that is being handed to Twisted."""


class TappedPool(HTTPConnectionPool):
    """Hands the trail of the request that asks for a connection on to that connection."""

    def getConnection(self, key: Any, endpoint: Any) -> Any:  # noqa: N802  # Twisted's
        """A connection whose `request` knows the trail."""
        return super().getConnection(key, endpoint).addCallback(_Asking, TRAIL.get())


@dataclass
class _Asking:
    connection: Any
    trail: Trail

    def request(self, request: Any) -> Any:
        request.trail = self.trail  # also when Twisted repeats it on another connection
        return self.connection.request(request)


@implementer(IHandshakeListener)
class TappedProtocol(_LenientHTTP11ClientProtocol):
    """One connection; its exchanges follow one another."""

    transport: Any
    trail: Trail
    recording: Recording
    network = Network()
    """The facts, once bytes of ours can leave."""
    stray = False
    """Whether `recording` is of bytes that came when no request was under way."""

    def makeConnection(self, transport: Any) -> None:  # noqa: N802
        """Stand before the transport."""
        super().makeConnection(_TeeTransport(transport, self))  # type: ignore[no-untyped-call]
        if not isinstance(transport.getHandle(), SSL.Connection):
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:  # noqa: N802
        """What was written while TLS was being agreed on leaves now."""
        self.network = network_of(self.transport)
        if hasattr(self, "recording"):
            self.recording.network = replace(self.network, dns=self.trail.dns)

    def request(self, request: Any) -> Any:
        """Begin a recording, then send."""
        self.trail = request.trail
        self._begin()
        return super().request(request)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Record, then parse."""
        if self.recording.over:
            self.stray = True
            self._begin()
        try:
            self.recording.received(memoryview(data))
        except http.client.LineTooLong as error:
            self._cut(f"length: {error}")
        except OSError as error:
            self._cut(f"unspecified: {error}")
            self.trail.broken(error)
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any = connectionDone) -> None:  # noqa: N802
        """Note how it ended; the trail ends what was asked for."""
        if hasattr(self, "recording") and not self.recording.over:
            if reason.check(ConnectionDone):
                self.recording.ended_by_peer()
            else:
                self.recording.failed(reason.value)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if self.stray:
            self.recording.end()

    def _begin(self) -> None:
        network = replace(self.network, dns=self.trail.dns) if self.network.ip else self.network
        self.recording = self.trail.recorder.begin(self.trail.origin, network)
        self.trail.recordings.append(self.recording)

    def _cut(self, why: str) -> None:
        self.recording.given_up(why)
        self.transport.abortConnection()


class _TeeTransport:
    """Stands before a transport; everything but writing goes straight through."""

    def __init__(self, transport: Any, protocol: TappedProtocol) -> None:
        self._transport, self._protocol = transport, protocol
        directlyProvides(self, providedBy(transport))

    def write(self, data: bytes) -> None:
        self._protocol.recording.sent(data)
        self._transport.write(data)

    def writeSequence(self, pieces: Any) -> None:  # noqa: N802
        self.write(b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def network_of(transport: Any) -> Network:
    """The facts of a connection that stands."""
    peer, handle = transport.getPeer(), transport.getHandle()
    network = Network(ip=peer.host, port=peer.port, protocol="http/1.1")
    if not isinstance(handle, SSL.Connection):
        return network
    version = handle.get_protocol_version_name()
    return replace(
        network,
        tls=version.replace("TLSv", "tls/"),
        cipher=handle.get_cipher_name() or "" if version == "TLSv1.3" else "",  # IANA's name there only
        chain=tuple(
            crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
            for certificate in handle.get_peer_cert_chain() or ()
        ),
    )
