from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from evidence.errors import WarcError
from pipelines.record.exchange import BodyState, Exchange
from pipelines.record.index import index_path, read_index
from pipelines.record.media import fill, media_type, tie
from pipelines.record.rebuild import rebuild_media, write_body
from pipelines.record.sink import WarcSink

FILE = b"".join(hashlib.sha256(b"file %d" % n).digest() for n in range(282))[:9000]
OTHER = FILE[::-2][:4000]


def answer(
    body: bytes, *, start: int | None = None, cut: bool = False, chunked: bool = False
) -> tuple[bytes, bytes, bool]:
    """(head, body on the wire, cut off)."""
    fields = [
        "HTTP/1.1 200 OK" if start is None else "HTTP/1.1 206 Partial Content",
        "Content-Type: video/mp4",
    ]
    if start is not None:
        fields.append(f"Content-Range: bytes {start}-8999/9000")
    if chunked:
        fields.append("Transfer-Encoding: chunked")
        body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:70], body[70:])) + b"0\r\n\r\n"
    return "\r\n".join([*fields, "", ""]).encode(), body, cut


def recorded(folder: Path, answers: Sequence[tuple[bytes, bytes, bool]]) -> Path:
    sink = WarcSink(folder / "a.warc.gz", spool=folder, capture_id="01K", warcinfo={"software": "akashi"})
    for head, body, cut in answers:
        spool = sink.spool(head, content=True)
        spool.write(body)
        state, why = (BodyState.TRUNCATED, "disconnect: gone") if cut else (BodyState.AS_RECEIVED, "")
        sink.write_exchange(
            Exchange(
                "yt-dlp",
                "https://a.test/v",
                "GET",
                datetime.now(UTC),
                b"GET /v HTTP/1.1\r\n\r\n",
                head,
                spool.close(state, why),
            )
        )
    sink.close()
    return sink.path


@pytest.mark.parametrize(
    ("answers", "used", "ranges"),
    [
        ([answer(FILE)], [0], True),
        ([answer(FILE, chunked=True)], [0], True),
        ([answer(OTHER), answer(FILE)], [1], True),
        ([answer(FILE[:4000], start=0), answer(FILE[4000:], start=4000)], [0, 1], True),
        ([answer(FILE[:4000]), answer(FILE[4000:])], [0, 1], False),
        ([answer(OTHER), answer(FILE[:4000]), answer(OTHER), answer(FILE[4000:])], [1, 3], False),
        ([answer(FILE[:5000], cut=True), answer(FILE[5000:], start=5000)], [0, 1], True),
        ([answer(FILE[:5000], cut=True), answer(FILE[4200:], start=4200)], [0, 1], True),
        ([answer(FILE[:5000], cut=True), answer(FILE[4200:6000], start=4200, cut=True),
          answer(FILE[5999:], start=5999)], [0, 1, 2], True),
        ([answer(FILE[:5000], cut=True), answer(FILE)], [1], True),
        ([answer(FILE[:4000]), answer(FILE[4000:4100], cut=True), answer(FILE[4000:])], [0, 2], False),
        ([answer(FILE[:4000]), answer(FILE[4000:4100], cut=True), answer(FILE[4090:], start=90)], [0, 1, 2], False),
        ([answer(FILE[:4000]), answer(OTHER)], [], False),
        ([answer(FILE[:-1])], [], False),
        ([answer(FILE + b"x")], [], False),
        ([answer(FILE[4000:], start=4000)], [], False),
        ([], [], False),
    ],
)  # fmt: skip
def test_a_file_is_tied_to_the_answers_that_hold_its_bytes(
    tmp_path: Path, answers: list[tuple[bytes, bytes, bool]], used: list[int], ranges: bool
) -> None:
    warc = recorded(tmp_path, answers)
    file = tmp_path / "file"
    file.write_bytes(FILE)
    lines = [line for line in read_index(warc) if line["type"] == "response"]
    tied = tie(file, warc, lines)
    assert tied.records == tuple(lines[number]["id"] for number in used)
    assert tied.ranges is ranges
    assert tied.size == 9000
    if used:
        for name in ("with-index", "without"):
            rebuild_media(warc, tied.records, tmp_path / name)
            assert (tmp_path / name).read_bytes() == FILE
            index_path(warc).unlink(missing_ok=True)


def test_one_changed_byte_unties_a_file(tmp_path: Path) -> None:
    warc = recorded(tmp_path, [answer(FILE)])
    file = tmp_path / "file"
    file.write_bytes(FILE[:-1] + bytes([FILE[-1] ^ 1]))
    assert tie(file, warc, read_index(warc)).records == ()


def test_the_body_of_a_named_record_is_written_and_an_unknown_name_refused(tmp_path: Path) -> None:
    sink = WarcSink(tmp_path / "a.warc.gz", spool=tmp_path, capture_id="01K", warcinfo={"software": "akashi"})
    ref = sink.write_resource("dom.html", "text/html", b"<p>")
    sink.close()
    write_body(sink.path, ref.id, tmp_path / "dom.html")
    assert (tmp_path / "dom.html").read_bytes() == b"<p>"
    with pytest.raises(WarcError, match="no record <urn:uuid:0>"):
        write_body(sink.path, "<urn:uuid:0>", tmp_path / "none")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x00\x00\x00\x20ftypisom", "video/mp4"),
        (b"\x00\x00\x00\x20ftypM4A ", "audio/mp4"),
        (b"G" + bytes(187) + b"G", "video/mp2t"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"hello", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_a_type_is_what_the_first_bytes_show(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "file").write_bytes(start)
    assert media_type(tmp_path / "file") == kind


@pytest.mark.parametrize(
    ("answers", "used"),
    [
        ([answer(FILE)], [0]),
        ([answer(OTHER), answer(FILE)], [1]),
        ([answer(FILE[:5000], cut=True), answer(FILE)], [1]),
        ([answer(FILE[:5000], cut=True), answer(FILE[4200:], start=4200)], [0, 1]),
        ([answer(FILE[:5000], cut=True), answer(FILE[4200:6000], start=4200, cut=True),
          answer(FILE[5999:], start=5999)], [0, 1, 2]),
        ([answer(FILE, chunked=True)], [0]),
        ([answer(FILE[:5000], cut=True), answer(FILE[5001:], start=5001)], []),
        ([answer(FILE[:5000], cut=True)], []),
        ([answer(OTHER)], []),
    ],
)  # fmt: skip
def test_a_hollow_file_is_filled_from_the_answers_that_brought_it(
    tmp_path: Path, answers: list[tuple[bytes, bytes, bool]], used: list[int]
) -> None:
    warc, hollow = recorded(tmp_path, answers), tmp_path / "v.mp4"
    hollow.touch()
    os.truncate(hollow, len(FILE))
    lines = [line for line in read_index(warc) if line["type"] == "response"]
    bodies = {line["id"]: tmp_path / f"{number}.body" for number, line in enumerate(lines)}
    for (_, data, _), body in zip(answers, bodies.values(), strict=True):
        body.write_bytes(data)
    filled = fill(hollow, warc, lines, bodies)
    assert filled.records == tuple(lines[n]["id"] for n in used)
    if used:
        assert len(used) == 1 or not list(tmp_path.glob("*.body"))  # no third copy while it is made
        assert hollow.read_bytes() == FILE
        assert filled.sha256 == hashlib.sha256(FILE).hexdigest()


def test_segments_that_came_in_another_order_are_found(tmp_path: Path) -> None:
    parts = [FILE[n : n + 900] for n in range(0, 9000, 900)]
    came = [3, 0, 1, 2, 7, 6, 4, 9, 5, 8]
    warc = recorded(tmp_path, [answer(OTHER), *(answer(parts[n]) for n in came)])
    (tmp_path / "v.ts").write_bytes(FILE)
    lines = [line for line in read_index(warc) if line["type"] == "response"]
    tied = tie(tmp_path / "v.ts", warc, lines)
    assert tied.records == tuple(lines[1 + came.index(n)]["id"] for n in range(10))


@pytest.mark.parametrize("forged", [False, True])
def test_a_decrypted_file_is_claimed_only_where_the_recorded_keys_give_it(
    tmp_path: Path, forged: bool
) -> None:
    key = os.urandom(16)
    parts = [FILE[:4000], FILE[4000:]]
    warc = recorded(tmp_path, [answer(under(parts[1], key)), answer(key), answer(under(parts[0], key))])
    (tmp_path / "v.ts").write_bytes(FILE[:-1] + b"?" if forged else FILE)
    lines = [line for line in read_index(warc) if line["type"] == "response"]
    tied = tie(tmp_path / "v.ts", warc, lines)
    assert tied.records == ()
    assert tied.decrypted == ("" if forged else "2 recorded answers decrypted with 1 recorded keys (AES-128)")


def under(plain: bytes, key: bytes) -> bytes:
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(os.urandom(16))).encryptor()
    return encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
