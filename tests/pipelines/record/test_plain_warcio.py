"""Must show 3: the same records written by plain warcio have the same headers and payloads."""

from __future__ import annotations

import base64
import gzip
import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeadersParser
from warcio.warcwriter import WARCWriter

from pipelines.record.exchange import Body, Exchange
from tests.pipelines.record.test_sink import CAPTURE, NOW, OK, TLS, exchange, open_sink

POST = b"POST /v?id=7 HTTP/1.1\r\nHost: a.test\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n"
VIDEO = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-8/9\r\nContent-Type: video/mp4\r\n\r\n"
CODED = OK.replace(b"html", b"html\r\nContent-Encoding: gzip")
CHUNKED = OK.replace(b"html", b"html\r\nTransfer-Encoding: chunked")
COOKIES = b"HTTP/1.1 302 Found\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nLocation: /x\r\n\r\n"
EXCHANGES = {
    "html": exchange(),
    "video": exchange(VIDEO, bytes(70_000)),
    "gzip": exchange(CODED, gzip.compress(b"hello")),
    "chunked": exchange(CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"),
    "empty": exchange(b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "cookies": exchange(COOKIES, b""),
    "post": exchange(method="POST", request_head=POST, request_body=Body(4, data=b"body")),
}


def plain(path: Path, exchanges: list[Exchange], warcinfo: str) -> None:
    """The same exchanges as anybody would write them with warcio."""
    with path.open("wb") as out:
        writer = WARCWriter(out, gzip=True, warc_version="1.1")
        info = writer.create_warcinfo_record("akashi.warc.gz", {"software": "akashi", "operator": ""})
        info.rec_headers.replace_header("WARC-Record-ID", warcinfo)
        writer.write_record(info)
        for one in exchanges:
            request_body = (one.request_body.data if one.request_body else b"") or b""
            response = record(writer, "response", one.response_head, one.response_body.data or b"", warcinfo)
            for header in (("WARC-Protocol", TLS.protocol), ("WARC-Protocol", TLS.tls)):
                response.rec_headers.add_header(*header)
            response.rec_headers.add_header("WARC-Cipher-Suite", TLS.cipher)
            request = record(writer, "request", one.request_head, request_body, warcinfo)
            answered = response.rec_headers.get_header("WARC-Record-ID")
            request.rec_headers.add_header("WARC-Concurrent-To", answered)
            writer.write_record(response)
            writer.write_record(request)
        name = f"urn:akashi:{CAPTURE}:info.json"
        resource = writer.create_warc_record(name, "resource", BytesIO(b"{}"), 2, "application/json")
        resource.rec_headers.add_header("WARC-Warcinfo-ID", warcinfo)
        writer.write_record(resource)


def record(writer: Any, kind: str, head: bytes, body: bytes, warcinfo: str) -> Any:
    parsed = StatusAndHeadersParser([], verify=False).parse(BytesIO(head))
    stated = {"WARC-Date": NOW.isoformat().replace("+00:00", "Z"), "WARC-Warcinfo-ID": warcinfo}
    made = writer.create_warc_record(
        "https://a.test/v?id=7",
        kind,
        BytesIO(body),
        len(body),
        warc_headers_dict=stated,
        http_headers=parsed,
    )
    made.rec_headers.add_header("WARC-IP-Address", TLS.ip)
    return made


def ours(folder: Path, exchanges: list[Exchange]) -> tuple[Path, str]:
    sink = open_sink(folder)
    for one in exchanges:
        sink.write_exchange(one)
    sink.write_resource("info.json", "application/json", b"{}")
    sink.close()
    return sink.path, sink.records[0].id


def read(path: Path) -> list[tuple[str, list[tuple[str, str]], bytes, Any]]:
    """Type, headers in order, block and parsed HTTP head of each record that both write."""
    found = []
    with path.open("rb") as raw, path.open("rb") as parsed:
        blocks = ArchiveIterator(raw, no_record_parse=True)
        for whole, http in zip(blocks, ArchiveIterator(parsed), strict=True):
            if whole.rec_type != "metadata":  # certificates and network facts: plain warcio knows none
                block = whole.raw_stream.read()
                found.append((whole.rec_type, whole.rec_headers.headers, block, http.http_headers))
    return found


def comparable(kind: str, headers: list[tuple[str, str]], block: bytes) -> list[tuple[str, str]]:
    """The headers without what differs from one writing to the next; their digests are found right."""
    payload = block.partition(b"\r\n\r\n")[2] if kind in {"request", "response"} else block
    left = []
    for name, value in headers:
        if name in {"WARC-Block-Digest", "WARC-Payload-Digest"}:
            data = block if name == "WARC-Block-Digest" else payload
            sha1 = base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()
            assert value in {f"sha1:{sha1}", f"sha256:{hashlib.sha256(data).hexdigest()}"}
        elif name not in {"WARC-Record-ID", "WARC-Concurrent-To"} and not (
            name == "WARC-Date" and kind in {"warcinfo", "resource"}
        ):
            left.append((name, value))
    return sorted(left, key=lambda header: header[0])  # stable: what is repeated keeps its order


@pytest.mark.parametrize("name", EXCHANGES)
def test_headers_and_payloads_are_those_of_plain_warcio(tmp_path: Path, name: str) -> None:
    mine, warcinfo = ours(tmp_path, [EXCHANGES[name], EXCHANGES["html"]])
    plain(tmp_path / "plain.warc.gz", [EXCHANGES[name], EXCHANGES["html"]], warcinfo)
    left, right = read(mine), read(tmp_path / "plain.warc.gz")
    assert [one[0] for one in left] == ["warcinfo", *["response", "request"] * 2, "resource"]
    for (kind, headers, block, http), (other, theirs, their_block, their_http) in zip(
        left, right, strict=True
    ):
        assert kind == other
        if kind == "warcinfo":
            assert set(block.splitlines()) == set(their_block.splitlines())
        else:
            assert block == their_block
        assert {name for name, _ in theirs} - {name for name, _ in headers} <= {"WARC-Payload-Digest"}
        assert {name for name, _ in headers} <= {name for name, _ in theirs}
        assert comparable(kind, headers, block) == comparable(kind, theirs, their_block)
        assert str(http) == str(their_http)


_name = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=9
)
_value = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(_name, st.sampled_from([":", ": ", ":  ", ":\t"]), _value), max_size=6),
    st.sampled_from(["200 OK", "200", "200 ", "999 Odd  reason", "200 OK: yes"]),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0"]),
    st.binary(max_size=300),
)
def test_of_odd_heads_warcio_reads_the_same_and_ours_keep_their_bytes(
    tmp_path_factory: pytest.TempPathFactory,
    fields: list[tuple[str, str, str]],
    status: str,
    version: str,
    body: bytes,
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    head = "\r\n".join([f"{version} {status}", *("".join(one) for one in fields), "", ""]).encode("latin-1")
    odd = exchange(head, body)
    mine, warcinfo = ours(folder, [odd])
    plain(folder / "plain.warc.gz", [odd], warcinfo)
    (_, (_, _, block, http), *_), (_, (_, _, their_block, their_http), *_) = (
        read(mine),
        read(folder / "plain.warc.gz"),
    )
    assert block == head + body, "as it came"
    assert block.partition(b"\r\n\r\n")[2] == their_block.partition(b"\r\n\r\n")[2]
    assert http.statusline.strip() == their_http.statusline.strip()
    assert [(n, v.strip()) for n, v in http.headers] == [(n, v.strip()) for n, v in their_http.headers]


def test_what_is_not_ascii_in_a_head_stays_as_it_came(tmp_path: Path) -> None:
    head = OK.replace(b"html", "html\r\nX-Title: 星".encode())
    mine, warcinfo = ours(tmp_path, [exchange(head)])
    plain(tmp_path / "plain.warc.gz", [exchange(head)], warcinfo)
    assert read(mine)[1][2] == head + b"hello"
    assert b"X-Title: %E6%98%9F" in read(tmp_path / "plain.warc.gz")[1][2], "as plain warcio has it"
