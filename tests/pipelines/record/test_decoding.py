from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.record.decoding import PIECE, ContentDecoder, Dechunker, UndecodableError
from pipelines.record.heads import is_response, parse_head


def head(*fields: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *fields, "", ""]).encode()


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x;x=y\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\nTrailer: 1\r\n\r\n"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300)), st.integers(1, 50))
def test_chunk_framing_is_undone_wherever_the_wire_cuts_it(pieces: list[bytes], size: int) -> None:
    decoder = Dechunker()
    got = b"".join(part for wire in cut(chunked(pieces), size) for part in decoder.feed(wire))
    assert got == b"".join(pieces)
    assert decoder.ended


@settings(deadline=None)
@given(
    st.binary(max_size=5000),
    st.sampled_from(["gzip", "deflate", "raw", "br", "gzip, br"]),
    st.integers(1, 700),
)
def test_codings_are_undone_in_their_order(data: bytes, coding: str, size: int) -> None:
    packed = {
        "gzip": gzip.compress(data),
        "deflate": zlib.compress(data),
        "raw": zlib.compress(data)[2:-4],
        "br": brotli.compress(data),
        "gzip, br": brotli.compress(gzip.compress(data)),
    }[coding]
    decoder = ContentDecoder(parse_head(head(f"Content-Encoding: {coding.replace('raw', 'deflate')}")))
    assert b"".join(part for wire in cut(packed, size) for part in decoder.feed(wire)) == data


@pytest.mark.parametrize("pack", [gzip.compress, brotli.compress])
def test_a_bomb_comes_out_in_bounded_pieces(pack: object) -> None:
    name = "gzip" if pack is gzip.compress else "br"
    decoder = ContentDecoder(parse_head(head(f"Content-Encoding: {name}")))
    sizes = [len(piece) for piece in decoder.feed(pack(bytes(30 << 20)))]  # type: ignore[operator]
    assert sum(sizes) == 30 << 20
    assert max(sizes) <= 2 * PIECE


@pytest.mark.parametrize(
    ("fields", "wire"),
    [
        (["Transfer-Encoding: chunked"], b"zz\r\nhello"),
        (["Transfer-Encoding: chunked"], b"1\r\nab\r\n"),
        (["Transfer-Encoding: chunked"], b"-5\r\nabcdefgh"),
        (["Transfer-Encoding: chunked"], b"+5\r\nabcdefgh"),
        (["Transfer-Encoding: chunked"], b"1_0\r\nabcdefgh"),
        (["Transfer-Encoding: chunked"], b"f" * 5000 + b"\r\nabc"),
        (["Content-Encoding: gzip"], b"no gzip at all"),
        (["Content-Encoding: br"], b"\xff" * 40),
    ],
)
def test_what_breaks_its_coding_is_said_to(fields: list[str], wire: bytes) -> None:
    decoder = ContentDecoder(parse_head(head(*fields)))
    with pytest.raises(UndecodableError):
        list(decoder.feed(wire))


@pytest.mark.parametrize("number", ["9" * 5000, "-1", "\u0661", "1_0", "+7"])
def test_a_number_that_no_length_can_be_is_none(number: str) -> None:
    fields = (f"Content-Length: {number}", f"Content-Range: bytes {number}-{number}/{number}")
    parsed = parse_head("\r\n".join(["HTTP/1.1 206 OK", *fields, "", ""]).encode("utf-8"))
    assert (parsed.length, parsed.range_start, parsed.is_part) == (None, None, True)


def test_an_unknown_coding_is_refused() -> None:
    with pytest.raises(UndecodableError, match="x-secret"):
        ContentDecoder(parse_head(head("Content-Encoding: x-secret")))


def test_a_head_is_read_as_far_as_it_is_one() -> None:
    parsed = parse_head(
        b"HTTP/1.1 206 OK\r\nContent-Type: Video/MP4; x=1\r\nbroken\r\nContent-Range: bytes 7-9/10\r\n\r\n"
    )
    assert (parsed.status, parsed.mime, parsed.range_start, parsed.length) == (206, "video/mp4", 7, None)
    assert is_response(b"HTTP/1.0 404 \r\n\r\n")
    assert not is_response(b"HTTP/1.1 OK\r\n\r\n")
    assert not is_response(b"HTTP/1.1 200 OK\r\n")
    assert not is_response(b"")
