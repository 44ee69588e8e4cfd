"""Writing one record after another: headers and ids by warcio, each record filed in the index.

A record is written once its block is at rest with its digests, so a header never has to be corrected.
One that fails halfway (a full disk) is cut off again: the file ends with a whole member at any time.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote

from warcio.timeutils import datetime_to_iso_date

from evidence.digests import Digests, digest_file
from pipelines.record.exchange import Body
from pipelines.record.index import HTTP, encode_line, index_path, line_of, read_index
from pipelines.record.spool import SpooledBody, open_spooled
from pipelines.record.warcfile import TEXT, RecordWriter, WarcFile

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


class RecordFile:
    """A WARC with its index, being written or taken up again."""

    def __init__(self, path: Path, warcinfo: Mapping[str, str]) -> None:
        """Create `path` with a warcinfo record, or go on behind its whole records. Raises OSError."""
        self.path = path
        self.records: list[RecordRef] = []
        self._file = WarcFile(path)
        self._writer = RecordWriter(self._file)
        held = read_index(path)
        self._index = WarcFile(index_path(path))
        self._index.truncate(0)
        for line in held:
            self._enter(line)
        self._held = {ref.id: ref for ref in self.records}
        if not held:
            flat = {name: _one_line(value) for name, value in warcinfo.items()}
            record = self._writer.create_warcinfo_record(path.name, flat)
            self._write(record, record.raw_stream.read(), Body(0), TEXT, {})

    def write(
        self,
        kind: str,
        uri: str,
        content_type: str,
        head: bytes,
        body: Body,
        *,
        moment: datetime,
        level: int,
        headers: Headers = (),
        facts: Mapping[str, Any] | None = None,
        record_id: str = "",
    ) -> RecordRef:
        """Write one record with `head` and `body` as its block; `facts` go to its index line.

        One that a process wrote under this id before it died is not written again. Raises OSError, and
        leaves nothing then.
        """
        if record_id in self._held:
            return self._held[record_id]
        date = datetime_to_iso_date(moment.astimezone(UTC).replace(tzinfo=None), use_micros=True)
        first = {"WARC-Type": kind, "WARC-Date": date, "WARC-Warcinfo-ID": self.records[0].id}
        if record_id:
            first["WARC-Record-ID"] = record_id
        record = self._writer.create_warc_record(
            quote(uri, safe=string.punctuation),  # it cannot break its header line
            kind,
            warc_headers_dict=first,
            warc_content_type=_one_line(content_type),
        )
        for name, value in headers:
            record.rec_headers.add_header(name, _one_line(value))
        return self._write(record, head, body, level, facts or {})

    def close(self) -> Digests:
        """Make the file durable and give its digests, of the file as it lies there now. Raises OSError."""
        self._file.close()
        self._index.close()
        return digest_file(self.path)

    def _write(self, record: Any, head: bytes, body: Body, level: int, facts: Mapping[str, Any]) -> RecordRef:
        block, payload = _digests(head, body)
        if record.rec_type in HTTP:
            record.rec_headers.add_header("WARC-Payload-Digest", f"sha256:{payload}")
        record.rec_headers.add_header("WARC-Block-Digest", f"sha256:{block}")
        offset, filed = self._file.offset, self._index.offset
        try:
            with _open(body) as stream:
                self._writer.write(record, head, stream, len(head) + body.size, level)
            line = line_of(record, offset, self._file.offset - offset, head)
            return self._enter({**line, **facts})
        except BaseException:  # a record that could not be filed goes too: the manifest counts what is filed
            self._file.truncate(offset)
            self._index.truncate(filed)
            raise

    def _enter(self, line: Mapping[str, Any]) -> RecordRef:
        self._index.write(encode_line(line))
        ref = RecordRef(line["id"], line["offset"], line["length"], line["type"], line["uri"])
        self.records.append(ref)
        return ref


def _digests(head: bytes, body: Body) -> tuple[str, str]:
    """SHA-256 of block and payload: as taken in flight where they cover just these bytes, else by reading."""
    if isinstance(body, SpooledBody) and body.head == head:
        return body.block_sha256, body.payload_sha256
    block, payload = hashlib.sha256(head), hashlib.sha256()
    with _open(body) as stream:
        while data := stream.read(_READ):
            block.update(data)
            payload.update(data)
    return block.hexdigest(), payload.hexdigest()


def _open(body: Body) -> BinaryIO:
    return open_spooled(body.path) if body.path else BytesIO(body.data or b"")


def _one_line(value: str) -> str:
    return "".join(c for c in " ".join(value.split()) if c.isprintable())
