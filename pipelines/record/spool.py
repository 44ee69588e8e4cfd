"""Where an exchange rests while it arrives: in named files, written through, that survive a kill.

    <folder>/<32 hex>.note     a JSON line each time that more is known of it, the last whole one counts:
                               {client, url, method, started, request_head, response_head, ip, layer}, heads in Latin-1
    <folder>/<32 hex>.head     what came of the answer's head so far
    <folder>/<32 hex>.body     the answer's payload so far, as received
    <folder>/<32 hex>.sent     the request's payload so far
    <folder>/<32 hex>.frames   what crossed the WebSocket that it opened (pipelines/record/websocket.py)

Every piece goes to its file as it comes: what a killed process loses is the one piece in its hands, and
the page cache outlives it. `salvage` reads the files after that. The digests that the WARC needs are taken
from the same piece while it is in the processor's cache, so no body is read again to be hashed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from pipelines.record.decoding import ContentDecoder, Dechunker, UndecodableError
from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.record.heads import Head, parse_head
from pipelines.record.limits import CONTENT_BYTES

_READ: Final = 1 << 18
_NOTE_MAX: Final = 4 << 20
_NOTE: Final = re.compile(r"[0-9a-f]{32}\.note")
_KILLED: Final = "disconnect: the recording process was killed"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpooledBody(Body):
    """A body whose digests (lower-case hex) were taken in flight."""

    head: bytes = b""
    """The head that `block_sha256` covers together with the body."""
    block_sha256: str = ""
    payload_sha256: str = ""
    content_sha256: str = ""
    """Of the body without chunk framing and content codings; empty when not asked for or not decodable."""
    content_size: int = 0


class BodySpool:
    """Takes one body as it arrives: `write` each piece, then `close` it."""

    def __init__(self, path: Path, head: bytes, *, content: bool = False) -> None:
        """Spool to `path`, made with the first byte; `content` also digests the decoded body."""
        self.path, self.size = path, 0
        self._head, self._parsed = head, parse_head(head)
        self._payload, self._block = hashlib.sha256(), hashlib.sha256(head)
        self._content, self._content_size = hashlib.sha256(), 0
        self._file: BinaryIO | None = None
        self._chunks = Dechunker() if self._parsed.chunked else None
        self._coded = bool(self._parsed.encodings)
        self._decoder: ContentDecoder | None = None
        if content:
            with suppress(UndecodableError):
                self._decoder = ContentDecoder(self._parsed, framing=False)

    @property
    def complete(self) -> bool:
        """Whether the head's framing says that the body is whole; False where only the close can tell."""
        if self._parsed.chunked:
            return bool(self._chunks and self._chunks.ended)
        return self._parsed.length is not None and self.size >= self._parsed.length

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Raises OSError when the disk is full."""
        view = memoryview(chunk)
        if view and self._file is None:
            self._file = self.path.open("xb", buffering=0)
        while view and self._file is not None:
            view = view[self._file.write(view) :]
        self._payload.update(chunk)
        self._block.update(chunk)
        self.size += len(chunk)
        if self._chunks or self._coded:
            self._take(bytes(chunk))

    def close(self, state: BodyState = BodyState.AS_RECEIVED, why: str = "") -> SpooledBody:
        """The body at rest; `why` is required for every state but as-received."""
        if self._file is not None:
            self._file.close()
        payload, content, content_size = self._payload.hexdigest(), "", 0
        if self._decoder is not None:
            own = self._chunks or self._coded
            content, content_size = (
                (self._content.hexdigest(), self._content_size) if own else (payload, self.size)
            )
        return SpooledBody(
            size=self.size,
            data=None if self._file else b"",
            path=self.path if self._file else None,
            state=state,
            why=why,
            head=self._head,
            block_sha256=self._block.hexdigest(),
            payload_sha256=payload,
            content_sha256=content,
            content_size=content_size,
        )

    def _take(self, data: bytes) -> None:
        """Follow the framing, and the content within it as far as it is wanted and can be decoded."""
        try:
            for framed in self._chunks.feed(data) if self._chunks else (data,):
                self._digest(framed)
        except UndecodableError:
            self._chunks = self._decoder = None
            self._coded = False

    def _digest(self, framed: bytes) -> None:
        try:
            for piece in self._decoder.feed(framed) if self._decoder else ():
                self._content.update(piece)
                self._content_size += len(piece)
                if self._coded and self._content_size > CONTENT_BYTES:
                    self._decoder = None  # a decompression bomb
                    return
        except UndecodableError:
            self._decoder = None


def append(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Add to a file of the spool. Raises OSError."""
    with path.open("ab", buffering=0) as stream:
        stream.write(data)


def write_note(
    path: Path,
    *,
    client: str,
    url: str,
    method: str,
    started: datetime,
    request_head: bytes,
    response_head: bytes,
    ip: str,
    layer: Layer,
) -> None:
    """Note at `path` what is known of an exchange under way, for `salvage`. Raises OSError."""
    facts = {
        "client": client,
        "url": url,
        "method": method,
        "started": started.isoformat(),
        "request_head": request_head.decode("latin-1"),
        "response_head": response_head.decode("latin-1"),
        "ip": ip,
        "layer": layer,
    }
    append(path, json.dumps(facts).encode("ascii") + b"\n")


def salvage(folder: Path, client: str = "") -> Iterator[Exchange]:
    """The exchanges that a process left in `folder` when it was killed, each cut short unless all of it is there.

    They are of `client`, if that is known, whatever their notes say. What has no note that can be read,
    or is no plain file, is left where it is. Raises OSError.
    """
    for path in sorted(path for path in folder.glob("*.note") if _NOTE.fullmatch(path.name)):
        try:
            exchange = _noted(path, client)
        except (OSError, ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError) as error:
            log.warning("%s stays where it is: %s", path, error)
            continue
        body, head = exchange.response_body, exchange.response_head
        decoded = exchange.layer is Layer.CDP_DECODED  # its framing says nothing of it
        if exchange.frames is not None:
            exchange = replace(exchange, error=_KILLED)
        elif decoded or not (head and _is_whole(parse_head(head), exchange.method, body)):
            body = replace(body, state=BodyState.TRUNCATED if body.size else BodyState.ABSENT, why=_KILLED)
            exchange = replace(exchange, response_body=body, error=_KILLED)
        yield exchange


def _noted(path: Path, client: str) -> Exchange:
    """The exchange of a note, as far as it came. A child may have written it: raises what `salvage` catches."""
    with open_spooled(path) as stream:
        lines = stream.read(_NOTE_MAX).split(b"\n")[:-1]  # what follows the last line end is torn
    note = json.loads(lines[-1])
    url, facts = note["url"], note.values()
    "".join(facts).encode("utf-8")  # text, and such as UTF-8 can hold
    urlsplit(url)
    head = note["response_head"].encode("latin-1")
    frames = _left(path.with_suffix(".frames"))  # of a WebSocket, which has no body
    return Exchange(
        client=client or note["client"],
        url=url,
        method=note["method"],
        started=datetime.fromisoformat(note["started"]).astimezone(UTC),
        request_head=note["request_head"].encode("latin-1"),
        response_head=head,
        response_body=_left(path.with_suffix(".body" if head else ".head")),
        request_body=_left(path.with_suffix(".sent")),
        layer=Layer(note["layer"]),
        frames=replace(frames, state=BodyState.TRUNCATED, why=_KILLED) if frames.size else None,
        network=Network(ip=note["ip"]),
        note=path,
    )


def _left(path: Path) -> Body:
    try:
        with open_spooled(path) as stream:
            return Body(os.fstat(stream.fileno()).st_size, path=path)
    except FileNotFoundError:
        return Body(0, data=b"")


def _is_whole(head: Head, method: str, body: Body) -> bool:
    """Whether the head's framing says that the body is all that was to come."""
    if not head.has_body(method) or not head.chunked:
        return not head.has_body(method) or head.length == body.size
    chunks = Dechunker()
    try:
        with open_spooled(body.path) if body.path else BytesIO() as stream:
            while data := stream.read(_READ):
                deque(chunks.feed(data), maxlen=0)
    except UndecodableError:
        return False
    return chunks.ended


def open_spooled(path: Path) -> BinaryIO:
    """Open a file that a child may have written: never through a link, and only a plain file. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(file, "rb", buffering=0)


@contextmanager
def open_folder(path: Path | str, inside: int | None = None) -> Iterator[int]:
    """A descriptor of a folder, `inside` that of another, which a child may have replaced by a link. Raises OSError then."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=inside)
    try:
        yield folder
    finally:
        os.close(folder)


def check_folders(workdir: Path) -> None:
    """Raises OSError when the folder of a child that is dead, or what it made in it, is a link or a file by now."""
    for folder in (workdir, workdir / "files", workdir / "spool"):
        with suppress(FileNotFoundError), open_folder(folder):
            pass


def remove_spooled(path: Path) -> None:
    """Remove every file of an exchange, given one of them. The note goes last: it names the others."""
    for suffix in (".head", ".body", ".sent", ".frames", ".note"):
        path.with_suffix(suffix).unlink(missing_ok=True)
