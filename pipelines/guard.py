"""The one door out: a SOCKS5 tunnel on loopback through which Chromium and yt-dlp reach the network.

It resolves, checks, connects, and only passes bytes on: TLS stays end to end, so what a server
sees is the client itself. Every connection is written to a log (pipelines/connections.py) before
the client may use it.

SOCKS is RFC 1928, no authentication, CONNECT only. Replies: 2 not allowed, 3 network and 4 host
unreachable (a name that does not resolve as well), 5 connection refused, 6 timed out, 7 and 8 for
what we do not do. Why exactly stands in `Tunnel.refused` and `Tunnel.failures`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

from evidence.errors import RefusedError
from pipelines.connections import Connection, Failed, Refused, lookup
from pipelines.relay import Relay
from pipelines.resolver import Addresses, Resolver, check_url, parse_url

__all__ = ["Connection", "Failed", "Refused", "Resolver", "Tunnel", "check_url", "lookup", "parse_url"]

HANDSHAKE_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 20.0
"""For the last address of a host; an address before it has TRY_SECONDS."""
TRY_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 512
"""At once; a client that wants more waits. Chromium itself opens at most 32 to one SOCKS proxy."""

_OK, _NOT_ALLOWED, _NETWORK, _HOST, _REFUSED, _TIMED_OUT, _COMMAND, _ADDRESS = 0, 2, 3, 4, 5, 6, 7, 8
_REPLIES: Final = {
    errno.ECONNREFUSED: _REFUSED,
    errno.ETIMEDOUT: _TIMED_OUT,
    errno.ENETUNREACH: _NETWORK,
}


class _RequestError(Exception):
    """A request that ends with this SOCKS reply; what it stands for is recorded already."""

    def __init__(self, reply: int) -> None:
        super().__init__(reply)
        self.reply = reply


class Tunnel:
    """The door while it is open: `async with Tunnel(resolver, log=path) as tunnel: …tunnel.port…`.

    `log` is the file described above, readable by all and shared by the tunnels of one capture;
    `max_bytes` closes the door for good once so many bytes came in. It runs in threads of its
    own, two to a connection, and holds at most 1 MiB for each. `connections`, `refused` and
    `failures` only grow, and may be read at any time.
    """

    def __init__(self, resolver: Resolver, log: Path, max_bytes: int | None = None) -> None:
        self.resolver = resolver
        self.log = log
        self.max_bytes = max_bytes
        self.port = 0
        self.bytes_in = 0
        self.connections: list[Connection] = []
        self.refused: list[Refused] = []
        self.failures: list[Failed] = []
        self._best: dict[str, str] = {}
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        """Listen. Raises OSError when the log cannot be made or there is no port."""
        sys.setswitchinterval(0.0005)  # seconds: a busy parser in this process must not hold the bytes up
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._log = os.open(self.log, flags, 0o644)
        os.fchmod(self._log, 0o644)  # whatever our umask: the children read it
        try:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        except OSError:
            os.close(self._log)
            raise
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="tunnel", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening and cut what is still open."""
        await asyncio.shield(asyncio.to_thread(self._close))

    def spent(self, count: int) -> bool:
        """Count bytes that came in; whether the budget is spent."""
        with self._lock:
            self.bytes_in += count
            return self.max_bytes is not None and self.bytes_in > self.max_bytes

    # ── one thread accepts, one serves each client ────────────────────────────────────────────

    def _accept(self) -> None:
        while True:
            self._room.acquire()
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                self._room.release()
                if self._closed or error.errno not in {
                    errno.ECONNABORTED,
                    errno.EMFILE,
                    errno.ENFILE,
                    errno.EINTR,
                }:
                    return
                threading.Event().wait(0.05)  # out of descriptors: some connection will end
                continue
            threading.Thread(target=self._serve, args=(client,), name="tunnel-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            if self._track(client):
                with suppress(OSError):  # a client that goes away in its handshake
                    self._converse(client)
        finally:
            self._forget(client)
            self._room.release()

    def _converse(self, client: socket.socket) -> None:
        client.settimeout(HANDSHAKE_SECONDS)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            host, port = _asked(client)
            server, connection = self._connect(host, port, client.getpeername()[1])
        except _RequestError as unusable:
            client.sendall(_reply(unusable.reply))
            return
        try:
            if self._track(server) and self._record(connection):
                client.sendall(_reply(_OK))
                Relay(client, server, self.spent).run()
        finally:
            self._forget(server)

    def _connect(self, host: str, port: int, client_port: int) -> tuple[socket.socket, Connection]:
        """Resolve, check, connect; what cannot be is recorded, and raised as the reply to give."""
        if self.spent(0):
            self._refuse(host, port, "the bytes allowed are spent")
        try:
            dns = self.resolver.resolve(host)
            server, ip = self._reach(host, dns, port)
        except RefusedError as error:
            self._refuse(host, port, error.detail)
        except socket.gaierror as error:
            self.failures.append(Failed(host, port, "dns-failed", error.strerror or str(error)))
            raise _RequestError(_HOST) from error
        except OSError as error:
            why = "timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
            self.failures.append(Failed(host, port, "connection-failed", why))
            number = errno.ETIMEDOUT if isinstance(error, TimeoutError) else error.errno
            raise _RequestError(_REPLIES.get(number or 0, _HOST)) from error
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)  # as the log holds it
        return server, Connection(client_port, host, port, ip, dns, now)

    def _reach(self, host: str, dns: Addresses, port: int) -> tuple[socket.socket, str]:
        """A socket connected to the first address that works, and checked again for whom it reached.

        The address that worked before is tried first.
        """
        best = self._best.get(host)
        candidates = sorted(dns, key=lambda ip: ip != best)
        for number, ip in enumerate(candidates, 1):
            try:
                last = number == len(candidates)
                server = socket.create_connection((ip, port), CONNECT_SECONDS if last else TRY_SECONDS)
            except OSError:
                if last:
                    raise
                continue
            try:
                self.resolver.check(ip, (server.getpeername()[0],))
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except (RefusedError, OSError):
                server.close()
                raise
            self._best[host] = ip
            return server, ip
        raise OSError(errno.EHOSTUNREACH, "no address")

    def _record(self, connection: Connection) -> bool:
        with self._lock:  # never into a descriptor that is closed, or someone else's by now
            if not self._closed:
                os.write(self._log, connection.line())
                self.connections.append(connection)
            return not self._closed

    def _refuse(self, host: str, port: int, why: str) -> NoReturn:
        self.refused.append(Refused(host, port, why))
        raise _RequestError(_NOT_ALLOWED)

    # ── what is open, so that closing the door cuts it ────────────────────────────────────────

    def _track(self, sock: socket.socket) -> bool:
        with self._lock:
            self._open.add(sock)
            return not self._closed

    def _forget(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)
        sock.close()

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            still_open = list(self._open)
            for sock in (self._listener, *still_open):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        os.close(self._log)


def _asked(client: socket.socket) -> tuple[str, int]:
    """Host and port that a client asks for (RFC 1928 §§3-5). Raises OSError, _RequestError."""
    version, methods = _exactly(client, 2)
    offered = _exactly(client, methods)
    if version != 5 or 0 not in offered:  # noqa: PLR2004
        client.sendall(b"\x05\xff")
        raise ConnectionAbortedError(errno.ECONNABORTED, "not SOCKS5 without authentication")
    client.sendall(b"\x05\x00")
    _, command, _, kind = _exactly(client, 4)
    if kind == 1:
        host = socket.inet_ntop(socket.AF_INET, _exactly(client, 4))
    elif kind == 3:  # noqa: PLR2004
        host = _exactly(client, _exactly(client, 1)[0]).decode("utf-8", "replace")
    elif kind == 4:  # noqa: PLR2004
        host = socket.inet_ntop(socket.AF_INET6, _exactly(client, 16))
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


def _reply(code: int) -> bytes:
    return bytes((5, code, 0, 1)) + bytes(6)
