"""NetLog events in, exchanges out: who asked (URL_REQUEST), over which job, on which socket, which bytes.

    URL_REQUEST 52 ──bound to── HTTP_STREAM_JOB 55 ──bound to── SOCKET 34      HTTP/1.1: the socket's bytes
                                                 └─ HTTP2_SESSION 44, stream 9 ── SOCKET 34: its DATA frames

An exchange is handed on when its response is whole, or when nothing more can come; each redirect,
repeated attempt and preflight is an exchange of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urldefrag, urlsplit

from pipelines.record.exchange import Exchange, Layer, Network
from pipelines.record.netlog import BEGIN, END, Constants, Event
from pipelines.record.netlog_draft import Draft, Hop, SpoolMaker
from pipelines.record.netlog_sockets import Peer, Socket
from pipelines.record.netlog_wire import render_request, render_response

_OWN_INITIATOR: Final = "not an origin"


@dataclass(slots=True)
class _Request:
    hop: Hop
    job: int = 0
    draft: Draft | None = None


class Assembler:
    """Feed it every event in order, then `close` it; `emit` gets each exchange of the page as it ends."""

    def __init__(
        self,
        constants: Constants,
        *,
        spool: SpoolMaker,
        emit: Callable[[Exchange], None],
        peer: Callable[[int], Peer | None],
    ) -> None:
        """`peer` tells what the tunnel knows of the connection from a local port."""
        self._handlers: Final[dict[str, Callable[[Event], None]]] = {
            "REQUEST_ALIVE": self._alive,
            "URL_REQUEST_START_JOB": self._start,
            "HTTP_STREAM_REQUEST_BOUND_TO_JOB": self._bound_to_job,
            "HTTP_TRANSACTION_SEND_REQUEST_HEADERS": self._h1_request,
            "SOCKET_POOL_BOUND_TO_SOCKET": self._bound_to_socket,
            "SOCKET_ALIVE": self._socket,
            "TCP_CONNECT": self._learn,
            "SSL_CONNECT": self._learn,
            "SSL_CERTIFICATES_RECEIVED": self._learn,
            "SOCKET_BYTES_SENT": self._bytes,
            "SOCKET_BYTES_RECEIVED": self._bytes,
            "SSL_SOCKET_BYTES_SENT": self._bytes,
            "SSL_SOCKET_BYTES_RECEIVED": self._bytes,
            "HTTP2_SESSION_INITIALIZED": self._h2_session,
            "HTTP2_SESSION_SEND_HEADERS": self._h2_request,
            "HTTP2_SESSION_RECV_HEADERS": self._h2_response,
            "HTTP2_SESSION_RECV_DATA": self._h2_data,
            "HTTP2_SESSION_RECV_RST_STREAM": self._h2_reset,
            "HTTP2_SESSION_SEND_RST_STREAM": self._h2_reset,
        }
        self._constants, self._spool, self._emit, self._peer = constants, spool, emit, peer
        self._requests: dict[int, _Request] = {}
        self._owners: dict[int, int] = {}
        self._job_sockets: dict[int, int] = {}
        self._sessions: dict[int, int] = {}
        self._sockets: dict[int, Socket] = {}
        self._chains: dict[str, tuple[bytes, ...]] = {}
        self._open: dict[Draft, Socket] = {}
        self._document = 0
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
        self.own: list[str] = []
        """URLs that the browser asked for on its own account: kept out of the WARC."""

    def feed(self, event: Event) -> None:
        """Take the next event. Raises NetLogError, OSError."""
        self._handlers[event.name](event)

    def close(self, why: str) -> None:
        """Hand on what is still open, cut short by `why`."""
        for draft in list(self._open):
            self._finish(draft, why)

    # Who asks ---------------------------------------------------------------------------------

    def _start(self, event: Event) -> None:
        if event.phase != BEGIN:
            return
        params = event.params
        url = urldefrag(str(params.get("url", ""))).url
        own = params.get("initiator") == _OWN_INITIATOR and params.get("request_type") == "other"
        hop = Hop(url, str(params.get("method", "GET")), own)
        before = self._requests.get(event.source)
        if before is not None:  # a redirect: the same source goes on to its next hop
            self._leave(before, "")
        self._requests[event.source] = _Request(hop)
        if params.get("request_type") == "main frame" and self._document in {0, event.source}:
            self._document = event.source
            self.document.append(url)
        if own:
            self.own.append(url)
        elif urlsplit(url).scheme in {"ws", "wss"}:
            self.websockets.append(url)

    def _alive(self, event: Event) -> None:
        if event.phase != END:
            return
        request = self._requests.pop(event.source, None)
        if request is None:
            return
        number = int(event.params.get("net_error", 0))
        self._leave(request, self._constants.error(number) if number else "")

    def _leave(self, request: _Request, error: str) -> None:
        """The request is done with its hop."""
        self._owners.pop(request.job, None)
        self._job_sockets.pop(request.job, None)
        hop, draft = request.hop, request.draft
        if draft is not None:
            draft.request_done, draft.error = True, draft.error or error
            self._settle(draft)
        elif not hop.sent and not hop.own and urlsplit(hop.url).scheme in {"http", "https"}:
            if error:
                self.unsent.append((hop.url, error))
            else:
                self.cached.add(hop.url)

    # Over which job and socket ----------------------------------------------------------------

    def _bound_to_job(self, event: Event) -> None:
        request = self._requests.get(event.source)
        if request is not None:
            request.job = event.dependency
            self._owners[request.job] = event.source

    def _bound_to_socket(self, event: Event) -> None:
        self._job_sockets[event.source] = event.dependency

    def _socket(self, event: Event) -> None:
        if event.phase == BEGIN:
            self._sockets[event.source] = Socket()
            return
        socket = self._sockets.pop(event.source, None)
        for draft in socket.drafts if socket else []:
            draft.wire_done = True
            self._settle(draft)

    def _learn(self, event: Event) -> None:
        socket = self._sockets.get(event.source)
        if socket is not None:
            socket.learn(event)

    # Which bytes: HTTP/1.1 --------------------------------------------------------------------

    def _h1_request(self, event: Event) -> None:
        request = self._requests.get(event.source)
        socket = self._sockets.get(self._job_sockets.get(request.job, 0)) if request else None
        if request is None or socket is None or urlsplit(request.hop.url).scheme in {"ws", "wss"}:
            return
        if socket.current is not None:  # all its bytes have crossed: Chromium does not pipeline
            socket.current.wire_done = True
            self._settle(socket.current)
        socket.current = self._draft(request, socket, event, Layer.H1_BYTES)

    def _bytes(self, event: Event) -> None:
        socket = self._sockets.get(event.source)
        if socket is None or socket.tls is not event.name.startswith("SSL_"):
            return
        outward = event.name.endswith("_SENT")
        if socket.protocol == "h2":
            self._h2_bytes(socket, event.data, outward=outward)
        elif (draft := socket.current) is not None:
            data = event.data
            if outward:
                draft.bytes_sent(data)
                return
            draft.bytes_received(data)
            self._count(draft, len(data))
            self._settle(draft)

    # Which bytes: HTTP/2 ----------------------------------------------------------------------

    def _h2_session(self, event: Event) -> None:
        self._sessions[event.source] = event.dependency

    def _h2_request(self, event: Event) -> None:
        params = event.params
        socket = self._sockets.get(self._sessions.get(event.source, 0))
        owner = self._owners.get(int(params.get("source_dependency", {}).get("id", 0)), 0)
        request = self._requests.get(owner)
        if request is None or socket is None or urlsplit(request.hop.url).scheme in {"ws", "wss"}:
            return
        draft = self._draft(request, socket, event, Layer.H2_RENDERED)
        _, draft.request_head = render_request(params.get("headers", []))
        draft.stream = int(params.get("stream_id", 0))
        socket.streams[draft.stream] = draft

    def _h2_response(self, event: Event) -> None:
        params = event.params
        draft = self._stream(event.source, int(params.get("stream_id", 0)))
        if draft is None:
            return
        if not draft.response_head:
            status, head = render_response(params.get("headers", []))
            if status // 100 != 1:
                draft.answered(head)
        if params.get("fin"):
            draft.whole = True
            self._settle(draft)

    def _h2_data(self, event: Event) -> None:
        if b'"fin":true' in event.raw:
            draft = self._stream(event.source, int(event.params.get("stream_id", 0)))
            if draft is not None:
                draft.whole = True
                self._settle(draft)

    def _h2_reset(self, event: Event) -> None:
        draft = self._stream(event.source, int(event.params.get("stream_id", 0)))
        if draft is not None:
            draft.wire_done = True
            self._settle(draft)

    def _h2_bytes(self, socket: Socket, data: bytes, *, outward: bool) -> None:
        for stream, piece in (socket.sent if outward else socket.received).feed(data):
            draft = socket.streams.get(stream)
            if draft is None:
                continue
            if outward:
                draft.sent(piece)
            else:
                draft.received(piece)
                self._count(draft, len(piece))

    def _stream(self, session: int, number: int) -> Draft | None:
        socket = self._sockets.get(self._sessions.get(session, 0))
        return socket.streams.get(number) if socket else None

    # The exchange -----------------------------------------------------------------------------

    def _draft(self, request: _Request, socket: Socket, event: Event, layer: Layer) -> Draft:
        if request.draft is not None:  # sent again: after a dead connection, or with credentials
            request.draft.request_done = True
            self._settle(request.draft)
        hop = request.hop
        hop.sent = True
        draft = Draft(hop, event.moment, layer, self._spool, lambda: self._network(socket, hop))
        request.draft = draft
        self._open[draft] = socket
        return draft

    def _count(self, draft: Draft, size: int) -> None:
        if not draft.hop.own:
            self.received += size
            self.awaited += 0 if draft.streaming else size

    def _settle(self, draft: Draft) -> None:
        if draft.request_done and (draft.whole or draft.wire_done or draft.error):
            what = (
                f"the browser's request ended with {draft.error}"
                if draft.error
                else "the connection was closed before the end"
            )
            self._finish(draft, f"disconnect: {what}")

    def _finish(self, draft: Draft, why: str) -> None:
        socket = self._open.pop(draft, None)
        if socket is None:
            return
        socket.drop(draft)
        exchange = draft.finish(why)
        if not draft.hop.own:
            self._emit(exchange)

    def _network(self, socket: Socket, hop: Hop) -> Network:
        origin = urlsplit(hop.url).netloc
        chain = socket.chain or self._chains.get(origin, ())  # a resumed session shows no certificates again
        if socket.tls:
            self._chains[origin] = chain
        return socket.network(self._peer(socket.client_port), chain if socket.tls else ())
