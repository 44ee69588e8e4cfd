"""An exchange while it happens: what was sent, the answer's head, its body on its way to a spool.

A tap feeds it with the bytes of one connection; when it ends it is given away as an `Exchange`.
"""

from __future__ import annotations

import http.client
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from yt_dlp.networking.exceptions import RequestError

from pipelines.record.exchange import Body, BodyState, Exchange, Network
from pipelines.record.heads import Head, is_response, parse_head
from pipelines.record.spool import BodySpool, note_of
from pipelines.record.ytdlp_wire import CLIENT

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_HEAD_MAX: Final = 1 << 18
_MEMORY: Final = 1 << 16
"""Bytes of a body that travel to the parent in its event; a larger one by the name of its file."""


class TooLargeError(RequestError):  # type: ignore[misc]  # yt-dlp has no types
    """More bytes were announced, or came, than are allowed; of yt-dlp's kind that no handler tries again."""


class Stopped(BaseException):  # no error: like KeyboardInterrupt, which no library takes for its own
    """The parent asked the process to stop; what was recorded is given away properly first."""


class StopSignal:
    """SIGTERM as an exception, held back while books are kept: `with stop:` is never interrupted inside."""

    def __init__(self) -> None:
        self._held = 0
        self._asked = False

    def received(self, _signal: int, _frame: FrameType | None) -> None:
        """The signal's handler. Raises Stopped, now or when what holds it ends."""
        self._asked = True
        self._raise_if_free()

    def hold(self) -> None:
        """Hold it back for good: the end has begun already."""
        self._held += 1

    def __enter__(self) -> None:
        self._held += 1

    def __exit__(self, *_: object) -> None:
        self._held -= 1
        if self._asked:
            self._raise_if_free()

    def _raise_if_free(self) -> None:
        if not self._held:
            self._asked = False
            raise Stopped


class Recorder:
    """Holds the exchanges under way; each is given away when it ends."""

    def __init__(self, spool: Path, give: Callable[[Exchange], None], stop: StopSignal) -> None:
        """`spool` is the folder for bodies on their way."""
        self.spool = spool
        self.stop = stop
        self.give = give
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
        with self._recorder.stop:
            self._received(data)

    def _received(self, data: memoryview) -> None:
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
        with self._recorder.stop:
            self._end()

    def _end(self) -> None:
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
