from __future__ import annotations

import gzip
import io
import random
import tracemalloc
from collections.abc import Callable

import pytest
from fastwarc.warc import ArchiveIterator as FastArchive
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from evidence.audit_warc import damaged_length
from evidence.errors import WarcError
from evidence.warc_check import extract_payload, read_warc
from tests.evidence.archives import URI, capture_id, warc_and_manifest
from tests.evidence.warcs import (
    content,
    deflated,
    headers_of,
    record_id,
    request,
    resource,
    response,
    stored,
    warcinfo,
)

GOOD = warc_and_manifest(capture_id(10), 2)[0]
SPANS = list(read_warc(io.BytesIO(GOOD)))
JSON_BLOCK = b'{"a":1}'


def opener(data: bytes) -> Callable[[int, int | None], io.BytesIO]:
    return lambda start, length: io.BytesIO(data[start:] if length is None else data[start : start + length])


def test_spans_cover_the_file_and_say_what_the_headers_say() -> None:
    assert [span.offset for span in SPANS] == [0, *(span.offset + span.length for span in SPANS)][:-1]
    assert SPANS[-1].offset + SPANS[-1].length == len(GOOD)
    assert [span.header("WARC-Type") for span in SPANS] == ["warcinfo", "response", "request", "resource"]
    assert SPANS[1].header("warc-target-uri") == URI
    assert SPANS[2].header("WARC-Concurrent-To") == SPANS[1].record_id
    assert not SPANS[1].encoded


def test_foreign_readers_see_the_same_records() -> None:
    ours = [(span.record_id, span.header("WARC-Type"), int(span.header("Content-Length"))) for span in SPANS]
    theirs = [
        (
            r.rec_headers.get_header("WARC-Record-ID"),
            r.rec_type,
            int(r.rec_headers.get_header("Content-Length")),
        )
        for r in ArchiveIterator(io.BytesIO(GOOD))
    ]
    assert theirs == ours
    fast = [(r.record_id, r.verify_block_digest()) for r in FastArchive(io.BytesIO(GOOD), parse_http=False)]
    assert fast == [(identity.strip("<>"), True) for identity, _, _ in ours] or fast == [
        (identity, True) for identity, _, _ in ours
    ]


@given(
    st.lists(st.tuples(st.booleans(), st.binary(max_size=3000)), min_size=1, max_size=5),
    st.integers(1, 65535),
)
@settings(max_examples=40)
def test_stored_and_deflated_members_are_read_the_same(blocks: list[tuple[bool, bytes]], size: int) -> None:
    members = []
    for number, (is_stored, block) in enumerate(blocks, start=1):
        fields = headers_of(number, "resource", block, uri="urn:x:1", content_type="text/plain")
        body = content(fields, block)
        members.append(stored(body, size) if is_stored else deflated(body))
    data = b"".join(members)
    spans = list(read_warc(io.BytesIO(data)))
    assert [span.length for span in spans] == [len(member) for member in members]
    for span, (_, block) in zip(spans, blocks, strict=True):
        assert b"".join(extract_payload(io.BytesIO(data[span.offset :]))) == block
    assert gzip.decompress(data).count(b"WARC/1.1\r\n") >= len(blocks)


def record(block: bytes = JSON_BLOCK, *, end: bytes = b"\r\n\r\n", **changes: str) -> bytes:
    """A resource record with some headers changed, added or (empty) left out; its gzip member is sound."""
    fields = dict(headers_of(1, "resource", block, uri="urn:x:1", content_type="application/json"))
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    return deflated(content([(name, value) for name, value in fields.items() if value], block, end))


DEFECTS = {
    "block-digest": record(WARC_Block_Digest="sha256:" + "0" * 64),
    "payload-digest": record(WARC_Payload_Digest="sha256:" + "0" * 64),
    "warc-header no digest": record(WARC_Block_Digest=""),
    "warc-header base32 digest": record(WARC_Block_Digest="sha256:" + "A" * 52),
    "warc-header sha1 digest": record(WARC_Block_Digest="sha1:" + "a" * 40),
    "warc-header no date": record(WARC_Date=""),
    "warc-header no length": record(Content_Length=""),
    "warc-header length with zero": record(Content_Length="07"),
    "warc-header revisit": record(WARC_Type="revisit"),
    "warc-header id in capitals": record(WARC_Record_ID=record_id(10).upper()),
    "warc-header carriage return": record(WARC_Target_URI="urn:x\r:1"),
    "warc-header date twice": record().replace(b"", b"")
    and deflated(
        content(
            [*headers_of(1, "resource", JSON_BLOCK, uri="urn:x:1"), ("WARC-Date", "2026-11-23T08:13:02Z")],
            JSON_BLOCK,
        )
    ),
    "warc-length too long": record(Content_Length="20"),
    "warc-end too short": record(Content_Length="6"),
    "warc-end nothing behind": record(end=b""),
    "warc-end more behind": record(end=b"\r\n\r\nx"),
    "warc-version 1.0": deflated(gzip.decompress(record()).replace(b"WARC/1.1", b"WARC/1.0")),
    "warc-version bare newlines": deflated(gzip.decompress(record()).replace(b"\r\n", b"\n")),
    "warc-end two records in one member": deflated(gzip.decompress(record()) * 2),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_sound_member_with_a_defect_is_named_with_its_range(name: str) -> None:
    with pytest.raises(WarcError) as caught:
        list(read_warc(io.BytesIO(warcinfo() + DEFECTS[name] + resource(9, "urn:x:9", b"1"))))
    found = (caught.value.rule, caught.value.offset, caught.value.length)
    assert found == (name.split(" ", maxsplit=1)[0], len(warcinfo()), len(DEFECTS[name]))


def test_a_record_id_stands_once() -> None:
    with pytest.raises(WarcError) as caught:
        list(read_warc(io.BytesIO(resource(2, "urn:x:1", b"1") * 2)))
    assert caught.value.rule == "warc-record-id"


@pytest.mark.parametrize(
    ("rule", "data"),
    [
        ("warc-empty", b""),
        ("gzip-torn", GOOD[:-1]),
        ("gzip-torn", GOOD + b"\x1f"),
        ("gzip-header", GOOD + bytes(20)),
        ("gzip-header", gzip.compress(b"x", mtime=1)),
        ("gzip-header", GOOD + b"WARC/1.1\r\n"),
    ],
)
def test_the_file_is_well_formed_to_its_end(rule: str, data: bytes) -> None:
    with pytest.raises(WarcError) as caught:
        list(read_warc(io.BytesIO(data)))
    assert caught.value.rule == rule


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@settings(max_examples=300)
def test_a_changed_byte_is_found_within_its_record(position: int, mask: int) -> None:
    changed = GOOD[:position] + bytes([GOOD[position] ^ mask]) + GOOD[position + 1 :]
    span = next(span for span in SPANS if span.offset <= position < span.offset + span.length)
    defect = first_defect(changed)
    if defect is None:  # padding in deflate data means nothing: the file's own digest shows it
        assert [span.headers for span in read_warc(io.BytesIO(changed))] == [span.headers for span in SPANS]
        return
    length = defect.length or damaged_length(opener(changed), defect.offset or 0, len(changed))
    assert (defect.offset, length) == (span.offset, span.length)


def first_defect(data: bytes) -> WarcError | None:
    try:
        list(read_warc(io.BytesIO(data)))
    except WarcError as error:
        return error
    return None


def test_damage_ends_where_records_run_to_the_end_not_at_a_warc_inside_a_warc() -> None:
    inner = resource(7, "urn:x:7", b"inner") + resource(8, "urn:x:8", b"inner")
    outer = [warcinfo(), response(2, URI, b"lead" + inner + b"tail" * 50), request(3, URI)]
    data = bytearray(b"".join(outer))
    start = len(outer[0])
    data[start + len(outer[1]) - 60] ^= 1  # behind the inner file
    assert damaged_length(opener(bytes(data)), start, len(data)) == len(outer[1])


def test_the_range_covers_further_damage_too() -> None:
    members = [resource(n, f"urn:x:{n}", b"%d" % n * 50) for n in range(1, 6)]
    ends = [len(b"".join(members[: n + 1])) for n in range(5)]
    data = bytearray(b"".join(members))
    data[ends[0] + 30] ^= 1
    data[ends[2] + 30] ^= 1
    assert damaged_length(opener(bytes(data)), ends[0], len(data)) == ends[3] - ends[0]
    data[ends[3] + 30] ^= 1
    assert damaged_length(opener(bytes(data)), ends[0], len(data)) == len(data) - ends[0]


def test_a_coded_payload_is_marked_and_given_as_it_was_stored() -> None:
    body = b"5\r\nhello\r\n0\r\n\r\n"
    for field in (b"transfer-encoding: Chunked", b"Content-Encoding: gzip"):
        data = response(2, URI, body, b"HTTP/1.1 200 OK\r\n" + field + b"\r\n\r\n")
        assert next(read_warc(io.BytesIO(data))).encoded
        assert b"".join(extract_payload(io.BytesIO(data))) == body


def test_extraction_reports_damage_at_the_end() -> None:
    data = bytearray(response(2, URI, b"x" * 5000))
    data[-100] ^= 1
    with pytest.raises(WarcError):
        b"".join(extract_payload(io.BytesIO(bytes(data))))


def test_memory_does_not_grow_with_the_record() -> None:
    block = random.Random(7).randbytes(8 << 20)  # noqa: S311
    data = response(2, URI, block)
    stream = io.BytesIO(data)
    tracemalloc.start()
    list(read_warc(stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


def test_a_bomb_is_read_in_pieces() -> None:
    block = bytes(32 << 20)
    data = resource(2, "urn:x:1", block)
    del block
    tracemalloc.start()
    assert next(read_warc(io.BytesIO(data))).header("Content-Length") == str(32 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
