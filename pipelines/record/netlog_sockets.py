"""One socket of Chromium's: what is known of its connection, and the exchanges that it carries."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final, Protocol

from pipelines.record.exchange import Network
from pipelines.record.netlog import END, Event
from pipelines.record.netlog_draft import Draft
from pipelines.record.netlog_wire import PREFACE, DataFrames

_VERSIONS: Final = {"TLS 1.3": "tls/1.3", "TLS 1.2": "tls/1.2"}
_CIPHERS: Final = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0x009C: "TLS_RSA_WITH_AES_128_GCM_SHA256",
    0x009D: "TLS_RSA_WITH_AES_256_GCM_SHA384",
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA",
    0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
}
"""IANA's TLS Cipher Suites registry; NetLog gives the registered number. What is not here stays unnamed."""


class Peer(Protocol):
    """What the tunnel knows of a connection (pipelines.guard.Connection)."""

    @property
    def ip(self) -> str:
        """Address of the server."""

    @property
    def port(self) -> int:
        """Its port."""

    @property
    def dns(self) -> tuple[str, ...]:
        """Addresses that the name resolved to."""


@dataclass(slots=True)
class Socket:
    """A socket from its beginning to its end; HTTP/1.1 has one exchange at a time, HTTP/2 one a stream."""

    client_port: int = 0
    tls: bool = False
    protocol: str = "http/1.1"
    version: str = ""
    cipher: str = ""
    chain: tuple[bytes, ...] = ()
    current: Draft | None = None
    streams: dict[int, Draft] = field(default_factory=dict)
    sent: DataFrames = field(default_factory=lambda: DataFrames(preface=PREFACE))
    received: DataFrames = field(default_factory=DataFrames)

    @property
    def drafts(self) -> list[Draft]:
        """Every exchange that is, or was, on it."""
        return [*([self.current] if self.current else []), *self.streams.values()]

    def drop(self, draft: Draft) -> None:
        """The exchange is over: nothing that comes belongs to it any more."""
        if self.current is draft:
            self.current = None
        if self.streams.get(draft.stream) is draft:
            del self.streams[draft.stream]

    def learn(self, event: Event) -> None:
        """Take what an event says of the connection."""
        if event.name == "SSL_CERTIFICATES_RECEIVED":
            self.chain = tuple(ssl.PEM_cert_to_DER_cert(pem.strip()) for pem in event.params["certificates"])
        elif event.name == "TCP_CONNECT" and event.phase == END:
            port = str(event.params.get("local_address", "")).rpartition(":")[2]
            self.client_port = int(port) if port.isdigit() else 0
        elif event.name == "SSL_CONNECT":
            self.tls = True
            if event.phase == END:
                params = event.params
                self.protocol = str(params.get("next_proto", "")) or "http/1.1"
                self.version = _VERSIONS.get(str(params.get("version", "")), str(params.get("version", "")))
                self.cipher = _CIPHERS.get(int(params.get("cipher_suite", 0)), "")

    def network(self, peer: Peer | None, chain: tuple[bytes, ...]) -> Network:
        """The facts of the connection; `chain` is what the server sent on it, or on the one it resumes."""
        return Network(
            ip=peer.ip if peer else "",
            port=peer.port if peer else 0,
            protocol=self.protocol,
            tls=self.version,
            cipher=self.cipher,
            chain=chain,
            dns=tuple(peer.dns) if peer else (),
        )
