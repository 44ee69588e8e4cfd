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
from typing import Final

from pipelines.record.exchange import Body, BodyState, Exchange, Network
from pipelines.record.heads import Head, is_response, parse_head
from pipelines.record.spool import BodySpool, note_of

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_HEAD_MAX: Final = 1 << 18
_UNANSWERED: Final = "the connection ended without an answer"
_MEMORY: Final = 1 << 16
"""Bytes of a body that are given away in memory; a larger one by the name of its file."""


class TooLargeError(Exception):
    """More bytes were announced, or came, than are allowed."""


class Recorder:
    """Holds the exchanges under way; each is given away when it ends."""

    too_large: type[TooLargeError] = TooLargeError
    """What `take` raises: a client may need one of a kind that it does not try again."""

    def __init__(
        self,
        spool: Path,
        give: Callable[[Exchange], None],
        *,
        client: str = "yt-dlp",
        memory: int = _MEMORY,
    ) -> None:
        """`spool` is the folder for bodies on their way, once they exceed `memory` bytes."""
        self.spool, self.give, self.client, self.memory = spool, give, client, memory
        self.allowed = sys.maxsize
        """Bytes of bodies that may still come; set it before each file."""
        self.unreached: list[tuple[str, str]] = []
        """(origin, error) of connections that were never made: no exchange took place on them."""
        self.under_way: list[Recording] = []
        self.stopping = False

    def stop(self, *_: object) -> None:
        """On SIGTERM: end at the next bytes that arrive, not in the middle of keeping some."""
        self.stopping = True

    def take(self, size: int, announced: int = 0) -> None:
        """That many bytes of a body came; in all, so many are announced. Raises TooLargeError."""
        if max(size, announced) > self.allowed:
            raise self.too_large(f"{max(size, announced)} bytes, {self.allowed} allowed")
        self.allowed -= size

    def begin(self, origin: str, network: Network) -> Recording:
        """A new exchange on a connection to `origin` (`https://host`)."""
        self.under_way.append(Recording(self, origin, network))
        return self.under_way[-1]

    def end_all(self) -> None:
        """End what nobody closed."""
        for recording in list(self.under_way):
            recording.end()


class Recording:
    """One exchange while it happens."""

    def __init__(self, recorder: Recorder, origin: str, network: Network) -> None:
        self._recorder, self._origin, self.network = recorder, origin, network
        self._started = datetime.now(UTC)
        self._request = bytearray()
        self._early = bytearray()
        self._interim = b""
        self._response_head = b""
        self._head = Head(0, ())
        self._spool: BodySpool | None = None
        self._eof = self.over = False
        self._error = self._given_up = ""
        self.answered = False
        """Whether the answer is awaited already: what is sent next belongs to another exchange."""

    def sent(self, data: bytes | memoryview) -> None:
        """Bytes that went out."""
        self._request += data

    def received(self, data: memoryview) -> None:
        """Bytes that came in. Raises TooLargeError, OSError when they cannot be kept, SystemExit."""
        if self.over:
            return
        if self._recorder.stopping:
            sys.exit("told to stop")
        try:
            if self._spool is None:
                self._early += data
                self._find_head()
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

    def leave(self) -> None:
        """Be under way no more; by itself this gives nothing away, for what never left is no exchange."""
        self.over = True
        self._recorder.under_way.remove(self)

    def end(self) -> None:
        """Give the exchange away; more calls do nothing."""
        if self.over:
            return
        self.leave()
        head, _, body = bytes(self._request).partition(b"\r\n\r\n")
        method, url = self._asked()
        self._recorder.give(
            Exchange(
                client=self._recorder.client,
                url=url,
                method=method,
                started=self._started,
                interim=self._interim,
                request_head=head + b"\r\n\r\n" if head else b"",
                request_body=Body(len(body), data=body) if body else None,
                response_head=self._response_head,
                response_body=self._body(method),
                network=self.network,
                error=self._given_up or self._error or ("" if self._spool else _UNANSWERED),
            )
        )

    def _asked(self) -> tuple[str, str]:
        """Method and URL."""
        line = bytes(self._request.partition(b"\r\n")[0]).decode("latin-1")
        method, _, rest = line.partition(" ")
        target = rest.rpartition(" ")[0]
        return method, target if "://" in target.partition("?")[0] else self._origin + target

    def _find_head(self) -> None:
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
            self._interim += head
        if len(self._early) + len(self._interim) > _HEAD_MAX:
            raise http.client.LineTooLong("response head")

    def _begin_body(self, head: bytes) -> None:
        method, url = self._asked()
        note = note_of(
            client=self._recorder.client,
            url=url,
            method=method,
            started=self._started,
            request_head=bytes(self._request),
            response_head=head,
            ip=self.network.ip,
        )
        self._spool = BodySpool(
            self._recorder.spool, head, content=True, note=note, memory=self._recorder.memory
        )
        self._spool.write(self._early)
        self._early.clear()
        announced = self._head.length if self._head.has_body(method) else None
        self._recorder.take(self._spool.size, announced or 0)

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
