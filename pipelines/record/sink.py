"""The one sink: every tap's exchanges, and what was made of them, into one WARC/1.1 file with its index.

    <path>          WARC records, one gzip member each (docs/formats/warc.md shows them)
    <path>.index    one JSON line per record (pipelines/record/index.py shows it)

An exchange becomes a `response`, its `request`, the server's certificates as `metadata` once per
(host, leaf), and the network facts as `metadata`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from evidence.digests import Digests
from pipelines.record.exchange import Body, BodyState, Exchange
from pipelines.record.facts import facts_of, pem_chain
from pipelines.record.heads import is_response, parse_head
from pipelines.record.index import INDEXED, facts_of_head
from pipelines.record.records import Content, Headers, RecordFile, RecordRef
from pipelines.record.spool import BodySpool, SpooledBody, remove_spooled
from pipelines.record.warcfile import STORED, TEXT, trim_torn_tail

__all__ = ["RecordRef", "WarcSink", "trim_torn_tail"]

_TEXT_TYPE: Final = re.compile(
    r"text/|application/(?:.*\+)?(?:json|xml|javascript|ecmascript|x-javascript|x-www-form-urlencoded|"
    r"dash\+xml|x-mpegurl|vnd\.apple\.mpegurl|wasm)|image/svg|font/(?:ttf|otf)|audio/mpegurl"
)
_TRUNCATIONS: Final = ("length", "time", "disconnect")
"""WARC 1.1 §5.13: a body's `why` that begins with one of these words gives the header its value."""
_BINARY: Final = "application/octet-stream"


class WarcSink:
    """Writes one WARC. Safe for several threads; `close` makes it durable."""

    def __init__(self, path: Path, *, spool: Path, capture_id: str, warcinfo: Mapping[str, str]) -> None:
        """Create `path` for the capture with that ULID, or go on behind the whole records that it holds.

        `spool` is a folder for bodies on their way. Raises OSError.
        """
        self.path, self.spool_folder, self.capture_id = path, spool, capture_id
        self._file = RecordFile(path, warcinfo)
        self._lock = threading.RLock()
        self._chains: dict[tuple[str, str], str] = {}

    @property
    def records(self) -> list[RecordRef]:
        """Every record so far, in the file's order."""
        return self._file.records

    def spool(
        self, head: bytes, *, content: bool = False, note: Mapping[str, Any] | None = None
    ) -> BodySpool:
        """A place for a body that arrives under `head`; hand its closed form to `write_exchange`."""
        return BodySpool(self.spool_folder, head, content=content, note=note)

    def write_exchange(
        self, exchange: Exchange, *, keep_spool: bool = False
    ) -> tuple[RecordRef | None, RecordRef | None]:
        """Write response, request and network facts; gives (request, response), None where there was none.

        Spool files of its bodies are removed afterwards, but left to the caller with `keep_spool`.
        Raises OSError.
        """
        with self._lock:
            response = self._write_response(exchange)
            request = self._write_request(exchange, response)
            beside: Headers = [("WARC-Concurrent-To", ref.id) for ref in [response or request] if ref]
            chain = self._write_chain(exchange, beside)
            facts = json.dumps(facts_of(exchange, chain), sort_keys=True, separators=(",", ":"))
            self._write_beside(exchange, beside, "application/json", facts.encode("ascii"))
        for body in (exchange.response_body, exchange.request_body):
            if body is not None and body.path is not None:
                remove_spooled(body.path, keep=keep_spool)
        return request, response

    def write_resource(
        self, name: str, content_type: str, data: bytes | Path, *, sha256: str = ""
    ) -> RecordRef:
        """A file of ours: `name` is a URI, or becomes `urn:akashi:<capture>:<name>`. Raises OSError.

        `sha256` of `data`, where the caller has it, spares a reading.
        """
        return self._write_made("resource", name, content_type, data, (), sha256)

    def write_conversion(
        self, name: str, content_type: str, data: bytes | Path, *, of: RecordRef, sha256: str = ""
    ) -> RecordRef:
        """A derivative of the record `of`. Raises OSError."""
        return self._write_made("conversion", name, content_type, data, [("WARC-Refers-To", of.id)], sha256)

    def close(self) -> Digests:
        """Make the file durable (fsync) and give its digests, taken as it grew. Raises OSError."""
        with self._lock:
            return self._file.close()

    def _write_response(self, exchange: Exchange) -> RecordRef | None:
        body, network = exchange.response_body, exchange.network
        if not is_response(exchange.response_head):
            if exchange.response_head or body.size:
                self._write_unparsed(exchange)
            return None
        headers = [("WARC-Protocol", stated) for stated in (network.protocol, network.tls) if stated]
        if network.cipher:
            headers.append(("WARC-Cipher-Suite", network.cipher))
        if body.state in {BodyState.TRUNCATED, BodyState.ABSENT}:
            word = body.why.partition(":")[0]
            headers.append(("WARC-Truncated", word if word in _TRUNCATIONS else "unspecified"))
        return self._write_message("response", exchange, exchange.response_head, body, headers)

    def _write_request(self, exchange: Exchange, response: RecordRef | None) -> RecordRef | None:
        if not exchange.request_head:
            return None
        headers = [("WARC-Concurrent-To", response.id)] if response else []
        body = exchange.request_body or Body(0)
        return self._write_message("request", exchange, exchange.request_head, body, headers)

    def _write_message(
        self, kind: str, exchange: Exchange, head_bytes: bytes, body: Body, headers: list[tuple[str, str]]
    ) -> RecordRef:
        head = parse_head(head_bytes)
        content = Content.of(head_bytes, body)
        if exchange.network.ip:
            headers = [*headers, ("WARC-IP-Address", exchange.network.ip)]
        facts: dict[str, Any] = {
            "client": exchange.client,
            "layer": exchange.layer,
            "method": exchange.method,
            **facts_of_head(head),
            "payload": content.payload_sha256,
            "state": body.state,
            **{INDEXED[name]: value for name, value in headers if name in INDEXED},
        }
        if isinstance(body, SpooledBody) and body.content_sha256:
            facts |= {"content": body.content_sha256, "content_size": body.content_size}
        encoded = bool(head.encodings) and body.state is not BodyState.DECODED
        level = STORED if body.size and (encoded or not _TEXT_TYPE.match(head.mime)) else TEXT
        return self._file.write(
            kind,
            exchange.url,
            f"application/http; msgtype={kind}",
            content,
            moment=exchange.started,
            level=level,
            headers=headers,
            facts=facts,
        )

    def _write_unparsed(self, exchange: Exchange) -> None:
        """Bytes that came where a status line was due: kept, but not as a response."""
        self._file.write(
            "resource",
            f"urn:akashi:{self.capture_id}:not-http:{uuid.uuid4()}",
            _BINARY,
            Content.of(exchange.response_head, exchange.response_body).as_block(),
            moment=exchange.started,
            level=STORED,
            facts={"client": exchange.client},
        )

    def _write_chain(self, exchange: Exchange, beside: Headers) -> str:
        """The certificates as sent, once per (host, leaf); gives the record's id."""
        chain = exchange.network.chain
        if not chain:
            return ""
        key = (urlsplit(exchange.url).netloc, hashlib.sha256(chain[0]).hexdigest())
        if key not in self._chains:
            ref = self._write_beside(exchange, beside, "application/pem-certificate-chain", pem_chain(chain))
            self._chains[key] = ref.id
        return self._chains[key]

    def _write_beside(self, exchange: Exchange, beside: Headers, content_type: str, data: bytes) -> RecordRef:
        return self._file.write(
            "metadata",
            exchange.url,
            content_type,
            Content.of_bytes(data),
            moment=exchange.started,
            level=TEXT,
            headers=beside,
            facts={"client": exchange.client},
        )

    def _write_made(
        self, kind: str, name: str, content_type: str, data: bytes | Path, headers: Headers, sha256: str
    ) -> RecordRef:
        uri = name if ":" in name else f"urn:akashi:{self.capture_id}:{name}"
        if isinstance(data, Path):
            body = Body(data.stat(follow_symlinks=False).st_size, path=data)
            content = Content(b"", body, sha256) if sha256 else Content.of(b"", body).as_block()
        else:
            content = Content.of_bytes(data)
        level = TEXT if _TEXT_TYPE.match(content_type) else STORED
        with self._lock:
            moment = datetime.now(UTC)
            return self._file.write(
                kind, uri, content_type, content, moment=moment, level=level, headers=headers
            )
