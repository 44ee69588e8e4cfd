"""A small HTTP/1.1 server for the witness and the signer: POST only, everything capped, one line told per request."""

from __future__ import annotations

import os
import re
import signal
import socket
import socketserver
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Any, Final, NamedTuple

from evidence.errors import AkashiError, UsageError
from storage.http import deadline

_IDLE: Final = 10.0
"""Seconds that a peer may be silent."""
_CONNECTION: Final = 60.0
"""Seconds that one connection lives, however many requests it brings."""
_CONNECTIONS: Final = 32
_LENGTH: Final = re.compile(r"[0-9]{1,9}")
_ADDRESS: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+)):([0-9]{1,5})")


class Answer(NamedTuple):
    """What is answered, and what the operator is told of it."""

    status: int
    body: bytes
    detail: str
    content_type: str = "text/plain; charset=utf-8"


Handle = Callable[[str, Message, bytes], Answer]
"""Path, headers and body of a request to its answer; AkashiError and OSError become 503."""


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens at `host:port` or `unix:/path` (mode 0600) as soon as it is made. Raises UsageError.

    `told` gets the facts of each request: peer, path, status, detail. `limit` is in bytes of a body.
    """

    allow_reuse_address = True
    daemon_threads = True  # what must be whole was persisted before it is answered

    def __init__(
        self, listen: str, handle: Handle, told: Callable[[dict[str, Any]], None], *, limit: int
    ) -> None:
        self.handle, self.told, self.limit = handle, told, limit
        self._room = BoundedSemaphore(_CONNECTIONS)
        self._socket: Path | None = None
        matched = _ADDRESS.fullmatch(listen)
        if not matched and not listen.startswith("unix:/"):
            raise UsageError(f"{listen!r} is no place to listen", next="give host:port, or unix:/path")
        try:
            if matched:
                self.address_family = socket.AF_INET6 if matched[1] else socket.AF_INET
                super().__init__((matched[1] or matched[2], int(matched[3])), _Handler)
            else:
                self._listen_at(Path(listen.removeprefix("unix:")))
        except (OSError, OverflowError) as error:  # the latter: a port above 65535
            raise UsageError(
                f"{listen!r}: {error}", next="listen elsewhere, or stop what listens there"
            ) from error

    def _listen_at(self, path: Path) -> None:
        """Make the socket; one that a killed process left is replaced, nothing else is. Raises OSError."""
        self.address_family = socket.AF_UNIX
        if path.is_socket():
            with suppress(ConnectionRefusedError), socket.socket(socket.AF_UNIX) as other:
                other.settimeout(_IDLE)
                other.connect(str(path))
                raise FileExistsError("somebody listens there already")
            path.unlink()
        mask = os.umask(0o177)
        try:
            super().__init__(str(path), _Handler)  # type: ignore[arg-type] # a path, for AF_UNIX
        finally:
            os.umask(mask)
        self._socket = path  # from now on it is ours to remove

    @property
    def address(self) -> str:
        """Where it listens, as a client names it."""
        if self._socket:
            return f"unix:{self._socket}"
        host, port, *_ = self.socket.getsockname()
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            # Asked of another thread: shutdown() waits for the loop that this one runs.
            signal.signal(number, lambda *_: Thread(target=self.shutdown).start())
        with self:
            self.serve_forever(poll_interval=0.1)

    def server_close(self) -> None:
        """Close the socket, and remove it where it is a file."""
        super().server_close()
        if self._socket:
            self._socket.unlink(missing_ok=True)

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each connection, as long as there are not too many."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The connection's thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "akashi", ""
    timeout = _IDLE
    server: Server

    def handle(self) -> None:
        # A peer that goes away, or is too slow, is the peer's loss: what was decided is told.
        with (
            suppress(TimeoutError, ConnectionError),
            deadline(self.connection, time.monotonic() + _CONNECTION),
        ):
            super().handle()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not _LENGTH.fullmatch(length):
            answer = Answer(411, b"", "no Content-Length")
        elif int(length) > self.server.limit:
            answer = Answer(413, b"", f"{length} bytes exceed {self.server.limit}")
        else:
            body = self.rfile.read(int(length))
            whole = len(body) == int(length)
            answer = self._ask(body) if whole else Answer(400, b"", "the request was cut")
        self.close_connection = self.close_connection or answer.status in {400, 411, 413}
        try:
            self._send(answer)
        finally:  # told last: whoever reads our lines may be gone, and must not keep answers from peers
            peer = "unix" if self.server.address_family == socket.AF_UNIX else self.client_address[0]
            facts = {"peer": peer, "path": self.path, "status": answer.status, "detail": answer.detail}
            self.server.told(facts)

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def _ask(self, body: bytes) -> Answer:
        try:
            return self.server.handle(self.path, self.headers, body)
        except (AkashiError, OSError) as error:
            return Answer(503, b"not now\n", getattr(error, "detail", str(error)))

    def log_message(self, format: str, *args: Any) -> None:
        """Not the standard library's lines: `told` has what there is to tell."""
