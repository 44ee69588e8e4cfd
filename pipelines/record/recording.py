"""An exchange while it happens: what was sent, the answer's head, its body on its way to a spool.

A tap feeds it with the bytes of one connection; when it ends it is given away as an `Exchange`.
"""

from __future__ import annotations

import http.client
import re
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Final

from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.record.heads import Head, is_response, parse_head
from pipelines.record.limits import HEAD_BYTES
from pipelines.record.spool import BodySpool, append, remove_spooled, write_note

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_UNANSWERED: Final = "the connection ended without an answer"


class TooLargeError(Exception):
    """More bytes were announced, or came, than are allowed."""


class Recorder:
    """Holds the exchanges under way; each is given away when it ends."""

    too_large: type[TooLargeError] = TooLargeError
    """What `take` raises: a client may need one of a kind that it does not try again."""

    def __init__(self, spool: Path, give: Callable[[Exchange], None], *, client: str = "yt-dlp") -> None:
        """`spool` is the folder for what is under way."""
        self.spool, self.give, self.client = spool, give, client
        self.allowed = sys.maxsize
        """Bytes of bodies that may still come; set it before each file."""
        self.unreached: list[tuple[str, str]] = []
        """(origin, error) of connections that were never made: no exchange took place on them."""
        self.under_way: list[Recording] = []
        self.stopping = False
        self._lock = Lock()
        """Segments of a video are fetched by several threads."""

    def stop(self, *_: object) -> None:
        """On SIGTERM: end at the next bytes that arrive, not in the middle of keeping some."""
        self.stopping = True

    def take(self, size: int, announced: int = 0) -> None:
        """That many bytes of a body came; in all, so many are announced. Raises TooLargeError."""
        with self._lock:
            if max(size, announced) > self.allowed:
                raise self.too_large(f"{max(size, announced)} bytes, {self.allowed} allowed")
            self.allowed -= size

    def begin(self, origin: str, network: Network) -> Recording:
        """A new exchange on a connection to `origin` (`https://host`)."""
        recording = Recording(self, origin, network)
        self.under_way.append(recording)
        return recording

    def end_all(self) -> None:
        """End what nobody closed."""
        for recording in list(self.under_way):
            recording.end()


class Recording:
    """One exchange while it happens."""

    def __init__(self, recorder: Recorder, origin: str, network: Network) -> None:
        self._recorder, self._origin, self.network = recorder, origin, network
        self._started = datetime.now(UTC)
        self._note = recorder.spool / f"{uuid.uuid4().hex}.note"
        self._request = bytearray()
        self._early = bytearray()
        self._heads = 0
        self._interim: tuple[bytes, ...] = ()
        self._response_head = b""
        self._head = Head(0, ())
        self._spool: BodySpool | None = None
        self._eof = False
        self._error = self._given_up = ""
        self.over = False
        """Whether it was given away."""
        self.answered = False
        """Whether the answer is awaited already: what is sent next belongs to another exchange."""

    def sent(self, data: bytes | memoryview) -> None:
        """Bytes that went out."""
        begun = bool(self._request)
        self._request += data
        if not begun:
            self._write_note()

    def received(self, data: memoryview) -> None:
        """Bytes that came in. Raises TooLargeError, OSError when they cannot be kept, SystemExit."""
        if self.over:
            return
        if self._recorder.stopping:
            sys.exit("told to stop")
        try:
            if self._spool is None:
                self._early += data
                self._heads += len(data)
                self._find_head(data)
            else:
                self._spool.write(data)
                self._recorder.take(len(data))
        except TooLargeError:
            self.given_up("length: more than allowed, given up")
            raise

    def ended_by_peer(self) -> None:
        """The peer closed its side."""
        self._eof = True

    def failed(self, error: BaseException) -> None:
        """The transport failed."""
        self._error = f"{type(error).__name__}: {error}"

    def given_up(self, why: str) -> None:
        """The client itself stops here; `why` begins with one of the words of WARC-Truncated."""
        self._given_up = why

    def drop(self) -> None:
        """Nothing of it left this machine: it was no exchange."""
        self._leave()
        remove_spooled(self._note)

    def _leave(self) -> None:
        self.over = True
        self._recorder.under_way.remove(self)

    def end(self) -> None:
        """Give the exchange away; more calls do nothing."""
        if self.over:
            return
        self._leave()
        head, body = self._sent()
        method, url = self._asked()
        self._recorder.give(
            Exchange(
                client=self._recorder.client,
                url=url,
                method=method,
                started=self._started,
                interim=self._interim,
                request_head=head,
                request_body=Body(len(body), data=body) if body else None,
                response_head=self._response_head,
                response_body=self._body(method),
                layer=self._layer,
                network=self.network,
                error=self._given_up or self._error or ("" if self._spool else _UNANSWERED),
                note=self._note if self._request else None,
            )
        )

    def _sent(self) -> tuple[bytes, bytes]:
        """Head and body."""
        head, end, body = bytes(self._request).partition(b"\r\n\r\n")
        return head + end, body

    def _asked(self) -> tuple[str, str]:
        """Method and URL."""
        line = bytes(self._request.partition(b"\r\n")[0]).decode("latin-1")
        method, _, rest = line.partition(" ")
        target = rest.rpartition(" ")[0]
        return method, self._origin + target if target.startswith(("/", "*")) else target

    def _find_head(self, data: memoryview) -> None:
        while match := _HEAD_END.search(self._early):
            head = bytes(self._early[: match.end()])
            if not is_response(head):
                return
            del self._early[: match.end()]
            parsed = parse_head(head)
            if parsed.status // 100 != 1 or parsed.status == http.HTTPStatus.SWITCHING_PROTOCOLS:
                self._response_head, self._head = head, parsed
                self._begin_body(head)
                return
            self._interim = (*self._interim, head)
        append(self._note.with_suffix(".head"), data)
        if self._heads > HEAD_BYTES:
            raise http.client.LineTooLong("response head")

    def _begin_body(self, head: bytes) -> None:
        method = self._write_note()
        self._spool = BodySpool(self._note.with_suffix(".body"), head, content=True)
        if self._early:
            self._spool.write(self._early)
        self._early.clear()
        announced = self._head.length if self._head.has_body(method) else None
        self._recorder.take(self._spool.size, announced or 0)

    def _write_note(self) -> str:
        """Note what is known by now; gives the method."""
        method, url = self._asked()
        write_note(
            self._note,
            client=self._recorder.client,
            url=url,
            method=method,
            started=self._started,
            request_head=self._sent()[0],
            response_head=self._response_head,
            ip=self.network.ip,
            layer=self._layer,
        )
        return method

    @property
    def _layer(self) -> Layer:
        return Layer.H2_RENDERED if self.network.protocol == "h2" else Layer.H1_BYTES

    def _body(self, method: str) -> Body:
        spool, length = self._spool, self._head.length
        if spool is None:
            return Body(len(self._early), data=bytes(self._early))
        unframed = length is None and not self._head.chunked
        ended = unframed and self._eof and not self._error
        if not self._head.has_body(method) or spool.complete or ended:
            return spool.close()
        cause = "disconnect: the connection ended" if self._eof or self._error else "unspecified: given up"
        cause = self._given_up or cause
        of = "" if length is None else f" of {length}"
        return spool.close(BodyState.TRUNCATED, f"{cause} after {spool.size}{of} bytes")
