"""The one sink: every tap's exchanges, and what was made of them, into one WARC/1.1 file with its index.

    <path>          WARC records, one gzip member each (docs/formats/warc.md shows them)
    <path>.index    one JSON line per record (pipelines/record/index.py shows it)

A record is written once its block is at rest with its digests, so a header never has to be corrected.
A record that fails halfway (a full disk) is cut off again: the file ends with a whole member at any time.
"""

from __future__ import annotations

import hashlib
import json
import re
import string
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from warcio.timeutils import datetime_to_iso_date

from evidence.digests import CHUNK, Digests, digest_file
from pipelines.record.exchange import Body, BodyState, Exchange
from pipelines.record.facts import facts_of, pem_chain
from pipelines.record.heads import Head, is_response, parse_head
from pipelines.record.index import INDEXED, encode_line, facts_of_head, index_path, read_index
from pipelines.record.spool import BodySpool, SpooledBody, remove_spooled
from pipelines.record.warcfile import STORED, TEXT, Block, RecordWriter, WarcFile, trim_torn_tail

_TEXT_TYPE: Final = re.compile(
    r"text/|application/(?:.*\+)?(?:json|xml|javascript|ecmascript|x-javascript|x-www-form-urlencoded|warc-fields|"
    r"dash\+xml|x-mpegurl|vnd\.apple\.mpegurl|pem-certificate-chain|wasm)|image/svg|font/(?:ttf|otf)|audio/mpegurl"
)
_TRUNCATIONS: Final = ("length", "time", "disconnect")
"""WARC 1.1 §5.13: a body's `why` that begins with one of these words gives the header its value."""

__all__ = ["RecordRef", "WarcSink", "trim_torn_tail"]

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RecordRef:
    """Where one record lies: its id (`<urn:uuid:…>`), byte offset and length of its gzip member."""

    id: str
    offset: int
    length: int
    type: str
    target_uri: str


class WarcSink:
    """Writes one WARC. Safe for several threads; `close` makes it durable."""

    def __init__(
        self,
        path: Path,
        *,
        spool: Path,
        capture_id: str,
        warcinfo: Mapping[str, str] | None = None,
        warcinfo_id: str = "",
    ) -> None:
        """Create `path` for the capture with that ULID, or go on behind the whole records that it holds.

        With `warcinfo` the file is whole: it begins with a warcinfo record and its digests are taken
        as it grows. With `warcinfo_id` it is a part, to be appended to the file that holds that record.
        """
        self.path, self.spool_folder, self.capture_id = path, spool, capture_id
        self.records: list[RecordRef] = []
        self.digests: Digests | None = None
        """Of the whole file, after `close`; None for a part."""
        self._whole = warcinfo is not None
        self._file = WarcFile(path, digest=self._whole)
        self._writer = RecordWriter(self._file)
        held = read_index(path)
        self._index = index_path(path).open("wb", buffering=0)
        self._lock = threading.RLock()
        self._chains: dict[tuple[str, str], str] = {}
        for line in held:
            self._file_record(line)
        first = self.records[0].id if self.records else ""
        self.warcinfo_id = warcinfo_id or first or self._write_warcinfo(warcinfo or {})

    def spool(
        self, head: bytes, *, content: bool = False, note: Mapping[str, Any] | None = None
    ) -> BodySpool:
        """A place for a body that arrives under `head`; hand its closed form to `write_exchange`."""
        return BodySpool(self.spool_folder, head, content=content, note=note)

    def write_exchange(self, exchange: Exchange) -> tuple[RecordRef | None, RecordRef | None]:
        """Write response, request and network facts; gives (request, response), None where there was none.

        Spool files of its bodies are removed afterwards. Raises OSError.
        """
        with self._lock:
            response = self._write_response(exchange)
            request = self._write_request(exchange, response)
            beside = response or request
            chain = self._write_chain(exchange, beside)
            self._write_facts(exchange, beside, chain)
        for body in (exchange.response_body, exchange.request_body):
            if body is not None and body.path is not None:
                remove_spooled(body.path)
        return request, response

    def write_resource(
        self, name: str, content_type: str, data: bytes | Path, *, sha256: str = ""
    ) -> RecordRef:
        """A file of ours: `name` is a URI, or becomes `urn:akashi:<capture>:<name>`. Raises OSError.

        `sha256` of `data`, where the caller has it, spares a reading.
        """
        return self._write_made("resource", name, content_type, data, [], sha256)

    def write_conversion(
        self,
        name: str,
        content_type: str,
        data: bytes | Path,
        *,
        of: RecordRef,
        sha256: str = "",
    ) -> RecordRef:
        """A derivative of the record `of`. Raises OSError."""
        return self._write_made("conversion", name, content_type, data, [("WARC-Refers-To", of.id)], sha256)

    def append_part(self, path: Path) -> list[RecordRef]:
        """Copy a finished part behind what is written, with its index; gives its records. Raises OSError.

        The part's tail must be whole: `trim_torn_tail` first where its writer was killed.
        """
        with self._lock:
            lines = read_index(path)
            shift = self._file.offset
            try:
                with path.open("rb", buffering=0) as part:
                    while data := part.read(CHUNK):
                        self._file.write(data)
            except OSError:
                self._file.truncate(shift)
                raise
            return [self._file_record({**line, "offset": line["offset"] + shift}) for line in lines]

    def close(self) -> Digests | None:
        """Make the file durable (fsync, unless it is a part) and give its digests. Raises OSError."""
        with self._lock:
            digests = self._file.close(sync=self._whole)
            self._index.close()
            if self._whole:
                self.digests = digests or digest_file(self.path)
            return self.digests

    def _write_warcinfo(self, fields: Mapping[str, str]) -> str:
        flat = {name: " ".join(str(value).split()) for name, value in fields.items()}
        record = self._writer.create_warcinfo_record(self.path.name, flat)
        return self._write(record, record.raw_stream.read(), None, {}).id

    def _write_response(self, exchange: Exchange) -> RecordRef | None:
        if not is_response(exchange.response_head):
            if exchange.response_head or exchange.response_body.size:
                self._write_unparsed(exchange)
            return None
        body, head = exchange.response_body, parse_head(exchange.response_head)
        network = exchange.network
        more: Headers = [
            ("WARC-Protocol", protocol) for protocol in (network.protocol, network.tls) if protocol
        ]
        more += [("WARC-Cipher-Suite", network.cipher)] if network.cipher else []
        if body.state in {BodyState.TRUNCATED, BodyState.ABSENT}:
            word = body.why.partition(":")[0]
            more.append(("WARC-Truncated", word if word in _TRUNCATIONS else "unspecified"))
        return self._write_message("response", exchange, exchange.response_head, body, head, more)

    def _write_request(self, exchange: Exchange, response: RecordRef | None) -> RecordRef | None:
        if not exchange.request_head:
            return None
        more: Headers = [("WARC-Concurrent-To", response.id)] if response else []
        body = exchange.request_body or Body(0)
        return self._write_message(
            "request", exchange, exchange.request_head, body, parse_head(exchange.request_head), more
        )

    def _write_message(
        self, kind: str, exchange: Exchange, head_bytes: bytes, body: Body, head: Head, more: Headers
    ) -> RecordRef:
        block, payload = _digests_of(head_bytes, body)
        if exchange.network.ip:
            more = [*more, ("WARC-IP-Address", exchange.network.ip)]
        record = self._record(kind, exchange.url, f"application/http; msgtype={kind}", exchange.started, more)
        record.rec_headers.add_header("WARC-Payload-Digest", f"sha256:{payload}")
        record.rec_headers.add_header("WARC-Block-Digest", f"sha256:{block}")
        facts: dict[str, Any] = {
            "client": exchange.client,
            "layer": exchange.layer,
            "method": exchange.method,
            **facts_of_head(head),
            "payload": payload,
            "state": body.state,
            **{INDEXED[name]: value for name, value in more if name in INDEXED},
        }
        if isinstance(body, SpooledBody) and body.content_sha256:
            facts |= {"content": body.content_sha256, "content_size": body.content_size}
        encoded = bool(head.encodings) and body.state is not BodyState.DECODED
        level = STORED if body.size and (encoded or not _TEXT_TYPE.match(head.mime)) else TEXT
        return self._write(record, head_bytes, body, facts, level)

    def _write_unparsed(self, exchange: Exchange) -> None:
        """Bytes that came where a status line was due: kept, but not as a response."""
        body = exchange.response_body
        block, _ = _digests_of(exchange.response_head, body)
        record = self._record(
            "resource", f"urn:akashi:{self.capture_id}:not-http:{uuid.uuid4()}", "application/octet-stream",
            exchange.started, [],
        )  # fmt: skip
        record.rec_headers.add_header("WARC-Block-Digest", f"sha256:{block}")
        facts = {"client": exchange.client, "mime": "application/octet-stream"}
        self._write(record, exchange.response_head, body, facts, STORED)

    def _write_chain(self, exchange: Exchange, beside: RecordRef | None) -> str:
        """The certificates as sent, once per (host, leaf); gives the record's id."""
        chain = exchange.network.chain
        if not chain or beside is None:
            return ""
        host = re.sub(r"^[a-z]+://([^/?#]*).*$", r"\1", exchange.url, flags=re.DOTALL)
        key = (host, hashlib.sha256(chain[0]).hexdigest())
        if key not in self._chains:
            pem = pem_chain(chain)
            self._chains[key] = self._write_beside(
                exchange, beside, "application/pem-certificate-chain", pem
            ).id
        return self._chains[key]

    def _write_facts(self, exchange: Exchange, beside: RecordRef | None, chain: str) -> None:
        facts = json.dumps(
            facts_of(exchange, chain), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        self._write_beside(exchange, beside, "application/json", facts.encode("utf-8"))

    def _write_beside(
        self, exchange: Exchange, beside: RecordRef | None, content_type: str, data: bytes
    ) -> RecordRef:
        more: Headers = [("WARC-Concurrent-To", beside.id)] if beside else []
        record = self._record("metadata", exchange.url, content_type, exchange.started, more)
        record.rec_headers.add_header("WARC-Block-Digest", f"sha256:{hashlib.sha256(data).hexdigest()}")
        return self._write(record, data, None, {"client": exchange.client, "mime": content_type})

    def _write_made(
        self,
        kind: str,
        name: str,
        content_type: str,
        data: bytes | Path,
        more: Headers,
        sha256: str,
    ) -> RecordRef:
        uri = name if ":" in name else f"urn:akashi:{self.capture_id}:{name}"
        path = data if isinstance(data, Path) else None
        size = path.stat().st_size if path else len(data) if isinstance(data, bytes) else 0
        body = Body(size, data=data if isinstance(data, bytes) else None, path=path)
        block = sha256 or _digests_of(b"", body)[0]
        with self._lock:
            record = self._record(kind, uri, content_type, datetime.now(UTC), more)
            record.rec_headers.add_header("WARC-Block-Digest", f"sha256:{block}")
            level = TEXT if _TEXT_TYPE.match(content_type) else STORED
            return self._write(record, b"", body, {"mime": content_type}, level)

    def _record(self, kind: str, uri: str, content_type: str, moment: datetime, more: Headers) -> Any:
        date = datetime_to_iso_date(moment.astimezone(UTC).replace(tzinfo=None), use_micros=True)
        first = {"WARC-Type": kind, "WARC-Date": date, "WARC-Warcinfo-ID": self.warcinfo_id}
        record = self._writer.create_warc_record(
            _safe_uri(uri), kind, warc_headers_dict=first, warc_content_type=_one_line(content_type)
        )
        for name, value in more:
            record.rec_headers.add_header(name, _one_line(value))
        return record

    def _write(
        self, record: Any, head: bytes, body: Body | None, facts: Mapping[str, Any], level: int = TEXT
    ) -> RecordRef:
        headers = record.rec_headers
        if headers.get_header("WARC-Block-Digest") is None:
            headers.add_header("WARC-Block-Digest", f"sha256:{hashlib.sha256(head).hexdigest()}")
        offset, size = self._file.offset, len(head) + (body.size if body else 0)
        rest = (body.path or body.data) if body else None
        try:
            self._writer.write(record, Block(head, rest), size, level)
        except OSError:
            self._file.truncate(offset)
            raise
        return self._file_record(
            {
                "id": headers.get_header("WARC-Record-ID"),
                "offset": offset,
                "length": self._file.offset - offset,
                "type": record.rec_type,
                "uri": headers.get_header("WARC-Target-URI") or "",
                "date": headers.get_header("WARC-Date"),
                "size": size,
                "block": headers.get_header("WARC-Block-Digest").removeprefix("sha256:"),
                **facts,
            }
        )

    def _file_record(self, line: Mapping[str, Any]) -> RecordRef:
        self._index.write(encode_line(line))
        ref = RecordRef(line["id"], line["offset"], line["length"], line["type"], line["uri"])
        self.records.append(ref)
        return ref


def _digests_of(head: bytes, body: Body) -> tuple[str, str]:
    """(block, payload) in hex: as taken in flight where they cover just these bytes, else by reading."""
    if isinstance(body, SpooledBody) and body.head == head:
        return body.block_sha256, body.payload_sha256
    block, payload = hashlib.sha256(head), hashlib.sha256()
    stream = Block(b"", body.path or body.data)
    while data := stream.read(CHUNK):
        block.update(data)
        payload.update(data)
    return block.hexdigest(), payload.hexdigest()


def _safe_uri(uri: str) -> str:
    """A target URI that cannot break its header line: spaces, controls and non-ASCII percent-encoded."""
    return quote(uri, safe=string.punctuation)


def _one_line(value: str) -> str:
    return "".join(c for c in value if c.isprintable())
