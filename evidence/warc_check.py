r"""A WARC file (ISO 28500:2017, WARC/1.1) read strictly, record by record, in constant memory.

    one gzip member a record, nothing between them, nothing after the last (evidence/gzip_member.py)
    WARC/1.1\r\n
    WARC-Type: response\r\n
    WARC-Block-Digest: sha256:<64 hex>\r\n       on every record, and right
    WARC-Payload-Digest: sha256:<64 hex>\r\n     right where present: of what follows the HTTP head
    …\r\n
    \r\n
    <Content-Length bytes>\r\n\r\n               and the member ends

This proves a file well-formed to its end and its records undamaged. It does not prove that no
record was dropped or replaced: that is what the file's own digest in the manifest is for.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from evidence.errors import WarcError
from evidence.gzip_member import PIECE, DefectError, RawReader, Readable, open_member

TYPES: Final = frozenset({"warcinfo", "request", "response", "resource", "metadata", "conversion"})
"""No `revisit`: each capture holds its own bytes. No `continuation`: records are never split."""
MAX_HEADER: Final = 1 << 20
"""Bytes of a record's header, and of an HTTP head."""

_REPEATABLE: Final = frozenset({"warc-concurrent-to", "warc-protocol"})
_FIELD: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\r\n\x00]*)")
_FORMS: Final = {
    "warc-type": re.compile("|".join(sorted(TYPES))),
    "warc-record-id": re.compile(r"<urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}>"),
    "warc-date": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII),
    "content-length": re.compile(r"0|[1-9][0-9]{0,17}"),
    "warc-block-digest": re.compile(r"sha256:[0-9a-f]{64}"),
}
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class RecordSpan:
    """One sound record: where its gzip member lies in the file, and what its header says."""

    offset: int
    length: int
    headers: tuple[tuple[str, str], ...]
    encoded: bool
    """Whether an HTTP head names a transfer or content coding, so that payload and content differ."""

    def header(self, name: str) -> str:
        """A header's value, the first if repeated; empty if it is not there. Names in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    @property
    def record_id(self) -> str:
        """`<urn:uuid:…>`."""
        return self.header("WARC-Record-ID")

    @property
    def payload_digest(self) -> str:
        """64 hexadecimal digits, empty where there is none."""
        return self.header("WARC-Payload-Digest").removeprefix("sha256:")


def read_warc(stream: Readable, offset: int = 0) -> Iterator[RecordSpan]:
    """Every record of a file whose `offset` the stream stands at, each checked before it is yielded.

    Raises WarcError at the first defect: its rule, the record's offset, and its length where the
    member itself is sound (None after a gzip-… rule).
    """
    raw = RawReader(stream, offset)
    seen: set[str] = set()
    while raw.peek():
        span = _read_record(raw)
        if span.record_id in seen:
            what = f"a second record {span.record_id}"
            raise WarcError(what, rule="warc-record-id", offset=span.offset, length=span.length)
        seen.add(span.record_id)
        yield span
    if not seen:
        raise WarcError("a file without records", rule="warc-empty", offset=offset, length=0)


def extract_payload(stream: Readable) -> Iterator[bytes]:
    """The payload of the record at which the stream stands, as it was stored.

    Of `request` and `response`: what follows the HTTP head, transfer and content codings included;
    of all others: the block. Raises WarcError for a record that is not sound, a damaged block at its end.
    """
    try:
        record = _Record(open_member(RawReader(stream)))
        yield from record.payload()
        record.finish()
    except DefectError as error:
        raise WarcError(str(error), rule=error.rule, offset=0) from error


def _read_record(raw: RawReader) -> RecordSpan:
    offset = raw.offset
    try:
        content = open_member(raw)
        try:
            record = _Record(content)
            for _ in record.payload():
                pass
            record.finish()
        except DefectError as defect:
            if defect.rule.startswith("gzip-"):
                raise
            while content.read(PIECE):  # damage shows as a wrong check sum; a sound member was made so
                pass
            length = raw.offset - offset
            raise WarcError(str(defect), rule=defect.rule, offset=offset, length=length) from defect
    except DefectError as error:
        raise WarcError(str(error), rule=error.rule, offset=offset) from error
    return RecordSpan(offset, raw.offset - offset, record.headers, record.encoded())


class _Record:
    """One record under way: header, then HTTP head, then payload, then the end. Raises DefectError."""

    def __init__(self, content: io.BufferedReader) -> None:
        self._content = content
        self.headers = tuple(_header_fields(content))
        self._by_name = {name.lower(): value for name, value in self.headers}
        for name, form in _FORMS.items():
            if not form.fullmatch(self._by_name.get(name, "")):
                raise DefectError("warc-header", f"{name} is missing or malformed")
        is_http = self._by_name.get("content-type", "").startswith("application/http")
        self._left = int(self._by_name["content-length"])
        self._block = hashlib.sha256()
        self._payload = hashlib.sha256()
        self.head = self._http_head() if is_http else b""

    def payload(self) -> Iterator[bytes]:
        """What follows the HTTP head, or the whole block, as it was stored."""
        while self._left:
            data = self._content.read(min(self._left, PIECE))
            if not data:
                raise DefectError("warc-length", f"the block ends {self._left} bytes before Content-Length")
            self._block.update(data)
            self._payload.update(data)
            self._left -= len(data)
            yield data

    def finish(self) -> None:
        """Check what follows the block, and both digests."""
        if self._content.read(len(_END) + 1) != _END:
            raise DefectError("warc-end", "the record does not end in CRLF CRLF behind Content-Length bytes")
        if self._by_name["warc-block-digest"] != f"sha256:{self._block.hexdigest()}":
            raise DefectError("block-digest", "the block has not the digest that its header names")
        named = self._by_name.get("warc-payload-digest")
        if named is not None and named != f"sha256:{self._payload.hexdigest()}":
            raise DefectError("payload-digest", "the payload has not the digest that its header names")

    def encoded(self) -> bool:
        """Whether the HTTP head names a transfer or content coding."""
        return bool(self._http_field(b"transfer-encoding") or self._http_field(b"content-encoding"))

    def _http_head(self) -> bytes:
        head = b""
        while self._left and not head.endswith((b"\n\r\n", b"\n\n")) and head not in {b"\r\n", b"\n"}:
            line = self._content.readline(min(self._left, PIECE))
            if not line or len(head) > MAX_HEADER:
                raise DefectError("warc-length", "the HTTP head ends behind Content-Length, or never")
            self._block.update(line)
            self._left -= len(line)
            head += line
        return head

    def _http_field(self, name: bytes) -> bytes:
        values = (line.partition(b":") for line in self.head.lower().splitlines()[1:])
        return b",".join(value.strip() for key, _, value in values if key.strip() == name)


def _header_fields(content: io.BufferedReader) -> Iterator[tuple[str, str]]:
    if content.readline(64) != b"WARC/1.1\r\n":
        raise DefectError("warc-version", "the record does not begin with WARC/1.1")
    seen: set[str] = set()
    size = 0
    while (line := content.readline(MAX_HEADER)) != b"\r\n":
        size += len(line)
        if not line.endswith(b"\r\n") or size > MAX_HEADER:
            raise DefectError("warc-header", "a header line does not end in CRLF, or the header never ends")
        try:
            field = _FIELD.fullmatch(line[:-2].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise DefectError("warc-header", "a header is not UTF-8") from error
        if field is None:
            raise DefectError("warc-header", f"no header line: {line[:64]!r}")
        name = field[1].lower()
        if name in seen - _REPEATABLE:
            raise DefectError("warc-header", f"{field[1]} stands twice")
        seen.add(name)
        yield field[1], field[2]
