"""One exchange while it is under way: bytes go in as they cross the socket, an `Exchange` comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from pipelines.record.exchange import Asked, Body, BodyState, Exchange, Layer, Network
from pipelines.record.heads import parse_head
from pipelines.record.netlog_wire import take_head
from pipelines.record.spool import BodySpool, append, write_note
from pipelines.record.websocket import Frames

_SWITCHING: Final = 101
_OK: Final = 2
"""The class of status that opens a WebSocket over HTTP/2 (RFC 8441 §5)."""
_INTERIM_MAX: Final = 1 << 16
"""Bytes beyond which no more interim answers are kept."""
_STREAMS: Final = ("video/", "audio/", "text/event-stream", "multipart/x-mixed-replace")


@dataclass(slots=True, eq=False)
class Hop:
    """One URL that a request of the browser went to; a redirect begins the next hop."""

    url: str
    """As `crossing` gives it."""
    method: str
    own: bool
    """Whether the browser asked on its own account, not for the page."""
    websocket: bool = False
    """Asked for as ws or wss; its URL is the http or https one of its handshake."""
    job: int = 0
    """NetLog's id of what found it a socket."""
    answered: bool = False
    """Whether an answer came, from wherever."""
    draft: Draft | None = None
    """Its last exchange; None while nothing was sent."""

    @property
    def asked(self) -> Asked:
        """What it is counted by."""
        return self.method, self.url


@dataclass(slots=True, eq=False)
class Draft:
    """An exchange on one socket (HTTP/1.1, stream 0) or one stream of it (HTTP/2)."""

    hop: Hop
    started: datetime
    layer: Layer
    network: Network
    spool: Callable[..., BodySpool]
    stream: int = 0
    error: str = ""
    """Name of the network error that ended the request."""
    request_done: bool = False
    """The browser's request ended, went on to another hop, or was sent again."""
    wire_done: bool = False
    """The socket or stream ended; nothing more can come."""
    whole: bool = False
    """The response arrived to its end."""
    streaming: bool = False
    """The answer is played or listened to: it comes for as long as the page stands."""
    frames: Frames | None = None
    """Once both sides have shaken hands for a WebSocket."""
    request_head: bytes = b""
    response_head: bytes = b""
    interim: tuple[bytes, ...] = ()
    trailers: bytes = b""
    _note: Path | None = None
    _request_body: BodySpool | None = None
    _response_body: BodySpool | None = None
    _outgoing: bytearray = field(default_factory=bytearray)
    _incoming: bytearray = field(default_factory=bytearray)

    def sent(self, data: bytes | bytearray, moment: datetime) -> None:
        """Take bytes of the request: of its body, once its head is known."""
        if self.frames is not None:
            self.frames.take("client", data, moment)
            return
        if not self.request_head:
            self._outgoing += data
            head = take_head(self._outgoing)
            if head:
                self.asked(head)
            data = self._outgoing if head else b""
        if data and self._request_body is None:
            path = self._note.with_suffix(".sent") if self._note else None
            self._request_body = self.spool(self.request_head, path=path)
        if self._request_body is not None:
            self._request_body.write(data)

    def asked(self, head: bytes) -> None:
        """Take the request's head, whole."""
        self.request_head = head
        if not self.hop.own:
            self._note = self.spool(b"").path.with_suffix(".note")
            self._write_note()

    def received(self, data: bytes | bytearray, moment: datetime) -> None:
        """Take bytes of the response; over HTTP/2 they may come before their head is in the log."""
        if self.frames is not None:
            self.frames.take("server", data, moment)
        elif self._response_body is None:
            self._incoming += data
            while self._is_h1 and not self.response_head and (head := take_head(self._incoming)):
                self.answered(head, moment)
            if self._is_h1 and not self.response_head and self._note is not None:
                append(self._note.with_suffix(".head"), data)
        elif not self.whole:
            self._response_body.write(data)
            self.whole = self._is_h1 and self._response_body.complete

    def answered(self, head: bytes, moment: datetime) -> None:
        """Take the response's head, or that of an interim answer (1xx)."""
        parsed = parse_head(head)
        if parsed.status // 100 == 1 and parsed.status != _SWITCHING:
            if sum(map(len, self.interim)) < _INTERIM_MAX:
                self.interim = (*self.interim, head)
            return
        self.response_head = head
        path = self._note.with_suffix(".body") if self._note else None
        self._response_body = self.spool(head, path=path)
        self._write_note()
        if self.hop.websocket and (
            parsed.status == _SWITCHING or (not self._is_h1 and parsed.status // 100 == _OK)
        ):
            self.frames = Frames(self.spool(b"", path=path.with_suffix(".frames") if path else None))
        self.streaming = self.frames is not None or parsed.mime.startswith(_STREAMS)
        bodiless = not parsed.has_body(self.hop.method) or parsed.length == 0
        self.whole = self.frames is not None or (self._is_h1 and bodiless)
        self.received(self._incoming, moment)

    def finish(self, why: str) -> Exchange:
        """The exchange as it stands; `why` it is cut short, should it be."""
        if self._response_body is None:
            body = Body(0, data=b"", state=BodyState.ABSENT, why=why)
        elif self.whole or self._response_body.complete or self._ends_with_its_connection():
            self.whole = True  # a redirect's stream is reset although its length has come
            body = self._response_body.close()
        else:
            body = self._response_body.close(BodyState.TRUNCATED, why)
        return Exchange(
            client="chromium",
            url=self.hop.url,
            method=self.hop.method,
            started=self.started,
            request_head=self.request_head or bytes(self._outgoing),
            response_head=self.response_head or bytes(self._incoming),
            response_body=body,
            request_body=self._sent_body(),
            layer=self.layer,
            network=self.network,
            error="" if self.whole else why,
            interim=self.interim,
            trailers=self.trailers,
            frames=self.frames.close(why) if self.frames else None,
            note=self._note,
        )

    def _sent_body(self) -> Body | None:
        spool, due = self._request_body, parse_head(self.request_head).length
        if spool is None or due is None or spool.size >= due:
            return spool.close() if spool else None
        return spool.close(BodyState.TRUNCATED, f"disconnect: {spool.size} of {due} bytes were sent")

    def _write_note(self) -> None:
        if self._note is not None:
            write_note(
                self._note,
                client="chromium",
                url=self.hop.url,
                method=self.hop.method,
                started=self.started,
                request_head=self.request_head,
                response_head=self.response_head,
                ip=self.network.ip,
                layer=self.layer,
            )

    def _ends_with_its_connection(self) -> bool:
        """RFC 9112 §6.3: without length or chunks, the close is the end; the browser took it without error."""
        parsed = parse_head(self.response_head)
        unframed = parsed.length is None and not parsed.chunked
        return self._is_h1 and unframed and self.request_done and not self.error

    @property
    def settled(self) -> bool:
        """Whether nothing more can come, or nothing that counts."""
        ended = self.wire_done or bool(self.error and not self.frames)
        return self.request_done and (ended or (self.whole and not self.frames))

    @property
    def _is_h1(self) -> bool:
        return self.layer is Layer.H1_BYTES
