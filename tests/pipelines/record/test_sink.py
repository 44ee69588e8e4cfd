from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import zlib
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from evidence.digests import digest_file
from evidence.warc_check import read_warc
from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.record.index import index_path, read_index
from pipelines.record.sink import WarcSink
from pipelines.record.spool import write_note
from pipelines.record.warcfile import WarcFile, trim_torn_tail

CAPTURE = "01KAR5Q8Z41X7JQ9D2N6V0H3GT"
NOW = datetime(2026, 11, 23, 8, 13, 0, 123456, UTC)
TLS = Network(
    "192.0.2.7", 443, "http/1.1", "tls/1.3", "TLS_AES_128_GCM_SHA256", (b"leaf", b"root"), ("192.0.2.7",)
)
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n"
GET = b"GET /v?id=7 HTTP/1.1\r\nHost: a.test\r\n\r\n"


def open_sink(folder: Path) -> WarcSink:
    return WarcSink(
        folder / "akashi.warc.gz",
        spool=folder,
        capture_id=CAPTURE,
        warcinfo={"software": "akashi", "operator": ""},
    )


def exchange(head: bytes = OK, body: bytes | Body = b"hello", **more: Any) -> Exchange:
    facts: dict[str, Any] = {
        "client": "yt-dlp",
        "url": "https://a.test/v?id=7",
        "method": "GET",
        "started": NOW,
        "request_head": GET,
        "response_head": head,
        "response_body": body if isinstance(body, Body) else Body(len(body), data=body),
        "network": TLS,
    }
    return Exchange(**{**facts, **more})


def records(path: Path) -> list[tuple[list[tuple[str, str]], bytes]]:
    """Headers and block of each record, as warcio reads them."""
    with path.open("rb") as stream:
        return [
            (list(record.rec_headers.headers), record.raw_stream.read())
            for record in ArchiveIterator(stream, no_record_parse=True)
        ]


def of_type(path: Path, kind: str) -> list[tuple[dict[str, str], bytes]]:
    return [(dict(h), block) for h, block in records(path) if dict(h)["WARC-Type"] == kind]


def assert_accepted(path: Path) -> None:
    """By `warcio check`, our own strict reading, fastwarc with both digests, and a walk over the members."""
    assert Checker(Namespace(inputs=[str(path)], verbose=False)).process_all() == 0
    with path.open("rb") as stream:
        assert list(read_warc(stream))
    count = 0
    with path.open("rb") as stream:
        for record in FastIterator(stream, parse_http=False):
            count += 1
            assert record.verify_block_digest(consume=True)
    with path.open("rb") as stream:
        for record in FastIterator(stream, parse_http=True):
            if "WARC-Payload-Digest" in record.headers:
                assert record.verify_payload_digest(consume=True)
    assert count == len(list(members(path))) == len(read_index(path))


def members(path: Path) -> Iterator[bytes]:
    """Each gzip member of the file, inflated; zlib checks CRC and size of each."""
    data = path.read_bytes()
    while data:
        inflate = zlib.decompressobj(31)
        yield inflate.decompress(data)
        assert inflate.eof
        data = inflate.unused_data


_field = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=12
)
_value = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"]), max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_field, _value), max_size=5),
    st.binary(max_size=3000),
    st.binary(max_size=200),
    st.integers(0, 2),
    st.sampled_from(["", "Content-Type: text/html", "Content-Encoding: gzip", "Transfer-Encoding: chunked"]),
)
def test_any_exchange_is_read_back_byte_for_byte(
    tmp_path_factory: pytest.TempPathFactory,
    fields: list[tuple[str, str]],
    body: bytes,
    sent: bytes,
    factor: int,
    field: str,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    lines = [f"{n}: {v}" for n, v in fields] + ([field] if field else [])
    head = "\r\n".join(["HTTP/1.1 200 Fine By Me", *lines, "", ""]).encode("latin-1")
    request = "\r\n".join(["POST /v?id=7 HTTP/1.1", *lines, "", ""]).encode("latin-1")
    body *= 40**factor
    sink = open_sink(folder)
    spool = sink.spool(head)
    spool.write(body)
    sink.write_exchange(
        exchange(
            head, spool.close(), request_head=request, request_body=Body(len(sent), data=sent), method="POST"
        )
    )
    digests = sink.close()
    ((headers, block),) = of_type(sink.path, "response")
    assert block == head + body
    assert headers["WARC-Block-Digest"] == "sha256:" + hashlib.sha256(head + body).hexdigest()
    assert headers["WARC-Payload-Digest"] == "sha256:" + hashlib.sha256(body).hexdigest()
    assert of_type(sink.path, "request")[0][1] == request + sent
    assert digests == digest_file(sink.path)
    assert_accepted(sink.path)
    assert len(list(folder.iterdir())) == 2, "spool files are gone"


def test_records_of_an_exchange_name_each_other_and_state_the_connection(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    request, response = sink.write_exchange(exchange())
    sink.write_exchange(exchange())
    sink.close()
    assert request is not None
    assert response is not None
    all_headers = [h for h, _ in records(sink.path)]
    info = dict(all_headers[0])
    assert (info["WARC-Type"], info["WARC-Filename"]) == ("warcinfo", "akashi.warc.gz")
    assert all(("WARC-Warcinfo-ID", info["WARC-Record-ID"]) in h for h in all_headers[1:])
    stated = all_headers[1]
    for pair in [
        ("WARC-Record-ID", response.id),
        ("WARC-Date", "2026-11-23T08:13:00.123456Z"),
        ("WARC-IP-Address", "192.0.2.7"),
        ("WARC-Protocol", "http/1.1"),
        ("WARC-Protocol", "tls/1.3"),
        ("WARC-Cipher-Suite", "TLS_AES_128_GCM_SHA256"),
    ]:
        assert pair in stated
    assert ("WARC-Concurrent-To", response.id) in all_headers[2]
    assert ("WARC-IP-Address", "192.0.2.7") in all_headers[2]
    chains = [
        (h, b) for h, b in of_type(sink.path, "metadata") if h["Content-Type"].startswith("application/pem")
    ]
    facts = [
        json.loads(b) for h, b in of_type(sink.path, "metadata") if h["Content-Type"] == "application/json"
    ]
    assert len(chains) == 1, "once per host and leaf"
    assert chains[0][1].count(b"BEGIN CERTIFICATE") == 2
    assert [f["chain_record"] for f in facts] == [chains[0][0]["WARC-Record-ID"]] * 2
    assert facts[0]["chain"] == [hashlib.sha256(c).hexdigest() for c in TLS.chain]
    assert facts[0]["body"] == {"size": 5, "state": "as-received", "why": ""}
    assert_accepted(sink.path)


@pytest.mark.parametrize("head", [b"", b"garbage", b"HTTP/1.1 OK\r\n\r\n"])
def test_without_a_status_line_there_is_no_response_record(tmp_path: Path, head: bytes) -> None:
    sink = open_sink(tmp_path)
    request, response = sink.write_exchange(exchange(head, b"", error="ConnectionResetError: reset"))
    sink.close()
    assert response is None
    assert request is not None
    assert of_type(sink.path, "response") == []
    assert [block for _, block in of_type(sink.path, "resource")] == ([head] if head else [])
    ((headers, facts),) = [
        m for m in of_type(sink.path, "metadata") if m[0]["Content-Type"] == "application/json"
    ]
    assert headers["WARC-Concurrent-To"] == request.id
    assert json.loads(facts)["error"] == "ConnectionResetError: reset"
    assert_accepted(sink.path)


@pytest.mark.parametrize(
    ("why", "word"),
    [
        ("disconnect: after 5 of 9 bytes", "disconnect"),
        ("length: too much", "length"),
        ("lost", "unspecified"),
    ],
)
def test_a_body_cut_short_says_so(tmp_path: Path, why: str, word: str) -> None:
    sink = open_sink(tmp_path)
    sink.write_exchange(exchange(body=Body(5, data=b"hello", state=BodyState.TRUNCATED, why=why)))
    sink.close()
    assert of_type(sink.path, "response")[0][0]["WARC-Truncated"] == word
    assert_accepted(sink.path)


def test_resources_have_a_block_digest_only_and_stand_under_the_capture(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    (tmp_path / "shot.png").write_bytes(b"\x89PNG" * 100)
    sink.write_resource("screenshot.png", "image/png", tmp_path / "shot.png")
    sink.close()
    ((headers, block),) = of_type(sink.path, "resource")
    assert headers["WARC-Target-URI"] == f"urn:akashi:{CAPTURE}:screenshot.png"
    assert block == b"\x89PNG" * 100
    assert "WARC-Payload-Digest" not in headers
    assert (tmp_path / "shot.png").exists(), "a file of the caller's stays"
    assert_accepted(sink.path)


def test_a_url_cannot_break_its_header_line(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    sink.write_exchange(exchange(url="https://a.test/ü x\r\nWARC-Type: forged\r\n\r\n"))
    sink.close()
    ((headers, _),) = of_type(sink.path, "response")
    assert headers["WARC-Target-URI"] == "https://a.test/%C3%BC%20x%0D%0AWARC-Type:%20forged%0D%0A%0D%0A"
    assert_accepted(sink.path)


def test_media_and_coded_bodies_are_stored_and_text_is_compressed(tmp_path: Path) -> None:
    text, media = b"a" * 200_000, os.urandom(200_000)
    sink = open_sink(tmp_path)
    _, html = sink.write_exchange(exchange(OK, text))
    _, mp4 = sink.write_exchange(exchange(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n", media))
    _, coded = sink.write_exchange(
        exchange(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n",
            gzip.compress(text),
        )
    )
    sink.close()
    assert html is not None
    assert mp4 is not None
    assert coded is not None
    data = sink.path.read_bytes()
    assert html.length < 2000
    assert 200_000 < mp4.length < 201_500
    assert media[:60_000] in data[mp4.offset : mp4.offset + mp4.length]
    assert gzip.compress(text)[20:] in data[coded.offset : coded.offset + coded.length]
    assert_accepted(sink.path)


def test_a_torn_tail_is_cut_off_and_the_file_taken_up_again(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    first = sink.write_exchange(exchange())[1]
    sink.close()
    whole = sink.path.stat().st_size
    assert first is not None
    with sink.path.open("ab") as stream:
        stream.write(sink.path.read_bytes()[first.offset : first.offset + first.length - 3])
    assert trim_torn_tail(sink.path) == first.length - 3
    assert trim_torn_tail(sink.path) == 0
    assert sink.path.stat().st_size == whole
    again = open_sink(tmp_path)
    assert again.records == sink.records
    again.write_exchange(exchange())
    assert again.close() == digest_file(sink.path)
    assert len(of_type(sink.path, "warcinfo")) == 1
    assert_accepted(sink.path)


@pytest.mark.parametrize("cut", [1, 9, 11, 200])
def test_nothing_whole_is_lost_wherever_the_tear_is(tmp_path: Path, cut: int) -> None:
    sink = open_sink(tmp_path)
    sink.write_exchange(exchange())
    sink.close()
    last = sink.records[-1]
    os.truncate(sink.path, last.offset + min(cut, last.length - 1))
    assert trim_torn_tail(sink.path) == min(cut, last.length - 1)
    assert len(records(sink.path)) == len(sink.records) - 1


def test_a_lost_or_torn_index_is_made_again_from_the_warc(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    sink.write_exchange(
        exchange(b"HTTP/1.1 206 X\r\nContent-Range: bytes 3-7/9\r\nContent-Type: video/mp4\r\n\r\n")
    )
    sink.write_exchange(exchange(body=Body(5, data=b"hello", state=BodyState.TRUNCATED, why="time: up")))
    sink.write_resource("info.json", "application/json", b"{}")
    sink.close()
    written, index = read_index(sink.path), index_path(sink.path)
    for keep in (0, len(index.read_bytes()) // 2):
        index.write_bytes(index.read_bytes()[:keep] + (b"" if keep else b"\0\0\n{}\n"))
        made = read_index(sink.path)
        assert [{k: line[k] for k in again} for line, again in zip(written, made, strict=True)] == made


def test_a_full_disk_leaves_whole_records_and_the_next_one_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = open_sink(tmp_path)
    sink.write_exchange(exchange())
    whole = sink.path.stat().st_size
    write, left = WarcFile.write, [3]

    def full(self: WarcFile, *parts: bytes) -> None:
        left[0] -= 1
        if left[0] == 0:
            data = b"".join(parts)
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, *parts)

    big = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"
    monkeypatch.setattr(WarcFile, "write", full)
    with pytest.raises(OSError, match="No space"):
        sink.write_exchange(exchange(big, bytes(1_000_000)))
    assert sink.path.stat().st_size == whole
    monkeypatch.setattr(WarcFile, "write", write)
    sink.write_exchange(exchange(big, bytes(1_000_000)))
    assert sink.close() == digest_file(sink.path)
    assert_accepted(sink.path)


def test_a_record_that_a_full_disk_keeps_out_of_the_index_is_out_of_the_warc_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = open_sink(tmp_path)
    sink.write_exchange(exchange())
    whole, filed = sink.path.stat().st_size, index_path(sink.path).stat().st_size
    write = WarcFile.write

    def full(self: WarcFile, *parts: bytes) -> None:
        data = b"".join(parts)
        if data.startswith(b'{"id"'):  # a line of the index
            write(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, *parts)

    monkeypatch.setattr(WarcFile, "write", full)
    with pytest.raises(OSError, match="No space"):
        sink.write_exchange(exchange())
    assert (sink.path.stat().st_size, index_path(sink.path).stat().st_size) == (whole, filed)
    monkeypatch.setattr(WarcFile, "write", write)
    sink.write_exchange(exchange())
    sink.close()
    with sink.path.open("rb") as stream:
        assert [record.rec_headers.get_header("WARC-Record-ID") for record in ArchiveIterator(stream)] == [
            ref.id for ref in sink.records
        ]


def test_a_body_that_shrank_behind_our_back_is_no_record(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    spool = sink.spool(OK)
    spool.write(bytes(3 << 20))
    body = spool.close()
    assert body.path is not None
    os.truncate(body.path, 100)
    with pytest.raises(OSError, match="was 144 bytes"):
        sink.write_exchange(exchange(OK, body))
    sink.close()
    assert_accepted(sink.path)


def test_a_record_that_cannot_be_filed_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = open_sink(tmp_path)
    sink.write_exchange(exchange())
    before = sink.path.read_bytes()

    def broken(*_: Any) -> None:
        raise ValueError("no line for this")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.record.records.line_of", broken)
        with pytest.raises(ValueError, match="no line"):
            sink.write_exchange(exchange())
    assert sink.path.read_bytes() == before
    sink.close()
    assert_accepted(sink.path)


def left(folder: Path, name: str) -> Path:
    """What a kill leaves of an exchange; its note."""
    note = folder / f"{name * 32}.note"
    facts = {"client": "chromium", "url": f"https://a.test/{name}", "method": "GET", "started": NOW, "ip": ""}
    write_note(note, **facts, request_head=GET, response_head=OK, layer=Layer.H1_BYTES)
    note.with_suffix(".body").write_bytes(b"as far as it came")
    return note


def test_what_a_kill_left_in_the_spool_is_written_once_however_often_it_is_salvaged(tmp_path: Path) -> None:
    sink = open_sink(tmp_path)
    left(tmp_path, "a")
    assert [one.url for one in sink.salvage(tmp_path)] == ["https://a.test/a"]
    left(tmp_path, "a")  # killed again, before it could tidy up
    left(tmp_path, "b")
    assert [one.url for one in sink.salvage(tmp_path)] == ["https://a.test/b"]
    assert not list(tmp_path.glob("*.note"))
    assert not list(tmp_path.glob("*.body"))
    sink.close()
    assert_accepted(sink.path)
    assert [dict(headers)["WARC-Truncated"] for headers, _ in of_type(sink.path, "response")] == [
        "disconnect"
    ] * 2


def test_a_kill_between_two_records_leaves_no_answer_without_its_request(tmp_path: Path) -> None:
    first = open_sink(tmp_path)
    left(tmp_path, "a")
    list(first.salvage(tmp_path))
    response = next(record for record in first.records if record.type == "response")
    first.close()
    os.truncate(first.path, response.offset + response.length)
    left(tmp_path, "a")
    again = open_sink(tmp_path)
    list(again.salvage(tmp_path))
    again.close()
    assert_accepted(again.path)
    assert [record.type for record in again.records] == ["warcinfo", "response", "request", "metadata"]
    ((request, _),) = of_type(again.path, "request")
    assert dict(request)["WARC-Concurrent-To"] == response.id
