r"""The noun every tap yields: one HTTP exchange, as the client's own network stack sent and received it.

A tap gives heads as bytes ending in an empty line (`GET /v?id=7 HTTP/1.1\r\nHost: …\r\n\r\n`)
and bodies as files whose digests were taken while they arrived, so that nothing is held in memory.
For HTTP/2 the head is rendered as HTTP/1.1 text and the record says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

Asked = tuple[str, str]
"""Method and URL as `crossing` gives it: what requests are counted by."""


def crossing(url: str) -> str:
    """The URL without its fragment and credentials, which never cross the wire in it (RFC 9110 §4.2)."""
    return re.sub(r"^(\w+://)[^/?]*@", r"\1", url.partition("#")[0])


class Layer(StrEnum):
    """Where in the client's stack the bytes were seen (design §3)."""

    H1_BYTES = "h1-bytes"
    H2_RENDERED = "h2-rendered"
    CLIENT_DECODED = "client-decoded"
    CDP_DECODED = "cdp-decoded"


class BodyState(StrEnum):
    """What the recorded body is: exactly what arrived, decoded by the client, cut short, or not there."""

    AS_RECEIVED = "as-received"
    DECODED = "decoded"
    TRUNCATED = "truncated"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Body:
    """A body at rest: in memory, or in a named spool file that survives a kill."""

    size: int
    data: bytes | None = None
    path: Path | None = None
    state: BodyState = BodyState.AS_RECEIVED
    why: str = ""
    """Why the body is decoded, truncated or absent; empty when it is as received."""


@dataclass(frozen=True, slots=True)
class Network:
    """Facts of the connection that carried the exchange; what is unknown is empty."""

    ip: str = ""
    port: int = 0
    protocol: str = ""
    """`h2` or `http/1.1` (ALPN)."""
    tls: str = ""
    """`tls/1.3`, `tls/1.2`, empty for plain HTTP."""
    cipher: str = ""
    """IANA name, e.g. `TLS_AES_128_GCM_SHA256`; for TLS 1.2 only when the client itself names it so."""
    chain: tuple[bytes, ...] = ()
    """DER certificates as the server sent them, leaf first."""
    dns: tuple[str, ...] = ()
    """Addresses that the host's name resolved to."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response; `response_head` is empty when none arrived, `error` says why."""

    client: str
    """`chromium`, `yt-dlp` or `scrapy`."""
    url: str
    method: str
    started: datetime
    """UTC, when the request was sent."""
    request_head: bytes
    response_head: bytes
    response_body: Body
    request_body: Body | None = None
    layer: Layer = Layer.H1_BYTES
    network: Network = field(default_factory=Network)
    error: str = ""
    interim: tuple[bytes, ...] = ()
    """Heads of the answers that came before the answer (1xx)."""
    trailers: bytes = b""
    """Field lines behind an HTTP/2 body; in HTTP/1.1 they are part of it."""
    frames: Body | None = None
    """What crossed the WebSocket that the exchange opened (`pipelines.record.websocket`)."""
    note: Path | None = None
    """Its note in the spool (pipelines/record/spool.py), removed once all of the exchange is in the WARC."""


_URL_MAX: Final = 2000
"""Characters of a URL or a reason in the manifest's list of what is missing."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that happened but was not recorded, with its reason: listed in the manifest."""

    url: str
    why: str
    client: str = "chromium"

    def as_json(self) -> dict[str, str]:
        """As it stands in the manifest's `completeness.missing`."""
        return {"client": self.client, "url": self.url[:_URL_MAX], "why": self.why[:_URL_MAX]}
