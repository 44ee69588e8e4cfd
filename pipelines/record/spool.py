"""Where a body rests while it arrives: 1 MiB in memory, then a named file that survives a kill.

    <folder>/<32 hex>.body     the payload's bytes so far, as received
    <folder>/<32 hex>.json     the note of its exchange: {client, url, method, started, request_head,
                               response_head, ip}, heads in Latin-1; what `salvage` reads after kill -9

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
from pipelines.record.exchange import Body, BodyState, Exchange, Network
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


class BodySpool:
    """Takes one body as it arrives: `write` each piece, then `close` it."""

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
        self._folder, self._head, self._note, self._memory = folder, head, note, memory
        self._payload = hashlib.sha256()
        self._block = hashlib.sha256(head)
        self._content = hashlib.sha256()
        self._content_size = 0
        self._batch = memoryview(bytearray(_BATCH))
        self._filled = 0
        self._held = bytearray()
        self._file: BinaryIO | None = None
        self._path: Path | None = None
        self._written = 0
        self._parsed = parse_head(head)
        self._decoder: ContentDecoder | None = None
        if content or self._parsed.chunked:
            try:
                self._decoder = ContentDecoder(self._parsed)
            except UndecodableError:
                self._decoder = None

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._written + self._filled

    @property
    def complete(self) -> bool:
        """Whether the head's framing says that the body is whole; False where only the close can tell."""
        if self._parsed.chunked:
            self._flush()
            return bool(self._decoder and self._decoder.chunks and self._decoder.chunks.ended)
        return self._parsed.length is not None and self.size >= self._parsed.length

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Raises OSError when the disk is full."""
        view = memoryview(chunk)
        if len(view) == _BATCH and not self._filled:
            self._keep(view)  # as it is
            return
        while view:
            piece = view[: _BATCH - self._filled]
            self._batch[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == _BATCH:
                self._flush()

    def close(self, state: BodyState = BodyState.AS_RECEIVED, why: str = "") -> SpooledBody:
        """The body at rest; `why` is required for every state but as-received."""
        self._flush()
        if self._file is not None:
            self._file.close()
        payload, content, content_size = self._payload.hexdigest(), "", 0
        if self._decoder is not None and self._decoder.identity:
            content, content_size = payload, self._written
        elif self._decoder is not None:
            content, content_size = self._content.hexdigest(), self._content_size
        return SpooledBody(
            size=self._written,
            data=None if self._path else bytes(self._held),
            path=self._path,
            state=state,
            why=why,
            head=self._head,
            block_sha256=self._block.hexdigest(),
            payload_sha256=payload,
            content_sha256=content,
            content_size=content_size,
        )

    def _flush(self) -> None:
        batch, self._filled = self._batch[: self._filled], 0
        self._keep(batch)

    def _keep(self, batch: memoryview) -> None:
        self._payload.update(batch)
        self._block.update(batch)
        if self._decoder is not None and not self._decoder.identity:
            self._decode(self._decoder, bytes(batch))
        self._written += len(batch)
        if self._file is None and self._written > self._memory:
            self._path = self._folder / f"{uuid.uuid4().hex}.body"
            self._path.with_suffix(".json").write_text(json.dumps(self._note), "utf-8")
            self._file = self._path.open("xb", buffering=0)
            self._file.write(self._held)
            self._held.clear()
        if self._file is None:
            self._held += batch
        else:
            self._file.write(batch)

    def _decode(self, decoder: ContentDecoder, data: bytes) -> None:
        try:
            for piece in decoder.feed(data):
                self._content.update(piece)
                self._content_size += len(piece)
        except UndecodableError:
            self._decoder = None


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
        size = path.stat(follow_symlinks=False).st_size
        if size == 0 or not path.with_suffix(".json").exists():
            continue
        with open_spooled(path.with_suffix(".json")) as stream:
            text = stream.read(_NOTE_MAX)
        try:
            note = json.loads(text)
            exchange = Exchange(
                client=note["client"],
                url=note["url"],
                method=note["method"],
                started=datetime.fromisoformat(note["started"]),
                request_head=note["request_head"].encode("latin-1"),
                response_head=note["response_head"].encode("latin-1"),
                response_body=Body(size, path=path, state=BodyState.TRUNCATED, why=_KILLED),
                network=Network(ip=note["ip"]),
                error=_KILLED,
            )
        except (ValueError, KeyError, TypeError):
            continue
        yield exchange


def open_spooled(path: Path) -> BinaryIO:
    """Open a file that a child may have written: never through a link, and only a plain file. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    stream = os.fdopen(os.open(path, flags), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return stream


def remove_spooled(path: Path) -> None:
    """Remove a spool file and its note."""
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
