"""One request to a witness, a timestamp authority or a signer, over HTTP/1.1 and behind the address guard.

The name is resolved and checked once, and the connection goes to the address that was checked; TLS is
verified for the name, against the system's authorities and `AKASHI_EXTRA_CA`; `AKASHI_HOSTS` is honoured.
No redirect is followed, no proxy asked, nothing kept open. Size and time of the whole exchange are capped.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from threading import Thread, Timer
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from evidence.errors import RefusedError, UnreachableError, UsageError
from storage.resolver import Addresses, Resolver, parse_url

_UNIX: Final = re.compile(r"unix:(/[^:]*):(/.*)")
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def post(
    url: str,
    body: bytes,
    *,
    content_type: str,
    timeout: float,
    limit: int,
    allow_private: bool = False,
    headers: Mapping[str, str] = _NONE,
) -> tuple[int, bytes]:
    """Status and body of the answer, whatever the status; a redirect is an answer like any other.

    A server on this machine may be named by its socket: `unix:/path/of/it:/target`.

    `timeout` is in seconds from the name's resolution to the last byte, `limit` in bytes of the body;
    `allow_private` lifts the address check, nothing else.
    Raises UnreachableError when there is no whole answer within both, or an address is refused;
    UsageError for a URL that none can be, and for AKASHI_EXTRA_CA or AKASHI_HOSTS malformed.
    """
    end = time.monotonic() + timeout
    local = _UNIX.fullmatch(url)
    scheme, host, port = ("unix", "localhost", 80) if local else parse_url(url)
    parts = urlsplit(url)
    target = local[2] if local else (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii():
        raise UsageError(f"{url!r}: its path is not ASCII", next="write it percent-encoded")
    context = _trust() if scheme == "https" else None
    resolver = Resolver(allow_private=allow_private)
    with _told(url), _local(local[1], end) if local else _connected(host, port, end, resolver) as raw:
        # Without the handshake, which may hang as well: it belongs behind the deadline.
        stream = (
            context.wrap_socket(raw, do_handshake_on_connect=False, server_hostname=host) if context else raw
        )
        with stream, deadline(stream, end):
            if isinstance(stream, ssl.SSLSocket):
                stream.do_handshake()
            sent = {"Content-Type": content_type, "User-Agent": "akashi", "Connection": "close", **headers}
            return exchange(stream, f"{host}:{port}", target, body, sent, limit)


def exchange(
    stream: socket.socket, host: str, target: str, body: bytes, headers: Mapping[str, str], limit: int
) -> tuple[int, bytes]:
    """POST over a socket that is connected. Raises HTTPException, OSError; UnreachableError above the limit."""
    connection = HTTPConnection(host)
    connection.sock = stream
    connection.request("POST", target, body, dict(headers))
    with connection.getresponse() as answer:
        data = answer.read(limit + 1)
        if len(data) > limit:
            raise UnreachableError(f"the answer exceeds {limit} bytes")
        if answer.length:  # read(n) does not tell that the peer closed early
            raise UnreachableError(f"the answer ended {answer.length} bytes early")
        return answer.status, data


@contextmanager
def deadline(stream: socket.socket, end: float) -> Iterator[None]:
    """Shut the socket at a time of `time.monotonic`, however its peer drips; raises TimeoutError then."""
    ended: list[bool] = []

    def shut() -> None:
        ended.append(True)
        with suppress(OSError):  # the peer was first
            socket.socket.shutdown(stream, socket.SHUT_RDWR)  # not ssl's, which would go on in the clear

    timer = Timer(max(0.0, end - time.monotonic()), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, HTTPException, UnreachableError) as error:
        if not ended:
            raise
        raise TimeoutError("no whole answer in time") from error
    finally:
        timer.cancel()
    if ended:
        raise TimeoutError("no whole answer in time")


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Every way not to get an answer, as the one error."""
    try:
        yield
    except UnreachableError as error:
        raise UnreachableError(f"{url}: {error.detail}", next=error.next) from error
    except RefusedError as error:
        why = "set ledger_allow_private, if that machine is meant"
        raise UnreachableError(f"{url}: {error.detail}", next=why) from error
    except (OSError, HTTPException) as error:
        what = str(error) or type(error).__name__
        raise UnreachableError(f"{url}: {what}", next="it is tried again with the next run") from error


def _connected(host: str, port: int, end: float, resolver: Resolver) -> socket.socket:
    """A socket to the first address that takes one. Raises RefusedError, OSError."""
    addresses = _resolved(host, end, resolver)
    for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
        patience = max(0.001, end - time.monotonic()) / (left + 1)
        try:
            stream = socket.create_connection((address, port), patience)
        except OSError:
            if not left:
                raise
        else:
            stream.settimeout(None)  # from here on the deadline rules
            return stream
    raise OSError("no address")


def _resolved(host: str, end: float, resolver: Resolver) -> Addresses:
    """The name's addresses; the system's resolver, which knows no deadline, is left behind at ours."""
    asked: Future[Addresses] = Future()

    def resolve() -> None:
        try:
            asked.set_result(resolver.resolve(host))
        except (RefusedError, OSError) as error:
            asked.set_exception(error)

    Thread(target=resolve, name="resolver", daemon=True).start()
    try:
        return asked.result(max(0.001, end - time.monotonic()))
    except TimeoutError as error:
        raise TimeoutError("its name was not resolved in time") from error


def _local(path: str, end: float) -> socket.socket:
    """A socket of this machine; connecting waits where a process that hangs does not accept. Raises OSError."""
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(max(0.001, end - time.monotonic()))
        stream.connect(path)
        stream.settimeout(None)
    except OSError:
        stream.close()
        raise
    return stream


def _trust() -> ssl.SSLContext:
    """The system's authorities, and those of AKASHI_EXTRA_CA. Raises UsageError for a file that is none."""
    context = ssl.create_default_context()
    if extra := os.environ.get("AKASHI_EXTRA_CA"):
        try:
            context.load_verify_locations(extra)
        except OSError as error:  # ssl.SSLError is one
            why = f"AKASHI_EXTRA_CA: {extra} is not a file of PEM certificates"
            raise UsageError(why, next="correct AKASHI_EXTRA_CA") from error
    return context
