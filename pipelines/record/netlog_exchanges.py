"""NetLog events in, exchanges out: who asked (URL_REQUEST), over which job, on which socket, which bytes.

    URL_REQUEST 52 ──bound to── HTTP_STREAM_JOB 55 ──bound to── SOCKET 34      HTTP/1.1: the socket's bytes
                                                 └─ HTTP2_SESSION 44, stream 9 ── SOCKET 34: its DATA frames

An exchange is handed on when its response is whole, or when nothing more can come; each redirect,
repeated attempt and preflight is an exchange of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urldefrag, urlsplit

from pipelines.guard import Connection
from pipelines.record.exchange import Exchange, Layer
from pipelines.record.netlog import BEGIN, END, Event
from pipelines.record.netlog_draft import Draft, Hop
from pipelines.record.netlog_sockets import Socket
from pipelines.record.netlog_wire import render_head, take_data
from pipelines.record.spool import BodySpool, remove_spooled


class Assembler:
    """Feed it every event in order, then `close` it; `emit` gets each exchange of the page as it ends."""

    def __init__(
        self,
        *,
        spool: Callable[..., BodySpool],
        emit: Callable[[Exchange], None],
        peer: Callable[[int], Connection | None],
    ) -> None:
        """`spool` is `WarcSink.spool`; `peer` tells what the tunnel knows of the connection from a local port."""
        self._spool, self._emit, self._peer = spool, emit, peer
        self._hops: dict[int, Hop] = {}
        self._owners: dict[int, Hop] = {}
        self._carriers: dict[int, int] = {}
        """Job or HTTP/2 session → the socket that it uses."""
        self._sockets: dict[int, Socket] = {}
        self._chains: dict[str, tuple[bytes, ...]] = {}
        self._open: dict[Draft, Socket] = {}
        self._document = 0
        self.errors: Mapping[int, str] = {}
        """Names of network errors (`Constants.errors`)."""
        self.received = 0
        """Bytes above TLS that the page's connections brought."""
        self.awaited = 0
        """Of these, all but media and event streams: while it grows, a page is not quiet."""
        self.unsent: list[tuple[str, str]] = []
        """(URL, network error) of requests that failed before anything crossed a socket."""
        self.cached: set[str] = set()
        """URLs answered by the browser's cache, or by the page's service worker."""
        self.websockets: list[str] = []
        self.document: list[str] = []
        """URLs of the page's own document: where it was asked for first, then each redirect."""
        self.requests = 0
        """Begun so far, each redirect counted."""
        self.own: list[str] = []
        """URLs that the browser asked for on its own account: kept out of the WARC."""

    def feed(self, event: Event) -> None:
        """Take the next event. Raises ValueError, OSError."""
        self.HANDLERS[event.name](self, event)

    def close(self, why: str) -> None:
        """Hand on what is still open, cut short by `why`. Raises OSError."""
        for draft in list(self._open):
            self._finish(draft, why)

    def _start(self, event: Event) -> None:
        if event.phase != BEGIN:
            return
        params = event.params
        url, kind = urldefrag(params["url"]).url, params["request_type"]
        scheme = urlsplit(url).scheme
        if scheme not in {"http", "https"}:
            if scheme in {"ws", "wss"}:
                self.websockets.append(url)
            return
        self.requests += 1
        own = params.get("initiator") == "not an origin" and kind == "other"
        if event.source in self._hops:  # a redirect: the same source goes on to its next hop
            self._leave(self._hops[event.source], "")
        self._hops[event.source] = Hop(url, params["method"], own)
        if kind == "main frame" and self._document in {0, event.source}:
            self._document = event.source
            self.document.append(url)
        if own:
            self.own.append(url)

    def _alive(self, event: Event) -> None:
        hop = self._hops.pop(event.source, None) if event.phase == END else None
        if hop is not None:
            number = event.params.get("net_error", 0)
            self._leave(hop, self.errors.get(number, f"error {number}") if number else "")

    def _leave(self, hop: Hop, error: str) -> None:
        """The request is done with its hop."""
        self._owners.pop(hop.job, None)
        self._carriers.pop(hop.job, None)
        if hop.draft is not None:
            hop.draft.request_done, hop.draft.error = True, error
            self._settle(hop.draft)
        elif error and not hop.own:
            self.unsent.append((hop.url, error))
        elif not hop.own:
            self.cached.add(hop.url)

    def _bound_to_job(self, event: Event) -> None:
        hop = self._hops.get(event.source)
        if hop is not None:
            hop.job = event.dependency
            self._owners[hop.job] = hop

    def _bound_to_socket(self, event: Event) -> None:
        self._carriers[event.source] = event.dependency

    def _socket(self, event: Event) -> None:
        if event.phase == BEGIN:
            self._sockets[event.source] = Socket()
            return
        socket = self._sockets.pop(event.source, Socket())
        for draft in list(socket.drafts.values()):
            draft.wire_done = True
            self._settle(draft)

    def _learn(self, event: Event) -> None:
        if event.source in self._sockets:
            self._sockets[event.source].learn(event)

    def _h1_request(self, event: Event) -> None:
        hop = self._hops.get(event.source)
        socket = self._socket_of(hop.job) if hop else None
        if hop is None or socket is None:
            return
        before = socket.drafts.get(0)
        if before is not None:  # all its bytes have crossed: Chromium does not pipeline
            before.wire_done = True
            self._settle(before)
        self._begin(hop, socket, event, Layer.H1_BYTES)

    def _bytes(self, event: Event) -> None:
        socket = self._sockets.get(event.source)
        if socket is None or socket.tls is not event.name.startswith("SSL_"):
            return
        outward, pieces = event.name.endswith("_SENT"), [(0, event.data)]
        if socket.protocol == "h2":
            pieces = take_data(socket.outgoing if outward else socket.incoming, event.data)
        for stream, data in pieces:
            draft = socket.drafts.get(stream)
            if draft is not None and outward:
                draft.sent(data)
            elif draft is not None:
                draft.received(data)
                self.received += 0 if draft.hop.own else len(data)
                self.awaited += 0 if draft.hop.own or draft.streaming else len(data)
                self._settle(draft)

    def _h2_request(self, event: Event) -> None:
        socket = self._socket_of(event.source)
        hop = self._owners.get(event.dependency)
        if hop is not None and socket is not None:
            draft = self._begin(hop, socket, event, Layer.H2_RENDERED, event.params["stream_id"])
            draft.asked(render_head(event.params["headers"]))

    def _h2_response(self, event: Event) -> None:
        draft = self._stream(event)
        if draft is None:
            return
        if not draft.response_head:  # trailers are not kept
            draft.answered(render_head(event.params["headers"]))
        draft.whole = bool(event.params.get("fin"))
        self._settle(draft)

    def _h2_end(self, event: Event) -> None:
        reset = event.name != "HTTP2_SESSION_RECV_DATA"
        draft = self._stream(event) if reset or b'"fin":true' in event.raw else None
        if draft is not None:
            draft.wire_done, draft.whole = reset, draft.whole or not reset
            self._settle(draft)

    def _socket_of(self, carrier: int) -> Socket | None:
        return self._sockets.get(self._carriers.get(carrier, 0))

    def _stream(self, event: Event) -> Draft | None:
        socket = self._socket_of(event.source)
        return socket.drafts.get(event.params["stream_id"]) if socket else None

    def _begin(self, hop: Hop, socket: Socket, event: Event, layer: Layer, stream: int = 0) -> Draft:
        if hop.draft is not None:  # sent again: after a dead connection, or with credentials
            hop.draft.request_done = True
            self._settle(hop.draft)
        origin = urlsplit(hop.url).netloc
        if socket.tls:  # a resumed session shows no certificates again
            self._chains[origin] = socket.chain or self._chains.get(origin, ())
        chain = self._chains[origin] if socket.tls else ()
        network = socket.network(self._peer(socket.client_port), chain)
        draft = Draft(hop, event.moment, layer, network, self._spool, stream)
        hop.draft = socket.drafts[stream] = draft
        self._open[draft] = socket
        return draft

    def _settle(self, draft: Draft) -> None:
        if draft.request_done and (draft.whole or draft.wire_done or draft.error):
            request = f"the browser's request ended with {draft.error}"
            what = request if draft.error else "the connection was closed before the end"
            self._finish(draft, f"disconnect: {what}")

    def _finish(self, draft: Draft, why: str) -> None:
        socket = self._open.pop(draft, None)
        if socket is None:
            return
        if socket.drafts.get(draft.stream) is draft:
            del socket.drafts[draft.stream]
        exchange = draft.finish(why)
        if not draft.hop.own:
            self._emit(exchange)
        elif exchange.response_body.path is not None:
            remove_spooled(exchange.response_body.path)

    HANDLERS: ClassVar[Mapping[str, Callable[[Any, Event], None]]] = {
        "REQUEST_ALIVE": _alive,
        "URL_REQUEST_START_JOB": _start,
        "HTTP_STREAM_REQUEST_BOUND_TO_JOB": _bound_to_job,
        "HTTP_TRANSACTION_SEND_REQUEST_HEADERS": _h1_request,
        "SOCKET_POOL_BOUND_TO_SOCKET": _bound_to_socket,
        "SOCKET_ALIVE": _socket,
        "TCP_CONNECT": _learn,
        "SSL_CONNECT": _learn,
        "SSL_CERTIFICATES_RECEIVED": _learn,
        "SOCKET_BYTES_SENT": _bytes,
        "SOCKET_BYTES_RECEIVED": _bytes,
        "SSL_SOCKET_BYTES_SENT": _bytes,
        "SSL_SOCKET_BYTES_RECEIVED": _bytes,
        "HTTP2_SESSION_INITIALIZED": _bound_to_socket,
        "HTTP2_SESSION_SEND_HEADERS": _h2_request,
        "HTTP2_SESSION_RECV_HEADERS": _h2_response,
        "HTTP2_SESSION_RECV_DATA": _h2_end,
        "HTTP2_SESSION_RECV_RST_STREAM": _h2_end,
        "HTTP2_SESSION_SEND_RST_STREAM": _h2_end,
    }
    """What is wanted of the log, and who takes it; all else is dropped unparsed."""
