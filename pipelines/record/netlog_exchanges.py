"""NetLog events in, exchanges out: who asked (URL_REQUEST), over which job, on which socket, which bytes.

    URL_REQUEST 52 ──bound to── HTTP_STREAM_JOB 55 ──bound to── SOCKET 34      HTTP/1.1: the socket's bytes
                                                 └─ HTTP2_SESSION 44, stream 9 ── SOCKET 34: its DATA frames

An exchange is handed on when its response is whole, or when nothing more can come; each redirect,
repeated attempt and preflight is an exchange of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pipelines.guard import Connection
from pipelines.record.exchange import Exchange, Layer, crossing
from pipelines.record.netlog import BEGIN, END, Event
from pipelines.record.netlog_draft import Draft, Hop
from pipelines.record.netlog_sockets import Socket
from pipelines.record.netlog_wire import render_head, render_lines
from pipelines.record.spool import BodySpool, remove_spooled
from pipelines.record.tap import Gathered


class Assembler(Gathered):
    """Feed it every event in order, then `close` it; `emit` gets each exchange of the page as it ends."""

    def __init__(
        self,
        *,
        spool: Callable[..., BodySpool],
        emit: Callable[[Exchange], None],
        peer: Callable[[int], Connection | None],
    ) -> None:
        """`spool` is `WarcSink.spool`; `peer` tells what the tunnel knows of the connection from a local port."""
        super().__init__()
        self._spool, self._emit, self._peer = spool, emit, peer
        self._hops: dict[int, Hop] = {}
        self._lives: Counter[int] = Counter()
        self._owners: dict[int, Hop] = {}
        self._carriers: dict[int, int] = {}
        """Job or HTTP/2 session → the socket that it uses."""
        self._sockets: dict[int, Socket] = {}
        self._chains: dict[str, tuple[bytes, ...]] = {}
        self._open: dict[Draft, Socket] = {}
        self._document = 0
        self.errors: Mapping[int, str] = {}
        """Names of network errors (`Constants.errors`)."""

    def feed(self, event: Event) -> None:
        """Take the next event. Raises ValueError, OSError."""
        self.HANDLERS[event.name](self, event)

    def close(self, why: str) -> None:
        """Hand on what is still open, cut short by `why`. Raises OSError."""
        for draft in list(self._open):
            self._finish(draft, why)

    def _start(self, event: Event) -> None:
        params, before = event.params, self._hops.get(event.source)
        if event.phase == END:
            if before is not None:
                before.answered = not params.get("net_error")
            return
        url, kind = crossing(params["url"]), params["request_type"]
        websocket = url.startswith(("ws:", "wss:"))
        if websocket:  # its handshake is HTTP (RFC 6455 §4.1)
            url = url.replace("ws", "http", 1)
        elif not url.startswith(("http:", "https:")):
            return
        self.requests += 1
        own = params.get("initiator") == "not an origin" and kind == "other"
        if before is not None:  # a redirect: the same source goes on to its next hop
            before.answered = True
            self._leave(before, "")
        hop = self._hops[event.source] = Hop(url, params["method"], own, websocket)
        if kind == "main frame" and self._document in {0, event.source}:
            self._document = event.source
            self.document.append(url)
        if own:
            self.own.append(url)
        else:
            self.under_way[hop.asked] += 1

    def _alive(self, event: Event) -> None:
        self._lives[event.source] += 1 if event.phase == BEGIN else -1
        if self._lives[event.source] > 0:  # redirected to another origin, its second life begins in the first
            return
        del self._lives[event.source]
        hop = self._hops.pop(event.source, None)
        if hop is not None:
            number = event.params.get("net_error", 0)
            self._leave(hop, self.errors.get(number, f"error {number}") if number else "")

    def _leave(self, hop: Hop, error: str) -> None:
        """The request is done with its hop."""
        if not hop.own:
            self.under_way -= Counter([hop.asked])  # what is at 0 is forgotten
        self._owners.pop(hop.job, None)
        self._carriers.pop(hop.job, None)
        if hop.draft is not None:
            hop.draft.request_done, hop.draft.error = True, error
            self._settle(hop.draft)
        elif hop.own:
            return
        elif error or not hop.answered:
            url = hop.url.replace("http", "ws", 1) if hop.websocket else hop.url
            self.unsent.append((url, error or "ERR_ABORTED"))
        elif hop.job:
            self.lost.append(hop.asked)
        else:
            self.cached[hop.asked] += 1

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
            pieces = (socket.outgoing if outward else socket.incoming).take(event.data)
        for stream, data in pieces:
            draft = socket.drafts.get(stream)
            if draft is not None and outward:
                draft.sent(data, event.moment)
                self.sent += 0 if draft.hop.own else len(data)
            elif draft is not None:
                draft.received(data, event.moment)
                self.received += 0 if draft.hop.own else len(data)
                self.awaited += 0 if draft.hop.own or draft.streaming else len(data)
                self._settle(draft)

    def _h2_request(self, event: Event) -> None:
        socket = self._socket_of(event.source)
        hop = self._owners.get(event.dependency) or self._hops.get(event.dependency)  # a WebSocket's own
        if hop is not None and socket is not None:
            draft = self._begin(hop, socket, event, Layer.H2_RENDERED, event.params["stream_id"])
            draft.asked(render_head(event.params["headers"]))

    def _h2_response(self, event: Event) -> None:
        draft = self._stream(event)
        if draft is None:
            return
        if draft.response_head:
            draft.trailers = render_lines(event.params["headers"])
        else:
            draft.answered(render_head(event.params["headers"]), event.moment)
        draft.whole |= bool(event.params.get("fin"))
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
        if draft.settled:
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
