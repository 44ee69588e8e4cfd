"""One exchange as DevTools tells of it: its heads rendered, its body decoded, and what of it could not be had."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pipelines.record.cdp_heads import request_head, response_head, without_codings
from pipelines.record.exchange import Asked, Body, BodyState, Exchange, Layer, Network
from pipelines.record.heads import Head, parse_head
from pipelines.record.spool import BodySpool, remove_spooled, write_note

Told = dict[str, Any]
"""What DevTools tells: an event's parameters, or a part of them."""

_CIPHERS: Final = {
    "AES_128_GCM": "TLS_AES_128_GCM_SHA256",
    "AES_256_GCM": "TLS_AES_256_GCM_SHA384",
    "CHACHA20_POLY1305": "TLS_CHACHA20_POLY1305_SHA256",
}
"""What Chromium calls the ciphers of TLS 1.3, and IANA does; for TLS 1.2 it leaves the hash out."""
_NO_BYTES: Final = "the browser told no bytes of a file or a large body that was sent"
_NO_HEAD: Final = "the browser told no head of the answer; its body is kept as a resource"


@dataclass(slots=True, eq=False)
class Draft:
    """One hop of one request, while it is under way."""

    url: str
    request: Told
    started: datetime
    kind: str
    """What asked: `Document`, `Media`…"""
    session: str
    """Who told of it last: its body is asked for there."""
    spooler: Callable[..., BodySpool]
    response: Told = field(default_factory=dict)
    extra: bool = True
    """Whether the head as received comes in an event of its own."""
    told: int = 0
    """Bytes of the body, as the browser counts them."""
    streams: bool = False
    text: bool = False
    """Whether the body came as text, which the browser had decoded."""
    done: bool = False
    waits: bool = False
    """Whether its body was asked for."""
    error: str = ""
    """Name of the network error that ended it."""
    why: str = ""
    """Why there is less of it than was told, or than there is."""
    _spool: BodySpool | None = None
    _note: Path | None = None

    @property
    def asked(self) -> Asked:
        """What it is counted by."""
        return self.request["method"], self.url

    @property
    def origin(self) -> str:
        """`https://host:port`."""
        return "://".join(urlsplit(self.url)[:2])

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return self._spool.size if self._spool else 0

    def write(self, data: bytes) -> None:
        """Take bytes of the body. Raises OSError."""
        if self._spool is None:
            head = without_codings(response_head(self.response, {})) if self.response else b""
            self._note = self.spooler(b"").path.with_suffix(".note")
            write_note(
                self._note,
                client="chromium",
                url=self.url,
                method=self.request["method"],
                started=self.started,
                request_head=request_head(self.request, {}),
                response_head=head,
                ip="",
                layer=Layer.CDP_DECODED,
            )
            self._spool = self.spooler(head, path=self._note.with_suffix(".body"))
        self._spool.write(data)

    def finish(self, sent: Told, answer: Told, network: Network) -> Exchange:
        """The exchange; `sent` and `answer` are the extra events, empty where none came."""
        head = response_head(self.response, answer) if self.response else b""
        parsed = parse_head(head)
        undone = [*parsed.encodings, *["chunked"] * parsed.chunked, *["the text's own encoding"] * self.text]
        body = self._body(parsed, head, f"the browser undid {', '.join(undone)}" if undone else "")
        if not head and body.size:
            self.why = _NO_HEAD
        return Exchange(
            client="chromium",
            url=self.url,
            method=self.request["method"],
            started=self.started,
            request_head=request_head(self.request, sent),
            response_head=without_codings(head) if undone and body.size else head,
            response_body=body,
            request_body=self._posted(),
            layer=Layer.CDP_DECODED,
            network=network,
            error=self.error,
            note=self._note,
        )

    def network(self, ip: str, port: int, dns: tuple[str, ...], chain: tuple[bytes, ...]) -> Network:
        """The facts of its connection: what the tunnel knows, and what DevTools tells."""
        security = self.response.get("securityDetails") or {}
        version = security.get("protocol", "").lower().replace(" ", "/")
        cipher = _CIPHERS.get(security.get("cipher", ""), "") if version == "tls/1.3" else ""
        protocol = "h2" if self.response.get("protocol") == "h2" else "http/1.1"
        return Network(ip, port, protocol, version, cipher, chain, dns)

    def _body(self, head: Head, text: bytes, undone: str) -> Body:
        if text and not head.has_body(self.request["method"]):
            kept = self._spool.close() if self._spool else None  # a 304's is the cache's
            if kept is not None and kept.path:
                remove_spooled(kept.path)
            return Body(0, data=b"")
        due = self.told or head.length or head.chunked
        if self._spool is not None and self.size:
            if self.error or self.size < self.told:
                self.why = self.why or ("" if self.error else "the browser handed only a part on")
                why = "; ".join(filter(None, (self.why or self._ended(), undone)))
                return self._spool.close(BodyState.TRUNCATED, why)
            if undone:
                return self._spool.close(BodyState.DECODED, undone)
            return self._spool.close()
        if not text or due:
            self.why = self.why or ("" if self.error else "the browser handed no body on")
            return Body(0, data=b"", state=BodyState.ABSENT, why=self.why or self._ended())
        self.why = ""
        return Body(0, data=b"")

    def _ended(self) -> str:
        return (
            self.error if ": " in self.error else f"disconnect: the browser's request ended with {self.error}"
        )

    def _posted(self) -> Body | None:
        if not self.request.get("hasPostData"):
            return None
        entries = self.request.get("postDataEntries") or [{}]
        if all("bytes" in entry for entry in entries):
            data = b"".join(base64.b64decode(entry["bytes"]) for entry in entries)
            return Body(len(data), data=data)
        self.why = self.why or _NO_BYTES
        return Body(0, data=b"", state=BodyState.ABSENT, why=_NO_BYTES)
