"""One socket of Chromium's: what is known of its connection, and the exchanges that it carries."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Final

from pipelines.guard import Connection
from pipelines.record.exchange import Network
from pipelines.record.netlog import END, Event
from pipelines.record.netlog_draft import Draft
from pipelines.record.netlog_wire import DataFrames

_CIPHERS: Final = {
    0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256",
    0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    0x009C: "TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009D: "TLS_RSA_WITH_AES_256_GCM_SHA384",
    0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA", 0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
}  # fmt: skip
"""What Chromium offers, by IANA's TLS Cipher Suites registry; what is not here stays unnamed."""


@dataclass(slots=True)
class Socket:
    """A socket from its beginning to its end."""

    client_port: int = 0
    tls: bool = False
    protocol: str = "http/1.1"
    version: str = ""
    cipher: str = ""
    chain: tuple[bytes, ...] = ()
    drafts: dict[int, Draft] = field(default_factory=dict)
    """The exchanges under way on it, by stream; HTTP/1.1 has one at a time, at 0."""
    outgoing: DataFrames = field(default_factory=DataFrames)
    incoming: DataFrames = field(default_factory=DataFrames)

    def learn(self, event: Event) -> None:
        """Take what an event says of the connection."""
        if event.name == "SSL_CERTIFICATES_RECEIVED":
            self.chain = tuple(ssl.PEM_cert_to_DER_cert(pem.strip()) for pem in event.params["certificates"])
        elif event.name == "SSL_CONNECT":
            self.tls = True
        if event.phase == END:
            params = event.params
            if event.name == "TCP_CONNECT":  # {} when it failed
                self.client_port = int(params.get("local_address", ":0").rpartition(":")[2])
            elif "version" in params:
                self.protocol = "h2" if params.get("next_proto") == "h2" else "http/1.1"
                self.version = params["version"].lower().replace(" ", "/")
                self.cipher = _CIPHERS.get(params.get("cipher_suite", 0), "")

    def network(self, peer: Connection | None, chain: tuple[bytes, ...]) -> Network:
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
