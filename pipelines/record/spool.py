"""Where a body rests while it arrives: 1 MiB in memory, then a named file that survives a kill.

    <folder>/<32 hex>.body     the payload's bytes so far, as received
    <folder>/<32 hex>.json     the note of its exchange: {client, url, method, started, request_head,
                               response_head, network…}, heads in Latin-1; what `salvage` reads after kill -9

Every digest that the WARC needs is taken while the bytes pass, so no body is read again to be hashed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from pipelines.record.decoding import ContentDecoder, UndecodableError
from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.record.heads import parse_head

MEMORY: Final = 1 << 20
"""Bytes of one body that are held in memory before it goes to its file."""
_BATCH: Final = 1 << 18
"""Bytes gathered before they are hashed and written: sockets give 16 KiB at a time."""


_NOTE_MAX: Final = 4 << 20
_KILLED: Final = "disconnect: the recording process was killed"


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
    complete: bool = False
    """Whether the body's own framing (length or last chunk) says that it arrived whole."""


class BodySpool:
    """Takes one body as it arrives: `write` each piece, then `close` it, or `discard` it."""

    def __init__(
        self,
        folder: Path,
        head: bytes,
        *,
        content: bool = False,
        note: Mapping[str, Any] | None = None,
        memory: int = MEMORY,
    ) -> None:
        """Spool into `folder`; `content` also digests the decoded body; `note` lies beside the file."""
        self._memory = memory
        self._folder = folder
        self._head = head
        self._note = note
        self._payload = hashlib.sha256()
        self._block = hashlib.sha256(head)
        self._batch = memoryview(bytearray(_BATCH))
        self._filled = 0
        self._held = bytearray()
        self._file: BinaryIO | None = None
        self.path: Path | None = None
        self._written = 0
        self._parsed = parse_head(head)
        self._decoder: ContentDecoder | None = None
        self._content = hashlib.sha256()
        self._content_size = 0
        if content or self._parsed.chunked:
            self._start_decoding()

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._written + self._filled

    @property
    def complete(self) -> bool:
        """Whether the head's framing says that the body is whole; False where only the close can tell."""
        if self._parsed.chunked:
            self._flush()
            return self._decoder is not None and self._decoder.last_chunk_seen
        return self._parsed.length is not None and self.size >= self._parsed.length

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Raises OSError when the disk is full."""
        view = memoryview(chunk)
        while view:
            piece = view[: _BATCH - self._filled]
            self._batch[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == _BATCH:
                self._flush()

    def close(self, state: BodyState = BodyState.AS_RECEIVED, why: str = "") -> SpooledBody:
        """The body at rest; `why` is required for every state but as-received."""
        complete = self.complete
        self._flush()
        if self._file is not None:
            self._file.close()
        payload = self._payload.hexdigest()
        content, content_size = "", 0
        if self._decoder is not None:
            content_size = self._written if self._decoder.identity else self._content_size
            content = payload if self._decoder.identity else self._content.hexdigest()
        return SpooledBody(
            size=self._written,
            data=bytes(self._held) if self.path is None else None,
            path=self.path,
            state=state,
            why=why,
            head=self._head,
            block_sha256=self._block.hexdigest(),
            payload_sha256=payload,
            content_sha256=content,
            content_size=content_size,
            complete=complete,
        )

    def discard(self) -> None:
        """Give the bytes up and remove the file."""
        if self._file is not None:
            self._file.close()
        if self.path is not None:
            remove_spooled(self.path)

    def _start_decoding(self) -> None:
        try:
            self._decoder = ContentDecoder(self._parsed)
        except UndecodableError:
            self._decoder = None

    def _flush(self) -> None:
        if not self._filled:
            return
        batch, self._filled = self._batch[: self._filled], 0
        self._payload.update(batch)
        self._block.update(batch)
        if self._decoder is not None and not self._decoder.identity:
            self._decode(self._decoder, bytes(batch))
        self._written += len(batch)
        if self._file is None and self._written <= self._memory:
            self._held += batch
            return
        if self._file is None:
            self._file = self._open()
            self._file.write(self._held)
            self._held = bytearray()
        self._file.write(batch)

    def _decode(self, decoder: ContentDecoder, data: bytes) -> None:
        try:
            for piece in decoder.feed(data):
                self._content.update(piece)
                self._content_size += len(piece)
        except UndecodableError:
            self._decoder = None

    def _open(self) -> BinaryIO:
        self.path = self._folder / f"{uuid.uuid4().hex}.body"
        if self._note is not None:
            self.path.with_suffix(".json").write_text(json.dumps(self._note), "utf-8")
        return self.path.open("xb", buffering=0)


def note_of(
    *,
    client: str,
    url: str,
    method: str,
    started: datetime,
    request_head: bytes,
    response_head: bytes,
    ip: str,
) -> dict[str, Any]:
    """The note that lets `salvage` file a body whose process was killed."""
    return {
        "client": client,
        "url": url,
        "method": method,
        "started": started.isoformat(),
        "request_head": request_head.decode("latin-1"),
        "response_head": response_head.decode("latin-1"),
        "ip": ip,
    }


def salvage(folder: Path) -> Iterator[Exchange]:
    """The exchanges whose bodies were left in `folder` by a process that was killed, each cut short.

    What has no note that can be read is left where it is. Raises OSError.
    """
    for path in sorted(folder.glob("*.body")):
        note_path = path.with_suffix(".json")
        size = path.stat(follow_symlinks=False).st_size
        if size == 0 or not note_path.exists():
            continue
        with open_spooled(note_path) as stream:
            note = stream.read(_NOTE_MAX)
        try:
            yield _cut_short(json.loads(note), Body(size, path=path, state=BodyState.TRUNCATED, why=_KILLED))
        except (ValueError, KeyError, TypeError):
            continue


def _cut_short(note: Mapping[str, Any], body: Body) -> Exchange:
    return Exchange(
        client=note["client"],
        url=note["url"],
        method=note["method"],
        started=datetime.fromisoformat(note["started"]),
        request_head=note["request_head"].encode("latin-1"),
        response_head=note["response_head"].encode("latin-1"),
        response_body=body,
        layer=Layer.H1_BYTES,
        network=Network(ip=note["ip"]),
        error=_KILLED,
    )


def open_spooled(path: Path) -> BinaryIO:
    """Open a file that a child may have written: never through a link, and only a plain file. Raises OSError."""
    stream = os.fdopen(
        os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0
    )
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return stream


def remove_spooled(path: Path, *, keep: bool = False) -> None:
    """Remove a spool file and its note; with `keep` the note alone, since its exchange is written."""
    path.with_suffix(".json").unlink(missing_ok=True)
    if not keep:
        path.unlink(missing_ok=True)
