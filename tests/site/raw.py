"""A TLS server that may break every rule: what it answers to a path is a function that has the socket."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self


class RawServer:
    """Serves `answers` by path on 127.0.0.1; with `handshake`, that has each connection instead."""

    def __init__(
        self,
        context: ssl.SSLContext,
        answers: Mapping[str, Callable[[ssl.SSLSocket], None]],
        handshake: Callable[[socket.socket], None] | None = None,
    ) -> None:
        self._context, self._answers, self._handshake = context, answers, handshake
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            if self._handshake is not None:
                self._handshake(client)
                return
            with self._context.wrap_socket(client, server_side=True) as sock:
                head = b""
                while b"\r\n\r\n" not in head:
                    more = sock.recv(1 << 16)
                    if not more:
                        return
                    head += more
                self._answers[head.split(b" ")[1].decode()](sock)
