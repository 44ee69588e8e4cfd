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
import ssl
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from evidence.digests import Digests
from pipelines.record.exchange import Body, BodyState, Exchange
from pipelines.record.heads import is_response, parse_head
from pipelines.record.records import Headers, RecordFile, RecordRef
from pipelines.record.spool import BodySpool, SpooledBody, remove_spooled, salvage
from pipelines.record.warcfile import STORED, TEXT

__all__ = ["RecordRef", "WarcSink"]

_TEXT_TYPE: Final = re.compile(
    r"text/|application/(?:.*\+)?(?:json|xml|javascript|ecmascript|x-javascript|x-www-form-urlencoded|"
    r"x-mpegurl|vnd\.apple\.mpegurl|wasm)|image/svg|font/(?:ttf|otf)|audio/mpegurl"
)
_TRUNCATIONS: Final = ("length", "time", "disconnect")
"""WARC 1.1 §5.13: a body's `why` that begins with one of these words gives the header its value."""


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
        held = f"urn:akashi:{capture_id}:websocket:"
        self._websockets = sum(record.target_uri.startswith(held) for record in self.records)

    @property
    def records(self) -> list[RecordRef]:
        """Every record so far, in the file's order."""
        return self._file.records

    def spool(self, head: bytes, *, path: Path | None = None, content: bool = False) -> BodySpool:
        """A place for a body that arrives under `head`; hand its closed form to `write_exchange`."""
        return BodySpool(path or self.spool_folder / f"{uuid.uuid4().hex}.body", head, content=content)

    def write_exchange(self, exchange: Exchange) -> tuple[RecordRef | None, RecordRef | None]:
        """Write response, request and network facts; gives (request, response), None where there was none.

        Spool files of its bodies are removed afterwards. Raises OSError.
        """
        with self._lock:
            response = self._write_response(exchange)
            request = self._write_request(exchange, response)
            beside: Headers = [("WARC-Concurrent-To", ref.id) for ref in [response or request] if ref]
            facts = _network_facts(exchange, self._write_chain(exchange, beside))
            if exchange.frames is not None:
                record = self._write_frames(exchange, exchange.frames, beside)
                facts["frames"] = {**_body_facts(exchange.frames), "record": record.id}
            text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
            self._write_beside(exchange, beside, "application/json", text, _id(exchange, "facts"))
        bodies = filter(None, (exchange.response_body, exchange.request_body, exchange.frames))
        for path in filter(None, (*(body.path for body in bodies), exchange.note)):
            remove_spooled(path)
        return request, response

    def salvage(self, folder: Path, client: str = "") -> Iterator[Exchange]:
        """Write what a killed process left in the spool `folder`; gives what was not in the WARC yet.

        It is of `client`, if that is known, whatever its notes say. Raises OSError.
        """
        written = {record.id for record in self.records}
        for exchange in salvage(folder, client) if folder.exists() else ():
            if _id(exchange, "facts") not in written:
                self.write_exchange(exchange)
                yield exchange
            elif exchange.note is not None:  # killed before it could tidy up
                remove_spooled(exchange.note)

    def write_resource(self, name: str, content_type: str, data: bytes | Path) -> RecordRef:
        """A file of ours, as `urn:akashi:<capture>:<name>`. Raises OSError."""
        body = (
            Body(len(data), data=data)
            if isinstance(data, bytes)
            else Body(data.stat(follow_symlinks=False).st_size, path=data)
        )
        level = TEXT if _TEXT_TYPE.match(content_type) else STORED
        uri = f"urn:akashi:{self.capture_id}:{name}"
        with self._lock:
            moment = datetime.now(UTC)
            return self._file.write("resource", uri, content_type, b"", body, moment=moment, level=level)

    def close(self) -> Digests:
        """Make the file durable (fsync) and give its digests, of the file as it lies there. Raises OSError."""
        with self._lock:
            return self._file.close()

    def _write_response(self, exchange: Exchange) -> RecordRef | None:
        head, body, network = exchange.response_head, exchange.response_body, exchange.network
        if not is_response(head):
            if head or body.size:  # bytes that came where a status line was due: kept, but not as a response
                uri = f"urn:akashi:{self.capture_id}:not-http:{uuid.uuid4()}"
                self._file.write(
                    *("resource", uri, "application/octet-stream", head, body),
                    moment=exchange.started,
                    level=STORED,
                    facts={"client": exchange.client},
                    record_id=_id(exchange, "resource"),
                )
            return None
        headers = [("WARC-Protocol", stated) for stated in (network.protocol, network.tls) if stated]
        if network.cipher:
            headers.append(("WARC-Cipher-Suite", network.cipher))
        return self._write_message("response", exchange, head, body, [*headers, *_truncated(body)])

    def _write_request(self, exchange: Exchange, response: RecordRef | None) -> RecordRef | None:
        if not exchange.request_head:
            return None
        body = exchange.request_body or Body(0)
        headers = [*([("WARC-Concurrent-To", response.id)] if response else []), *_truncated(body)]
        return self._write_message("request", exchange, exchange.request_head, body, headers)

    def _write_message(
        self, kind: str, exchange: Exchange, head: bytes, body: Body, headers: list[tuple[str, str]]
    ) -> RecordRef:
        if exchange.network.ip:
            headers.append(("WARC-IP-Address", exchange.network.ip))
        facts: dict[str, Any] = {"client": exchange.client, "layer": exchange.layer, "state": body.state}
        if isinstance(body, SpooledBody) and body.content_sha256:
            facts |= {"content": body.content_sha256, "content_size": body.content_size}
        parsed = parse_head(head)
        encoded = bool(parsed.encodings) and body.state is not BodyState.DECODED
        return self._file.write(
            *(kind, exchange.url, f"application/http; msgtype={kind}", head, body),
            moment=exchange.started,
            level=STORED if body.size and (encoded or not _TEXT_TYPE.match(parsed.mime)) else TEXT,
            headers=headers,
            facts=facts,
            record_id=_id(exchange, kind),
        )

    def _write_frames(self, exchange: Exchange, frames: Body, beside: Headers) -> RecordRef:
        """What crossed a WebSocket, numbered in the file's order."""
        self._websockets += 1
        uri = f"urn:akashi:{self.capture_id}:websocket:{self._websockets}"
        return self._file.write(
            *("resource", uri, "application/jsonl", b"", frames),
            moment=exchange.started,
            level=TEXT,
            headers=[*beside, *_truncated(frames)],
            facts={"client": exchange.client, "state": frames.state},
            record_id=_id(exchange, "frames"),
        )

    def _write_chain(self, exchange: Exchange, beside: Headers) -> str:
        """The certificates as sent, leaf first, once per (host, leaf); gives the record's id."""
        chain = exchange.network.chain
        if not chain:
            return ""
        key = (urlsplit(exchange.url).netloc, hashlib.sha256(chain[0]).hexdigest())
        if key not in self._chains:
            pem = "".join(map(ssl.DER_cert_to_PEM_cert, chain))  # RFC 8555 §9.1
            ref = self._write_beside(exchange, beside, "application/pem-certificate-chain", pem)
            self._chains[key] = ref.id
        return self._chains[key]

    def _write_beside(
        self, exchange: Exchange, beside: Headers, content_type: str, text: str, record_id: str = ""
    ) -> RecordRef:
        return self._file.write(
            *("metadata", exchange.url, content_type, text.encode("ascii"), Body(0)),
            moment=exchange.started,
            level=TEXT,
            headers=beside,
            facts={"client": exchange.client},
            record_id=record_id,
        )


def _truncated(body: Body) -> list[tuple[str, str]]:
    if body.state not in {BodyState.TRUNCATED, BodyState.ABSENT}:
        return []
    word = body.why.partition(":")[0]
    return [("WARC-Truncated", word if word in _TRUNCATIONS else "unspecified")]


def _id(exchange: Exchange, part: str) -> str:
    """Of a record of an exchange with a note: the same in every process, so that nothing is written twice."""
    return f"<urn:uuid:{uuid.uuid5(uuid.UUID(exchange.note.stem), part)}>" if exchange.note else ""


def _network_facts(exchange: Exchange, chain_record: str) -> dict[str, Any]:
    """What is known of the connection and of both bodies (docs/formats/warc.md shows it)."""
    network = exchange.network
    facts: dict[str, Any] = {
        "body": _body_facts(exchange.response_body),
        "client": exchange.client,
        "dns": list(network.dns),
        "error": exchange.error,
        "ip": network.ip,
        "layer": exchange.layer,
        "method": exchange.method,
        "port": network.port,
        "protocol": network.protocol,
        "started": exchange.started.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "tls": network.tls,
        "url": exchange.url,
    }
    if exchange.request_body is not None:
        facts["request_body"] = _body_facts(exchange.request_body)
    if exchange.interim:
        facts["interim"] = [head.decode("latin-1") for head in exchange.interim]
    if exchange.trailers:
        facts["trailers"] = exchange.trailers.decode("latin-1")
    if network.cipher:
        facts["cipher"] = network.cipher
    if network.chain:
        facts["chain"] = [hashlib.sha256(certificate).hexdigest() for certificate in network.chain]
        facts["chain_record"] = chain_record
    return facts


def _body_facts(body: Body) -> dict[str, Any]:
    stated: dict[str, Any] = {"size": body.size, "state": body.state, "why": body.why}
    if isinstance(body, SpooledBody) and body.content_sha256:
        stated["content"] = {"sha256": body.content_sha256, "size": body.content_size}
    return stated
