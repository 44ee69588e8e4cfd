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
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pipelines.connections import Connection
from pipelines.record.exchange import Network
from pipelines.record.recording import Recorder, Recording

_READ_BUFFER: Final = 1 << 16
_AT_ONCE: Final = 1 << 18
_REPR: Final = re.compile(r"<[^<>]*>:? ?")


PeerOf = Callable[[int], Connection | None]
"""Maps a local port to the connection behind the tunnel; None where there is none."""


class _TeeFile(io.RawIOBase):
    """What http.client reads the answer from."""

    def __init__(self, sock: Any, recording: Recording) -> None:
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until it is closed itself
        self._receive = _receiver(sock)
        self._recording = recording
        self._failed: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        count = self._fill(view[:_AT_ONCE]) if len(view) > _READ_BUFFER else self._some(view)
        if count:
            self._recording.received(view[:count])
        elif self._failed is not None:
            self._recording.failed(self._failed)
            raise self._failed
        else:
            self._recording.ended_by_peer()
        return count

    def _fill(self, view: memoryview) -> int:
        """As many bytes as there is room for: a reader that asks for more than a buffer waits for all of it.

        TLS gives 16 KiB at a time, and each time through all layers would cost more than its digest.
        """
        at, size = 0, len(view)
        while at < size and (count := self._some(view[at:])):
            at += count
        return at

    def _some(self, view: memoryview) -> int:
        """Some bytes; 0 at the end, and when the transport failed: that is raised once all before it is read."""
        if self._failed is None:
            try:
                return self._receive(view)
            except OSError as error:
                self._failed = error
        return 0

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
        return io.BufferedReader(_TeeFile(self._sock, self._recording), _READ_BUFFER)

    def close(self) -> None:
        """Close; an exchange that still waits for its answer ends here."""
        self._sock.close()
        if self._recording is not None and not self._recording.answered:
            self._recording.end()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _receiver(sock: Any) -> Callable[[memoryview], int]:
    """What fills a buffer from the socket with as little Python between as may be."""
    if isinstance(sock, ssl.SSLSocket):
        return lambda view: sock.read(len(view), view)  # type: ignore[return-value]  # into a buffer: a count
    receive: Callable[[memoryview], int] = sock.recv_into
    return receive


def recording_connection(base: type[Any], recorder: Recorder, peer_of: PeerOf) -> type[Any]:
    """A subclass of an http.client connection class that records on `recorder`."""

    class RecordingConnection(base):  # type: ignore[misc]  # a class known at run time only
        sock: Any

        def connect(self) -> None:
            origin = _origin(self)
            try:
                super().connect()
            except BaseException as error:
                recorder.unreached.append((origin, f"{type(error).__name__}: {_REPR.sub('', str(error))}"))
                raise
            network = network_of(self.sock, peer_of)
            self.sock = TeeSocket(self.sock, lambda: recorder.begin(origin, network))

    RecordingConnection.__name__ = base.__name__
    return RecordingConnection


def network_of(sock: Any, peer_of: PeerOf) -> Network:
    """The facts of a connected socket; the peer as the tunnel's log names it, else as the socket does."""
    peer = peer_of(sock.getsockname()[1])
    ip, port = (peer.ip, peer.port) if peer else sock.getpeername()[:2]
    network = Network(ip=ip, port=port, protocol="http/1.1", dns=peer.dns if peer else ())
    if not isinstance(sock, ssl.SSLSocket):
        return network
    name, version, _ = sock.cipher() or ("", "", 0)
    # As the server sent them; public as get_unverified_chain from Python 3.13 on.
    chain = sock._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]  # noqa: SLF001
    return replace(
        network,
        protocol=sock.selected_alpn_protocol() or "http/1.1",
        tls=(sock.version() or "").replace("TLSv", "tls/"),
        cipher=name if version == "TLSv1.3" else "",
        chain=tuple(ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in chain),
    )


def _origin(connection: Any) -> str:
    usual = connection.default_port
    scheme = "https" if usual == http.client.HTTPS_PORT else "http"
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    return f"{scheme}://{host}" + (f":{connection.port}" if connection.port != usual else "")
