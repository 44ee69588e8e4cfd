from __future__ import annotations

import gzip
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.record.exchange import BodyState
from pipelines.record.spool import (
    MEMORY,
    BodySpool,
    SpooledBody,
    note_of,
    open_spooled,
    remove_spooled,
    salvage,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content_of(body: SpooledBody) -> bytes:
    return body.path.read_bytes() if body.path else body.data or b""


@settings(deadline=None)
@given(st.lists(st.binary(max_size=4000)))
def test_digests_are_those_of_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    spool = BodySpool(tmp_path_factory.getbasetemp(), HEAD, content=True, memory=5000)
    for chunk in chunks:
        spool.write(chunk)
    body, data = spool.close(), b"".join(chunks)
    assert content_of(body) == data
    assert (body.size, body.payload_sha256, body.block_sha256) == (
        len(data),
        sha256(data),
        sha256(HEAD + data),
    )
    assert (body.content_sha256, body.content_size) == (sha256(data), len(data))


def test_a_small_body_stays_in_memory_and_a_large_one_in_a_named_file(tmp_path: Path) -> None:
    small, large = BodySpool(tmp_path, HEAD), BodySpool(tmp_path, HEAD)
    small.write(bytes(MEMORY))
    large.write(bytes(MEMORY + 1))
    assert small.close().path is None
    path = large.close().path
    assert path is not None
    assert path.stat().st_size == MEMORY + 1
    remove_spooled(path)
    assert not list(tmp_path.iterdir())


def test_the_content_of_a_chunked_coded_body_is_digested_beside_its_payload(tmp_path: Path) -> None:
    page = "星ねこ".encode() * 1000
    packed = gzip.compress(page)
    wire = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    spool = BodySpool(tmp_path, head, content=True)
    for at in range(0, len(wire), 7):
        spool.write(wire[at : at + 7])
    body = spool.close()
    assert (body.payload_sha256, body.content_sha256) == (sha256(wire), sha256(page))
    assert (body.size, body.content_size) == (len(wire), len(page))


def test_a_body_that_is_no_gzip_has_no_content_digest(tmp_path: Path) -> None:
    spool = BodySpool(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", content=True)
    spool.write(b"plain after all")
    body = spool.close(BodyState.AS_RECEIVED)
    assert body.content_sha256 == ""
    assert body.payload_sha256 == sha256(b"plain after all")


@pytest.mark.parametrize(
    ("field", "wire", "complete"),
    [
        ("Content-Length: 4", b"Wiki", True),
        ("Content-Length: 5", b"Wiki", False),
        ("Transfer-Encoding: chunked", b"4\r\nWiki\r\n0\r\n\r\n", True),
        ("Transfer-Encoding: chunked", b"4\r\nWiki\r\n0\r\n", False),
        ("Server: x", b"Wiki", False),
    ],
)
def test_completeness_is_what_the_framing_says(
    tmp_path: Path, field: str, wire: bytes, complete: bool
) -> None:
    spool = BodySpool(tmp_path, f"HTTP/1.1 200 OK\r\n{field}\r\n\r\n".encode(), content=True)
    spool.write(wire)
    assert spool.complete is complete


def test_what_a_killed_process_left_is_found_again_with_its_request(tmp_path: Path) -> None:
    started = datetime(2026, 11, 23, 8, 13, tzinfo=UTC)
    request = b"GET /v?id=7 HTTP/1.1\r\nHost: a.test\r\n\r\n"
    note = note_of(
        client="yt-dlp",
        url="https://a.test/v?id=7",
        method="GET",
        started=started,
        request_head=request,
        response_head=HEAD,
        ip="192.0.2.7",
    )
    spool = BodySpool(tmp_path, HEAD, note=note)
    spool.write(b"x" * 2 * MEMORY)  # and never closed
    (exchange,) = salvage(tmp_path)
    assert (exchange.url, exchange.method, exchange.started) == ("https://a.test/v?id=7", "GET", started)
    assert (exchange.request_head, exchange.response_head) == (request, HEAD)
    assert (exchange.response_body.size, exchange.response_body.state) == (2 * MEMORY, BodyState.TRUNCATED)
    assert exchange.network.ip == "192.0.2.7"
    spool.close()
    assert exchange.response_body.path is not None
    remove_spooled(exchange.response_body.path)
    assert list(salvage(tmp_path)) == []


def test_the_frames_of_a_websocket_are_salvaged_as_what_they_are(tmp_path: Path) -> None:
    note = note_of(
        client="chromium", url="https://a.test/socket", method="GET", started=datetime.now(UTC),
        request_head=b"GET /socket HTTP/1.1\r\n\r\n", response_head=b"HTTP/1.1 101 \r\n\r\n", ip="",
    )  # fmt: skip
    spool = BodySpool(tmp_path, b"", note={**note, "frames": True})
    spool.write(bytes(2 * MEMORY))
    (exchange,) = salvage(tmp_path)
    spool.close()
    assert exchange.frames is not None
    assert (exchange.frames.size, exchange.frames.state) == (2 * MEMORY, BodyState.TRUNCATED)
    assert (exchange.response_body.size, exchange.response_body.path) == (0, None)


def test_a_spool_is_never_read_through_a_link_or_from_a_pipe(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for the WARC")
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match=r"link|plain|symbolic"):
            open_spooled(tmp_path / name)
