"""A connection in the hands of one answer, for what no ordinary response is: odd heads, resets, WebSockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from typing import NoReturn

from tests.site.served_log import ServedExchange

PIECE = 1 << 16


class Closed(Exception):  # noqa: N818
    """The client is gone, or the response asks for the connection to be cut."""


class Wire:
    """Sends bytes exactly as given, and logs them."""

    def __init__(self, sock: ssl.SSLSocket, exchange: ServedExchange, *, reused: bool) -> None:
        self._sock = sock
        self._exchange = exchange
        self.reused = reused
        """Whether an exchange went before this one on the connection."""

    def interim(self, head: bytes) -> None:
        """An answer before the answer (1xx)."""
        self._exchange.interim.append(head)
        self._sock.sendall(head)

    def head(self, *lines: bytes) -> None:
        """Status line and header lines; the empty line is added."""
        self._exchange.response_head = b"\r\n".join([*lines, b"", b""])
        self._sock.sendall(self._exchange.response_head)

    def body(self, data: bytes) -> None:
        """Bytes of the body, framing included."""
        self._exchange.kept += data
        self._exchange.sent += len(data)
        self._sock.sendall(data)

    def send_frames(self, data: bytes) -> None:
        """Bytes of a WebSocket, after a 101."""
        self._exchange.frames_out += data
        self._sock.sendall(data)

    def receive_frames(self, wait: float = 60.0) -> bytes | None:
        """Bytes of a WebSocket from the client; none at its end, None after `wait` seconds without any."""
        self._sock.settimeout(wait)
        try:
            data = self._sock.recv(PIECE)
        except TimeoutError:
            return None
        except OSError:
            return b""
        self._exchange.frames_in += data
        return data

    def end(self) -> NoReturn:
        """Close the connection: the answer is whole."""
        self._exchange.completed = True
        self._sock.settimeout(2)
        with contextlib.suppress(OSError):
            self._sock.unwrap()  # close_notify, so that the client can tell this from a cut
        raise Closed

    def cut(self) -> NoReturn:
        """Close the connection in the middle of the answer, or before it."""
        raise Closed

    def reset(self) -> NoReturn:
        """End the connection with a TCP reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.socket.close(self._sock)
        raise Closed
