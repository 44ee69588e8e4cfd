"""An HTTP/1.1 server over TLS on raw sockets, a thread per connection, that logs what crosses them.

Not http.server: that one rewrites heads and hides framing, and the log must hold the exact bytes.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

from tests.site.messages import Headers, Held, Request, Response, Source, header_pairs
from tests.site.served_log import ServedExchange, ServedLog, dechunk
from tests.site.wire import Closed, Wire

MAX_HEAD = 1 << 16
IDLE = 120.0
"""Seconds that a connection may stay silent."""
PIECE = 1 << 18
"""Bytes handed to TLS at a time."""

Answer = Callable[[Request], Response]


class Server:
    """Serves `answer` at 127.0.0.1:`port` (0: a free one) from `start()` to `stop()`."""

    def __init__(self, answer: Answer, log: ServedLog, context: ssl.SSLContext, port: int = 0) -> None:
        self._answer = answer
        self._log = log
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._stopping = False

    def start(self) -> None:
        """Begin to accept."""
        self._acceptor = threading.Thread(target=self._accept, name="site-accept", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """Cut every connection and wait for their threads."""
        self._stopping = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(5)
        with self._lock:
            still_open = dict(self._open)
        for sock, thread in still_open.items():
            _cut(sock)
            thread.join(5)

    def _accept(self) -> None:
        while not self._stopping:
            try:
                raw, (_, client_port) = self._listener.accept()
            except OSError:
                return
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(IDLE)
            thread = threading.Thread(
                target=self._serve, args=(raw, client_port), name=f"site-{client_port}", daemon=True
            )
            with self._lock:
                self._open[raw] = thread
            thread.start()

    def _serve(self, raw: socket.socket, client_port: int) -> None:
        sock: socket.socket = raw
        try:
            tls = self._context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            with self._lock:
                self._open[tls] = self._open.pop(raw)
            sock = tls
            tls.do_handshake()
            _Connection(tls, next(self._numbers), client_port, self.port, self._answer, self._log).run()
        except (OSError, Closed):
            pass  # a client that leaves, or refuses our certificate, is part of the tests
        finally:
            with self._lock:
                self._open.pop(sock, None)
            _cut(sock)
            sock.close()


class _Connection:
    """One TLS connection with its exchanges, one after the other."""

    def __init__(
        self, sock: ssl.SSLSocket, number: int, client_port: int, port: int, answer: Answer, log: ServedLog
    ) -> None:
        self._sock = sock
        self._number = number
        self._client_port = client_port
        self._port = port
        self._answer = answer
        self._log = log
        self._ahead = b""
        self._answered = 0

    def run(self) -> None:
        """Until the client closes, or an exchange ends the connection."""
        keep = True
        while keep and (head := self._read_head()):
            request = Request(head, self._read_body(head), self._port)
            exchange = self._log.open(
                connection=self._number,
                host=request.host,
                port=self._port,
                client_port=self._client_port,
                tls=self._sock.version() or "",
                cipher=(self._sock.cipher() or ("",))[0],
                request_head=head,
                request_body=request.body,
            )
            try:
                response = self._answer(request)
                time.sleep(response.delay)
                self._send(exchange, request, response)
                exchange.completed = True
            finally:
                exchange.done.set()
            self._answered += 1
            keep = request.header("Connection").lower() != "close"

    def _read_head(self) -> bytes:
        while (end := self._ahead.find(b"\r\n\r\n")) < 0:
            if len(self._ahead) > MAX_HEAD:
                raise Closed
            if not self._fill():
                return b""
        head, self._ahead = self._ahead[: end + 4], self._ahead[end + 4 :]
        return head

    def _read_body(self, head: bytes) -> bytes:
        headers = {n.lower(): v for n, v in header_pairs(head)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while (end := self._ahead.find(b"0\r\n\r\n")) < 0:
                if not self._fill():
                    raise Closed
            body, self._ahead = self._ahead[: end + 5], self._ahead[end + 5 :]
            return dechunk(body)
        length = int(headers.get("content-length", "0"))
        while len(self._ahead) < length:
            if not self._fill():
                raise Closed
        body, self._ahead = self._ahead[:length], self._ahead[length:]
        return body

    def _fill(self) -> bool:
        data = self._sock.recv(PIECE)
        self._ahead += data
        return bool(data)

    def _send(self, exchange: ServedExchange, request: Request, response: Response) -> None:
        if response.script is not None:
            response.script(Wire(self._sock, exchange, reused=self._answered > 0))
            return
        common: Headers = [("Date", formatdate(usegmt=True)), ("Server", "hoshizora-test/1")]
        empty = request.method == "HEAD" or response.status in {204, 304}
        size = response.size
        if size is None:
            self._send_head(exchange, response.head([("Transfer-Encoding", "chunked"), *common]))
            if not empty:
                self._send_chunks(exchange, response)
            return
        status, start, end = _span(request, response, size)
        if response.ranges:
            common.append(("Accept-Ranges", "bytes"))
        if status == 206:
            common.append(("Content-Range", f"bytes {start}-{end - 1}/{size}"))
        elif status == 416:
            common.append(("Content-Range", f"bytes */{size}"))
        if response.status not in {204, 304}:
            common.append(("Content-Length", str(end - start)))
        self._send_head(exchange, response.head(common, status))
        if not empty:
            self._send_span(exchange, response, start, end)

    def _send_head(self, exchange: ServedExchange, head: bytes) -> None:
        exchange.response_head = head
        self._sock.sendall(head)

    def _send_span(self, exchange: ServedExchange, response: Response, start: int, end: int) -> None:
        whole_end = end
        if response.cut_at is not None:
            end = max(start, min(end, response.cut_at))
        body = response.body
        source: Source = Held(body) if isinstance(body, bytes) else body  # type: ignore[assignment]
        exchange.source, exchange.start = source, start
        for view in source.read(start, end):
            exchange.sent += len(view)
            self._sock.sendall(view)
        if end < whole_end:
            raise Closed

    def _send_chunks(self, exchange: ServedExchange, response: Response) -> None:
        pieces: Iterator[bytes] = response.body  # type: ignore[assignment]
        for data in itertools.chain(pieces, [b""]):
            frame = f"{len(data):x}\r\n".encode() + data + b"\r\n"
            exchange.kept += frame
            exchange.sent += len(frame)
            self._sock.sendall(frame)


def _span(request: Request, response: Response, size: int) -> tuple[int, int, int]:
    """(status, first byte, byte after the last) for a request that may ask for one range."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.header("Range").strip())
    if not (response.ranges and response.status == 200 and asked and any(asked.groups())):
        return response.status, 0, size
    first, last = asked.groups()
    if not first:
        return 206, max(0, size - int(last)), size
    start, end = int(first), min(size, int(last) + 1) if last else size
    return (206, start, end) if start < end else (416, 0, 0)


def _cut(sock: socket.socket) -> None:
    # The plain socket's method: SSLSocket.shutdown would drop TLS under a thread that is using it.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
