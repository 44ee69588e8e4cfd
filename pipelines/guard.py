"""The one door out: a SOCKS5 tunnel on loopback through which Chromium and yt-dlp reach the network.

It resolves, checks, connects, and only passes bytes on: TLS stays end to end, so what a server
sees is the client itself. Every connection is written to a log (pipelines/connections.py) before
the client may use it.

SOCKS is RFC 1928, no authentication, CONNECT only. Replies: 2 not allowed, 4 unreachable (a name
that does not resolve as well), 5 connection refused, 6 timed out, 7 and 8 for what we do not do.
Why exactly stands in `Tunnel.refused` and `Tunnel.failures`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Final, Self

from evidence.errors import RefusedError
from pipelines.connections import Connection, Failed, Refused, lookup
from pipelines.relay import Valve, relay
from storage.resolver import Addresses, Resolver, check_url, parse_url

__all__ = ["Connection", "Failed", "Refused", "Resolver", "Tunnel", "check_url", "lookup", "parse_url"]

HANDSHAKE_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 20.0
"""For the last address of a host; an address before it has TRY_SECONDS."""
TRY_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 512
"""At once; a client that wants more waits. Chromium itself opens at most 32 to one SOCKS proxy."""

_OK, _NOT_ALLOWED, _UNREACHABLE, _REFUSED, _TIMED_OUT, _COMMAND, _ADDRESS = 0, 2, 4, 5, 6, 7, 8
_LITERALS: Final = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}
_REPLY: Final = b"\x05%c\0\1" + bytes(6)


class _RequestError(Exception):
    """A request that ends with this SOCKS reply; what it stands for is recorded already."""


class Tunnel:
    """The door while it is open: `async with Tunnel(resolver, log=path) as tunnel: …tunnel.port…`.

    `log` is the file described above, readable by all and shared by the tunnels of one capture.
    The door runs in threads of its own, two to a connection, and holds at most 1 MiB for each.
    `connections`, `refused` and `failures` only grow, and may be read at any time.
    """

    def __init__(self, resolver: Resolver, log: Path, only: tuple[str, int] | None = None) -> None:
        """`only`: the one (host, port) to which the door leads; None: wherever the resolver allows."""
        self.resolver, self.log, self.only, self.port = resolver, log, only, 0
        self.connections: list[Connection] = []
        self.refused: list[Refused] = []
        self.failures: list[Failed] = []
        self.valve = Valve()
        """Shut it to hold back whatever servers send; requests still go out, and wait for their answers."""
        self._best: dict[str, str] = {}
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError when the log cannot be made or there is no port."""
        sys.setswitchinterval(0.0005)  # seconds: a busy parser in this process must not hold the bytes up
        self._log = FileIO(self.log, "a", opener=lambda path, how: os.open(path, how | os.O_NOFOLLOW, 0o644))
        os.fchmod(self._log.fileno(), 0o644)  # whatever our umask: the children read it
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=MAX_CONNECTIONS)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="tunnel", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening and cut what is still open."""
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        self.valve.open()
        with self._lock:
            self._closed = True
            for sock in (self._listener, *self._open):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._log.close()

    @contextmanager
    def _kept(self, sock: socket.socket, connection: Connection | None = None) -> Iterator[None]:
        """Hold a socket, and log its connection, unless the door is closed, which cuts what is held."""
        try:
            with self._lock:
                if self._closed:
                    raise ConnectionAbortedError(errno.ECONNABORTED, "the door is closed")
                if connection is not None:
                    self._log.write(connection.line())
                    self.connections.append(connection)
                self._open.add(sock)
            yield
        finally:
            with self._lock:
                self._open.discard(sock)
            sock.close()

    # ── one thread accepts, one serves each client ────────────────────────────────────────────

    def _accept(self) -> None:
        while True:
            self._room.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError:
                self._room.release()
                if self._closed:
                    return
                time.sleep(0.05)  # out of descriptors: some connection will end
                continue
            threading.Thread(target=self._serve, args=(client,), name="tunnel-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with suppress(OSError), self._kept(client):  # a client may go away in its handshake
                self._converse(client)
        finally:
            self._room.release()

    def _converse(self, client: socket.socket) -> None:
        client.settimeout(HANDSHAKE_SECONDS)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            host, port = _asked(client)
            server, connection = self._connect(host, port, client.getpeername()[1])
        except _RequestError as unusable:
            client.sendall(_REPLY % unusable.args)
            return
        with self._kept(server, connection):
            client.sendall(_REPLY % _OK)
            relay(client, server, self.valve)

    def _connect(self, host: str, port: int, client_port: int) -> tuple[socket.socket, Connection]:
        """Resolve, check, connect; what cannot be is recorded, and raised as the reply to give."""
        try:
            dns = self._addresses(host, port)
            # The address that worked before is tried first.
            server, ip = self._reach(port, *sorted(dns, key=lambda ip: ip != self._best.get(host)))
        except RefusedError as error:
            self.refused.append(Refused(host, port, error.detail))
            raise _RequestError(_NOT_ALLOWED) from error
        except OSError as error:
            code = "dns-failed" if isinstance(error, socket.gaierror) else "connection-failed"
            self.failures.append(Failed(host, port, code, error.strerror or str(error)))
            replies: dict[type, int] = {ConnectionRefusedError: _REFUSED, TimeoutError: _TIMED_OUT}
            raise _RequestError(replies.get(type(error), _UNREACHABLE)) from error
        self._best[host] = ip
        return server, Connection(client_port, host, port, ip, dns, datetime.now(UTC))

    def _addresses(self, host: str, port: int) -> Addresses:
        if self.only not in {None, (host, port)}:
            raise RefusedError(f"this door leads to {self.only} only", code="address-refused")
        return self.resolver.resolve(host)

    def _reach(self, port: int, ip: str, *others: str) -> tuple[socket.socket, str]:
        """A socket connected to the first address that works, and checked again for whom it reached."""
        try:
            server = socket.create_connection((ip, port), TRY_SECONDS if others else CONNECT_SECONDS)
        except OSError:
            if others:
                return self._reach(port, *others)
            raise
        try:
            self.resolver.check(ip, (server.getpeername()[0],))
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (RefusedError, OSError):
            server.close()
            raise
        return server, ip


def _asked(client: socket.socket) -> tuple[str, int]:
    """Host and port that a client asks for (RFC 1928 §§3-5). Raises OSError, _RequestError."""
    version, methods = _exactly(client, 2)
    offered = _exactly(client, methods)
    if version != 5 or 0 not in offered:  # noqa: PLR2004
        client.sendall(b"\x05\xff")
        raise ConnectionAbortedError(errno.ECONNABORTED, "not SOCKS5 without authentication")
    client.sendall(b"\x05\x00")
    _, command, _, kind = _exactly(client, 4)
    if kind == 3:  # noqa: PLR2004
        host = _exactly(client, _exactly(client, 1)[0]).decode("utf-8", "replace")
    elif kind in _LITERALS:
        family, size = _LITERALS[kind]
        host = socket.inet_ntop(family, _exactly(client, size))
    else:
        raise _RequestError(_ADDRESS)
    (port,) = struct.unpack("!H", _exactly(client, 2))
    if command != 1:
        raise _RequestError(_COMMAND)
    return host, port


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        if not more:
            raise ConnectionResetError(errno.ECONNRESET, "closed in its handshake")
        data += more
    return data
