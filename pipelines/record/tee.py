"""A tee on a connection of http.client, above TLS: what was sent and received, byte for byte.

`recording_connection` makes a recording subclass of any http.client connection class (urllib's and
urllib3's alike). Its socket copies what is sent, and the file that http.client reads the answer
from copies what is received: chunk framing, content codings, interim answers and all.
An exchange ends when its *response file* is closed: with `Connection: close`, http.client closes
the connection before the body is read.
"""

from __future__ import annotations

import http.client
import io
import re
import ssl
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from yt_dlp.networking.exceptions import RequestError

from pipelines.record.exchange import Body, BodyState, Exchange, Network
from pipelines.record.heads import Head, is_response, parse_head
from pipelines.record.spool import BodySpool, note_of
from pipelines.record.ytdlp_wire import CLIENT

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_HEAD_MAX: Final = 1 << 18
_READ_BUFFER: Final = 1 << 16
_MEMORY: Final = 1 << 16
"""Bytes of a body that travel to the parent in its event; a larger one by the name of its file."""


class Peer(Protocol):
    """What the address guard knows of the peer of one of our local ports."""

    @property
    def ip(self) -> str: ...  # noqa: D102

    @property
    def port(self) -> int: ...  # noqa: D102

    @property
    def dns(self) -> tuple[str, ...]: ...  # noqa: D102


class TooLargeError(RequestError):  # type: ignore[misc]  # yt-dlp has no types
    """More bytes were announced, or came, than are allowed; of yt-dlp's kind that no handler tries again."""


class Recorder:
    """Holds the exchanges under way; each is given away when it ends."""

    def __init__(
        self, spool: Path, give: Callable[[Exchange], None], peer_of: Callable[[int], Peer | None]
    ) -> None:
        """`spool` is the bodies' folder, `peer_of` maps a local port to the peer behind the tunnel."""
        self.spool = spool
        self.give = give
        self.peer_of = peer_of
        self.allowed = sys.maxsize
        """Bytes of bodies that may still come; set it before each file."""
        self.unreached: list[tuple[str, str]] = []
        """(origin, error) of connections that were never made: no exchange took place on them."""
        self._open: list[Recording] = []

    def expect(self, size: int) -> None:
        """A body of that size is announced. Raises TooLargeError."""
        if size > self.allowed:
            raise TooLargeError(f"{size} bytes announced, {self.allowed} allowed")

    def take(self, size: int) -> None:
        """That many bytes of a body came. Raises TooLargeError."""
        self.allowed -= size
        if self.allowed < 0:
            raise TooLargeError("more bytes than allowed")

    def begin(self, origin: str, network: Network) -> Recording:
        """A new exchange on a connection to `origin` (`https://host`)."""
        recording = Recording(self, origin, network)
        self._open.append(recording)
        return recording

    def end(self, recording: Recording, exchange: Exchange) -> None:
        """Give a finished exchange away."""
        self._open.remove(recording)
        self.give(exchange)

    def end_all(self) -> None:
        """End what nobody closed."""
        for recording in list(self._open):
            recording.end()


class Recording:
    """One exchange while it happens."""

    def __init__(self, recorder: Recorder, origin: str, network: Network) -> None:
        self._recorder = recorder
        self._origin = origin
        self._network = network
        self._started = datetime.now(UTC)
        self._request = bytearray()
        self._early = bytearray()
        self._head = b""
        self._parsed = Head(0, ())
        self._spool: BodySpool | None = None
        self._eof = False
        self._too_large = False
        self._error = ""
        self._over = False
        self.answered = False
        """Whether the answer is awaited already: what is sent next belongs to another exchange."""

    @property
    def _request_line(self) -> tuple[str, str]:
        method, _, rest = bytes(self._request.partition(b"\r\n")[0]).decode("latin-1").partition(" ")
        target = rest.rpartition(" ")[0]
        return method, target if "://" in target.partition("?")[0] else self._origin + target

    def sent(self, data: bytes | memoryview) -> None:
        """Bytes that went out."""
        self._request += data

    def received(self, data: memoryview) -> None:
        """Bytes that came in. Raises TooLargeError, OSError when they cannot be kept."""
        if self._over:
            return
        try:
            if self._spool is None:
                self._early += data
                self._find_head()
            else:
                self._spool.write(data)
                self._recorder.take(len(data))
        except TooLargeError:
            self._too_large = True
            raise

    def ended_by_peer(self) -> None:
        """The peer closed its side."""
        self._eof = True

    def failed(self, error: BaseException) -> None:
        """The transport failed."""
        self._error = f"{type(error).__name__}: {error}"

    def end(self) -> None:
        """Give the exchange away; more calls do nothing."""
        if self._over:
            return
        self._over = True
        head, _, body = self._request.partition(b"\r\n\r\n")
        method, url = self._request_line
        self._recorder.end(
            self,
            Exchange(
                client=CLIENT,
                url=url,
                method=method,
                started=self._started,
                request_head=bytes(head) + b"\r\n\r\n" if head else b"",
                request_body=Body(len(body), data=bytes(body)) if body else None,
                response_head=self._head,
                response_body=self._body(method),
                network=self._network,
                error=self._error or ("" if self._spool else "the connection ended without an answer"),
            ),
        )

    def _find_head(self) -> None:
        while (match := _HEAD_END.search(self._early)) and self._spool is None:
            head = bytes(self._early[: match.end()])
            parsed = parse_head(head)
            if not is_response(head):
                return
            del self._early[: match.end()]
            if 100 <= parsed.status < 200 and parsed.status != 101:  # noqa: PLR2004  # an interim answer
                continue
            self._head, self._parsed = head, parsed
            method, url = self._request_line
            note = note_of(
                client=CLIENT,
                url=url,
                method=method,
                started=self._started,
                request_head=bytes(self._request),
                response_head=head,
                ip=self._network.ip,
            )
            self._spool = BodySpool(self._recorder.spool, head, content=True, note=note, memory=_MEMORY)
            self._spool.write(self._early)
            early, self._early = len(self._early), bytearray()
            self._recorder.expect(parsed.length if parsed.length and parsed.has_body(method) else early)
            self._recorder.take(early)
        if len(self._early) > _HEAD_MAX:
            raise http.client.LineTooLong("response head")

    def _body(self, method: str) -> Body:
        if self._spool is None:
            return Body(len(self._early), data=bytes(self._early))
        spool, parsed = self._spool, self._parsed
        framed = parsed.chunked or parsed.length is not None
        if not parsed.has_body(method) or spool.complete or (not framed and self._eof and not self._error):
            return spool.close()
        of = f" of {parsed.length}" if parsed.length is not None else ""
        if self._too_large:
            return spool.close(
                BodyState.TRUNCATED, f"length: given up after {spool.size}{of} bytes, more than allowed"
            )
        if self._eof or self._error:
            return spool.close(
                BodyState.TRUNCATED, f"disconnect: the connection ended after {spool.size}{of} bytes"
            )
        return spool.close(
            BodyState.TRUNCATED, f"unspecified: the client closed after {spool.size}{of} bytes"
        )


class _TeeFile(io.RawIOBase):
    """What http.client reads the answer from."""

    def __init__(self, raw: io.RawIOBase, recording: Recording) -> None:
        self._raw = raw
        self._recording = recording

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            count = self._raw.readinto(buffer)
        except OSError as error:
            self._recording.failed(error)
            raise
        if count:
            self._recording.received(memoryview(buffer)[:count])
        elif count == 0:
            self._recording.ended_by_peer()
        return count

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()
            self._recording.end()


class TeeSocket:
    """Stands before a connected socket; everything that it does not record goes straight through."""

    def __init__(self, sock: Any, begin: Callable[[], Recording]) -> None:
        self._sock = sock
        self._begin = begin
        self._recording: Recording | None = None

    def sendall(self, data: Any, *flags: Any) -> None:
        """Send, and note what was sent; what could not be sent was not."""
        if self._recording is None or self._recording.answered:
            self._recording = self._begin()
        try:
            self._sock.sendall(data, *flags)
        except OSError as error:
            self._recording.failed(error)
            raise
        finally:
            self._recording.sent(memoryview(data).cast("B"))

    def makefile(self, *_args: Any, **_options: Any) -> io.BufferedReader:
        """The file of the next answer."""
        if self._recording is None:
            self._recording = self._begin()
        self._recording.answered = True
        raw = self._sock.makefile("rb", buffering=0)
        return io.BufferedReader(_TeeFile(raw, self._recording), _READ_BUFFER)

    def close(self) -> None:
        """Close; an exchange that still waits for its answer ends here."""
        self._sock.close()
        if self._recording is not None and not self._recording.answered:
            self._recording.end()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def recording_connection(base: type[Any], recorder: Recorder) -> type[Any]:
    """A subclass of an http.client connection class that records on `recorder`."""

    class RecordingConnection(base):  # type: ignore[misc]  # a class known at run time only
        sock: Any

        def connect(self) -> None:
            origin = _origin(self)
            try:
                super().connect()
            except BaseException as error:
                recorder.unreached.append((origin, f"{type(error).__name__}: {error}"))
                raise
            network = network_of(self.sock, recorder.peer_of)
            self.sock = TeeSocket(self.sock, lambda: recorder.begin(origin, network))

    RecordingConnection.__name__ = base.__name__
    return RecordingConnection


def network_of(sock: Any, peer_of: Callable[[int], Peer | None]) -> Network:
    """The facts of a connected socket; the peer as the tunnel's log names it, else as the socket does."""
    peer = peer_of(sock.getsockname()[1])
    ip, port = (peer.ip, peer.port) if peer else sock.getpeername()[:2]
    dns = peer.dns if peer else ()
    if not isinstance(sock, ssl.SSLSocket):
        return Network(ip=ip, port=port, protocol="http/1.1", dns=tuple(dns))
    name, version, _ = sock.cipher() or ("", "", 0)
    tls = (sock.version() or "").replace("TLSv", "tls/")
    return Network(
        ip=ip,
        port=port,
        protocol=sock.selected_alpn_protocol() or "http/1.1",
        tls=tls,
        cipher=name if version == "TLSv1.3" else "",
        chain=_chain(sock),
        dns=tuple(dns),
    )


def _chain(sock: ssl.SSLSocket) -> tuple[bytes, ...]:
    """The certificates as the server sent them, leaf first (public as get_unverified_chain from 3.13 on)."""
    unverified = sock._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
    return tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in unverified or ())


def _origin(connection: Any) -> str:
    usual = connection.default_port
    scheme = "https" if usual == http.client.HTTPS_PORT else "http"
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    return f"{scheme}://{host}" + (f":{connection.port}" if connection.port != usual else "")
