"""One exchange while it is under way: bytes go in as they cross the socket, an `Exchange` comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.record.heads import is_response, parse_head
from pipelines.record.netlog_wire import HeadReader
from pipelines.record.spool import BodySpool, note_of

_SWITCHING = 101
_STREAMS = ("video/", "audio/", "text/event-stream", "multipart/x-mixed-replace")


class SpoolMaker(Protocol):
    """`WarcSink.spool`: gives a place for a body that arrives under `head`."""

    def __call__(self, head: bytes, *, note: Mapping[str, Any] | None = None) -> BodySpool:
        """A new spool."""


@dataclass(slots=True)
class Hop:
    """One URL that a request of the browser went to; a redirect begins the next hop."""

    url: str
    """Without its fragment, which never crosses the wire."""
    method: str
    own: bool
    """Whether the browser asked on its own account, not for the page."""
    sent: bool = False
    """Whether it went over a socket; else it came from the cache, or failed before."""


@dataclass(slots=True, eq=False)
class Draft:
    """An exchange on one socket (HTTP/1.1) or stream (HTTP/2)."""

    hop: Hop
    started: datetime
    layer: Layer
    spool: SpoolMaker
    network: Callable[[], Network]
    stream: int = 0
    """HTTP/2 stream; 0 on HTTP/1.1."""
    error: str = ""
    """Name of the network error that ended the request."""
    request_done: bool = False
    """The browser's request ended, went on to another hop, or was sent again."""
    wire_done: bool = False
    """The socket or stream ended; nothing more can come."""
    switched: bool = False
    """The answer was 101: what follows is no HTTP."""
    whole: bool = False
    """The response arrived to its end."""
    streaming: bool = False
    """The answer is played or listened to: it comes for as long as the page stands."""
    request_head: bytes = b""
    response_head: bytes = b""
    _out: HeadReader = field(default_factory=HeadReader)
    _in: HeadReader = field(default_factory=HeadReader)
    _request_body: BodySpool | None = None
    _response_body: BodySpool | None = None
    _waiting: list[bytes] = field(default_factory=list)

    def bytes_sent(self, data: bytes) -> None:
        """Take bytes of an HTTP/1.1 request."""
        rest = self._out.feed(data)
        self.request_head = self._out.head
        if rest:
            self.sent(rest)

    def bytes_received(self, data: bytes) -> None:
        """Take bytes of an HTTP/1.1 response; interim answers (1xx) are passed over."""
        while data and not self.response_head:
            data = self._in.feed(data)
            if self._in.head:
                self._take_h1_head()
        if data and self.response_head and not (self.switched or self.whole):
            self.received(data)

    def sent(self, data: bytes) -> None:
        """Take bytes of the request's body."""
        if self._request_body is None:
            self._request_body = self.spool(self.request_head)
        self._request_body.write(data)

    def received(self, data: bytes) -> None:
        """Take bytes of the response's body; over HTTP/2 they may come before their head is in the log."""
        if self._response_body is None:
            self._waiting.append(data)
            return
        self._response_body.write(data)
        self.whole = self.layer is Layer.H1_BYTES and self._response_body.complete

    def answered(self, head: bytes) -> None:
        """Take the response's head."""
        self.response_head = head
        self._response_body = self.spool(head, note=self._note())
        for data in self._waiting:
            self._response_body.write(data)
        self._waiting.clear()
        parsed = parse_head(head)
        self.streaming = parsed.mime.startswith(_STREAMS)
        if self.layer is Layer.H1_BYTES:
            self.whole = not parsed.has_body(self.hop.method) or parsed.length == 0

    def finish(self, why: str) -> Exchange:
        """The exchange as it stands; `why` it is cut short, should it be."""
        body: Body
        if self._response_body is not None:  # a redirect's stream is reset although its length has come
            self.whole |= self._response_body.complete or self._ends_with_its_connection()
        if self._response_body is None:
            body = Body(0, data=b"", state=BodyState.ABSENT, why=why)
        elif self.whole:
            body = self._response_body.close()
        else:
            body = self._response_body.close(BodyState.TRUNCATED, why)
        return Exchange(
            client="chromium",
            url=self.hop.url,
            method=self.hop.method,
            started=self.started,
            request_head=self.request_head or self._out.partial,
            response_head=self.response_head or self._in.partial,
            response_body=body,
            request_body=self._request_body.close() if self._request_body else None,
            layer=self.layer,
            network=self.network(),
            error="" if self.whole else why,
        )

    def _take_h1_head(self) -> None:
        head, self._in = self._in.head, HeadReader()
        status = parse_head(head).status
        if is_response(head) and status // 100 == 1 and status != _SWITCHING:
            return
        self.switched = status == _SWITCHING
        self.answered(head)

    def _ends_with_its_connection(self) -> bool:
        """RFC 9112 §6.3: without length or chunks, the close is the end; the browser took it without error."""
        parsed = parse_head(self.response_head)
        unframed = parsed.length is None and not parsed.chunked
        return self.layer is Layer.H1_BYTES and unframed and self.request_done and not self.error

    def _note(self) -> dict[str, Any]:
        return note_of(
            client="chromium",
            url=self.hop.url,
            method=self.hop.method,
            started=self.started,
            request_head=self.request_head,
            response_head=self.response_head,
            ip=self.network().ip,
        )
