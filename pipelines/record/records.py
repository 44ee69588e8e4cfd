"""Writing one record after another: headers and ids by warcio, each record filed in the index.

A record is written once its block is at rest with its digests, so a header never has to be corrected.
One that fails halfway (a full disk) is cut off again: the file ends with a whole member at any time.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from warcio.timeutils import datetime_to_iso_date

from evidence.digests import Digests, digest_file
from pipelines.record.exchange import Body
from pipelines.record.index import encode_line, index_path, read_index
from pipelines.record.spool import SpooledBody, open_spooled
from pipelines.record.warcfile import TEXT, Block, RecordWriter, WarcFile

_READ: Final = 1 << 18

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RecordRef:
    """Where one record lies: its id (`<urn:uuid:…>`), byte offset and length of its gzip member."""

    id: str
    offset: int
    length: int
    type: str
    target_uri: str


@dataclass(frozen=True, slots=True)
class Content:
    """A record's block: `head`, then `body`; its digests in hex."""

    head: bytes
    body: Body
    sha256: str
    payload_sha256: str = ""
    """Of the body alone; given for HTTP messages."""

    @classmethod
    def of(cls, head: bytes, body: Body) -> Content:
        """Digests as taken in flight where they cover just these bytes, else by reading. Raises OSError."""
        if isinstance(body, SpooledBody) and body.head == head:
            return cls(head, body, body.block_sha256, body.payload_sha256)
        block, payload = hashlib.sha256(head), hashlib.sha256()
        stream = _block(b"", body)
        while data := stream.read(_READ):
            block.update(data)
            payload.update(data)
        return cls(head, body, block.hexdigest(), payload.hexdigest())

    def as_block(self) -> Content:
        """The same where no part of it is a payload."""
        return replace(self, payload_sha256="")

    @classmethod
    def of_bytes(cls, data: bytes) -> Content:
        """Bytes in memory."""
        return cls(b"", Body(len(data), data=data), hashlib.sha256(data).hexdigest())


class RecordFile:
    """A WARC with its index, being written or taken up again."""

    def __init__(self, path: Path, warcinfo: Mapping[str, str]) -> None:
        """Create `path` with a warcinfo record, or go on behind its whole records. Raises OSError."""
        self.path = path
        self.records: list[RecordRef] = []
        self._file = WarcFile(path)
        self._writer = RecordWriter(self._file)
        held = read_index(path)
        self._index = index_path(path).open("wb", buffering=0)
        for line in held:
            self._enter(line)
        self.warcinfo_id = self.records[0].id if self.records else self._write_warcinfo(warcinfo)

    def write(
        self,
        kind: str,
        uri: str,
        content_type: str,
        content: Content,
        *,
        moment: datetime,
        level: int,
        headers: Headers = (),
        facts: Mapping[str, Any] | None = None,
    ) -> RecordRef:
        """Write one record; `facts` go to its index line. Raises OSError, and leaves nothing then."""
        date = datetime_to_iso_date(moment.astimezone(UTC).replace(tzinfo=None), use_micros=True)
        first = {"WARC-Type": kind, "WARC-Date": date, "WARC-Warcinfo-ID": self.warcinfo_id}
        record = self._writer.create_warc_record(
            _safe_uri(uri), kind, warc_headers_dict=first, warc_content_type=_one_line(content_type)
        )
        for name, value in headers:
            record.rec_headers.add_header(name, _one_line(value))
        if content.payload_sha256:
            record.rec_headers.add_header("WARC-Payload-Digest", f"sha256:{content.payload_sha256}")
        return self._write(record, content, level, facts or {})

    def close(self) -> Digests:
        """Make the file durable and give its digests. Raises OSError."""
        digests = self._file.close()
        self._index.close()
        return digests or digest_file(self.path)

    def _write_warcinfo(self, fields: Mapping[str, str]) -> str:
        flat = {name: _one_line(" ".join(str(value).split())) for name, value in fields.items()}
        record = self._writer.create_warcinfo_record(self.path.name, flat)
        return self._write(record, Content.of_bytes(record.raw_stream.read()), TEXT, {}).id

    def _write(self, record: Any, content: Content, level: int, facts: Mapping[str, Any]) -> RecordRef:
        headers = record.rec_headers
        headers.add_header("WARC-Block-Digest", f"sha256:{content.sha256}")
        offset, size = self._file.offset, len(content.head) + content.body.size
        try:
            self._writer.write(record, _block(content.head, content.body), size, level)
        except OSError:
            self._file.truncate(offset)
            raise
        return self._enter(
            {
                "id": headers.get_header("WARC-Record-ID"),
                "offset": offset,
                "length": self._file.offset - offset,
                "type": record.rec_type,
                "uri": headers.get_header("WARC-Target-URI") or "",
                "date": headers.get_header("WARC-Date"),
                "size": size,
                "block": content.sha256,
                "mime": record.content_type,
                **facts,
            }
        )

    def _enter(self, line: Mapping[str, Any]) -> RecordRef:
        self._index.write(encode_line(line))
        ref = RecordRef(line["id"], line["offset"], line["length"], line["type"], line["uri"])
        self.records.append(ref)
        return ref


def _block(head: bytes, body: Body) -> Block:
    return Block(head, open_spooled(body.path) if body.path else body.data)


def _safe_uri(uri: str) -> str:
    """A target URI that cannot break its header line: spaces, controls and non-ASCII percent-encoded."""
    return quote(uri, safe=string.punctuation)


def _one_line(value: str) -> str:
    return "".join(c for c in value if c.isprintable())
