"""Recording a page in a test: a sink, a tunnel and a workdir of its own, and what was written, read back."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from warcio.archiveiterator import ArchiveIterator

from evidence.errors import RefusedError
from pipelines.guard import Resolver, Tunnel
from pipelines.record.decoding import ContentDecoder
from pipelines.record.heads import parse_head
from pipelines.record.page import PageRecord, record_page
from pipelines.record.sink import WarcSink
from pipelines.record.tap import Recorder
from storage.settings import Settings
from tests.site.served_log import ServedExchange

RECORDER = Recorder("cdp" if os.environ.get("AKASHI_PAGE_RECORDER") == "cdp" else "netlog")
"""What the suite records pages with: NetLog, or what it is told to."""
EXACT = RECORDER.name == "netlog"
exact_only = pytest.mark.skipif(not EXACT, reason="DevTools does not tell this")
LOSSES = ("a redirect's body is not kept", "DevTools tells once")
"""Of the test post, what a recorder that is less exact must list as missing."""


class LoopbackToo(Resolver):
    """The address check as it is for everybody, but for 127.0.0.1, where the test servers are."""

    def check(self, host: str, addresses: tuple[str, ...]) -> None:
        try:
            super().check(host, addresses)
        except RefusedError:
            if set(addresses) != {"127.0.0.1"}:
                raise


@dataclass
class Record:
    """One WARC record, its HTTP head as bytes."""

    type: str
    uri: str
    headers: dict[str, str]
    head: bytes
    body: bytes


@contextmanager
def a_folder() -> Iterator[Path]:
    """A folder whose parents let the children's user walk through (pytest's own do not, as root)."""
    folder = Path(tempfile.mkdtemp(prefix="akashi-test-", dir="/var/tmp"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


async def recording(
    url: str,
    folder: Path,
    settings: Settings,
    resolver: Resolver | None = None,
    recorder: Recorder = RECORDER,
) -> PageRecord:
    """Record `url` into `folder`/page.warc.gz."""
    sink = WarcSink(
        folder / "page.warc.gz", spool=folder, capture_id="01TESTPAGE", warcinfo={"operator": "test"}
    )
    try:
        async with Tunnel(resolver or LoopbackToo(), log=folder / "connections.jsonl") as tunnel:
            return await record_page(
                url,
                sink=sink,
                workdir=folder / "work" / "page",
                tunnel=tunnel,
                settings=settings,
                on_progress=lambda *_: None,
                recorder=recorder,
            )
    finally:
        sink.close()


def page_of(url: str, folder: Path, recorder: Recorder = RECORDER, **settings: Any) -> PageRecord:
    """Record `url` with these settings."""
    return asyncio.run(recording(url, folder, Settings(**settings), recorder=recorder))


def as_told(served: ServedExchange, request: Record, response: Record) -> bool:
    """Whether a pair is what was served, as far as DevTools tells: fields in any order, bodies decoded."""
    got, body = response.body, content_of(served)
    return (
        fields_of(served.request_head) == fields_of(request.head)
        and fields_of(served.response_head) == fields_of(response.head)
        and served.request_body == request.body
        and (body == got or ("WARC-Truncated" in response.headers and body.startswith(got)))
    )


def fields_of(head: bytes) -> list[bytes]:
    """The lines of a head, whatever their order, case of names, and what says how the body was coded."""
    lines = (line.removeprefix(b"X-Orig-").partition(b": ") for line in head.split(b"\r\n"))
    return sorted(name.lower() + value for name, _, value in lines)


def content_of(served: ServedExchange) -> bytes:
    """What was served, without framing and codings; all that came of it where it was cut."""
    decoder = ContentDecoder(parse_head(served.response_head))
    return b"".join(decoder.feed(served.body_bytes()))


def records_of(folder: Path) -> list[Record]:
    """Every record of the WARC, blocks as stored."""
    found = []
    with (folder / "page.warc.gz").open("rb") as stream:
        for record in ArchiveIterator(stream, no_record_parse=True):
            block = record.raw_stream.read()
            kind = record.rec_type
            head, mark, body = (
                block.partition(b"\r\n\r\n") if kind in {"request", "response"} else (b"", b"", block)
            )
            headers = dict(record.rec_headers.headers)
            found.append(Record(kind, headers.get("WARC-Target-URI", ""), headers, head + mark, body))
    return found


def exchanges_of(folder: Path) -> list[tuple[Record, Record | None]]:
    """(request, response) pairs; None where no response came."""
    records = records_of(folder)
    by_id = {record.headers["WARC-Record-ID"]: record for record in records}
    return [
        (record, by_id.get(record.headers.get("WARC-Concurrent-To", "")))
        for record in records
        if record.type == "request"
    ]


def facts_of(folder: Path, uri: str) -> list[dict[str, Any]]:
    """The network facts beside the exchanges with this URI."""
    return [
        json.loads(record.body)
        for record in records_of(folder)
        if record.type == "metadata"
        and record.uri == uri
        and record.headers["Content-Type"] == "application/json"
    ]


def frames_of(folder: Path) -> list[tuple[Record, bytes, bytes]]:
    """Of each WebSocket its record, and what client and server sent, put together again from its lines."""
    found = []
    for record in records_of(folder):
        if ":websocket:" not in record.uri:
            continue
        sent = {"client": bytearray(), "server": bytearray()}
        masks = {"client": b"", "server": b""}
        for line in map(json.loads, record.body.splitlines()):
            side, head = line["from"], bytes.fromhex(line.get("head", ""))
            if head:
                sent[side] += head
                masks[side] = head[-4:] if head[1:2] >= b"\x80" else b""
            payload, mask = base64.b64decode(line.get("payload", "")), masks[side]
            sent[side] += bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload)) if mask else payload
        found.append((record, bytes(sent["client"]), bytes(sent["server"])))
    return found
