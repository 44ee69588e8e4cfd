from __future__ import annotations

import gzip
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.record.exchange import BodyState, Layer
from pipelines.record.spool import (
    BodySpool,
    SpooledBody,
    open_spooled,
    remove_spooled,
    salvage,
    write_note,
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
    spool = BodySpool(tmp_path_factory.mktemp("spool") / "0.body", HEAD, content=True)
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


def test_every_piece_lies_in_its_named_file_at_once(tmp_path: Path) -> None:
    spool = BodySpool(tmp_path / "0.body", HEAD)
    assert not list(tmp_path.iterdir())
    for piece in (b"a", b"bc"):
        spool.write(piece)
    assert (tmp_path / "0.body").read_bytes() == b"abc"
    assert spool.close().path == tmp_path / "0.body"
    assert BodySpool(tmp_path / "1.body", HEAD).close().path is None
    remove_spooled(tmp_path / "0.note")
    assert not list(tmp_path.iterdir())


def test_the_content_of_a_chunked_coded_body_is_digested_beside_its_payload(tmp_path: Path) -> None:
    page = "星ねこ".encode() * 1000
    packed = gzip.compress(page)
    wire = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    spool = BodySpool(tmp_path / "0.body", head, content=True)
    for at in range(0, len(wire), 7):
        spool.write(wire[at : at + 7])
    body = spool.close()
    assert (body.payload_sha256, body.content_sha256) == (sha256(wire), sha256(page))
    assert (body.size, body.content_size) == (len(wire), len(page))


def test_a_body_that_is_no_gzip_has_no_content_digest(tmp_path: Path) -> None:
    spool = BodySpool(tmp_path / "0.body", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", content=True)
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
    spool = BodySpool(tmp_path / "0.body", f"HTTP/1.1 200 OK\r\n{field}\r\n\r\n".encode(), content=True)
    spool.write(wire)
    assert spool.complete is complete
    spool.close()


NAME = "0123456789abcdef0123456789abcdef"
STARTED = datetime(2026, 11, 23, 8, 13, tzinfo=UTC)
REQUEST = b"POST /v?id=7 HTTP/1.1\r\nHost: a.test\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def noted(folder: Path, *heads: bytes, layer: Layer = Layer.H1_BYTES) -> Path:
    """The note of an exchange, written once for each state of its answer's head."""
    for head in heads:
        write_note(
            folder / f"{NAME}.note",
            client="yt-dlp",
            url="https://a.test/v?id=7",
            method="POST",
            started=STARTED,
            request_head=REQUEST,
            response_head=head,
            ip="192.0.2.7",
            layer=layer,
        )
    return folder / f"{NAME}.note"


def test_what_a_killed_process_left_is_found_again_with_its_request(tmp_path: Path) -> None:
    note = noted(tmp_path, b"", HEAD)
    asked, answered = (
        BodySpool(note.with_suffix(".sent"), REQUEST),
        BodySpool(note.with_suffix(".body"), HEAD),
    )
    asked.write(b"asked")
    answered.write(b"x" * 3_000_000)  # and never closed
    (exchange,) = salvage(tmp_path)
    assert (exchange.url, exchange.method, exchange.started) == ("https://a.test/v?id=7", "POST", STARTED)
    assert (exchange.request_head, exchange.response_head, exchange.note) == (REQUEST, HEAD, note)
    assert exchange.request_body is not None
    assert (exchange.request_body.size, exchange.response_body.size) == (5, 3_000_000)
    assert exchange.response_body.state is BodyState.TRUNCATED
    assert exchange.error
    assert exchange.network.ip == "192.0.2.7"
    asked.close()
    answered.close()
    remove_spooled(note)
    assert list(salvage(tmp_path)) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("head", "left", "state"),
    [
        (b"", b"HTTP/1.1 20", BodyState.TRUNCATED),
        (b"", b"", BodyState.ABSENT),
        (HEAD, b"", BodyState.ABSENT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"Wiki", BodyState.AS_RECEIVED),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"Wiki", BodyState.TRUNCATED),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", BodyState.AS_RECEIVED),
        (CHUNKED, b"1\r\na\r\n0\r\n\r\n", BodyState.AS_RECEIVED),
        (CHUNKED, b"1\r\na\r\n", BodyState.TRUNCATED),
        (CHUNKED, b"nonsense\r\n", BodyState.TRUNCATED),
    ],
)
def test_what_was_left_is_cut_short_unless_its_framing_says_that_it_is_whole(
    tmp_path: Path, head: bytes, left: bytes, state: BodyState
) -> None:
    note = noted(tmp_path, *((b"", head) if head else (b"",)))
    if left:
        note.with_suffix(".body" if head else ".head").write_bytes(left)
    (exchange,) = salvage(tmp_path)
    assert (exchange.response_body.state, exchange.response_body.size) == (state, len(left))
    assert bool(exchange.error) is (state is not BodyState.AS_RECEIVED)


def test_of_a_torn_note_the_last_whole_line_counts(tmp_path: Path) -> None:
    note = noted(tmp_path, b"", HEAD)
    note.write_bytes(note.read_bytes()[:-40])
    (exchange,) = salvage(tmp_path)
    assert (exchange.request_head, exchange.response_head) == (REQUEST, b"")
    note.write_bytes(b'{"client": "yt-')
    assert list(salvage(tmp_path)) == []
    assert note.exists()


def test_a_decompression_bomb_is_kept_as_it_came_and_its_content_not_digested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.record.spool.CONTENT_BYTES", 1 << 20)
    bomb = gzip.compress(bytes(2 << 20))
    wire = b"%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    spool = BodySpool(tmp_path / "0.body", head, content=True)
    spool.write(wire)
    assert spool.complete
    body = spool.close()
    assert (body.size, body.payload_sha256, body.content_sha256) == (len(wire), sha256(wire), "")


def test_the_frames_of_a_websocket_are_salvaged_as_what_they_are(tmp_path: Path) -> None:
    note = tmp_path / f"{NAME}.note"
    write_note(
        note, client="chromium", url="https://a.test/socket", method="GET", started=datetime.now(UTC),
        request_head=b"GET /socket HTTP/1.1\r\n\r\n", response_head=b"HTTP/1.1 101 \r\n\r\n", ip="",
        layer=Layer.H1_BYTES,
    )  # fmt: skip
    spool = BodySpool(note.with_suffix(".frames"), b"")
    spool.write(bytes(70_000))
    (exchange,) = salvage(tmp_path)
    spool.close()
    assert exchange.frames is not None
    assert (exchange.frames.size, exchange.frames.state) == (70_000, BodyState.TRUNCATED)
    assert (exchange.response_body.size, exchange.response_body.path) == (0, None)


def test_a_spool_is_never_read_through_a_link_or_from_a_pipe(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for the WARC")
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match=r"link|plain|symbolic"):
            open_spooled(tmp_path / name)


@pytest.mark.parametrize("layer", list(Layer))
def test_what_is_salvaged_says_at_which_layer_it_was_seen(tmp_path: Path, layer: Layer) -> None:
    note = noted(tmp_path, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", layer=layer)
    note.with_suffix(".body").write_bytes(b"Wiki")
    (exchange,) = salvage(tmp_path)
    decoded = (
        layer is Layer.CDP_DECODED
    )  # its framing was undone before it came: nothing says that it is whole
    assert exchange.layer is layer
    assert exchange.response_body.state is (BodyState.TRUNCATED if decoded else BodyState.AS_RECEIVED)


def test_whose_folder_it_is_decides_which_client_an_exchange_is_of(tmp_path: Path) -> None:
    note = noted(tmp_path, b"")
    note.write_bytes(note.read_bytes().replace(b"yt-dlp", b"chromium"))
    assert [exchange.client for exchange in salvage(tmp_path)] == ["chromium"]
    assert [exchange.client for exchange in salvage(tmp_path, client="yt-dlp")] == ["yt-dlp"]


GOOD = {
    "client": "yt-dlp", "url": "https://a.test/", "method": "GET", "started": "2026-11-23T08:13:00+00:00",
    "request_head": "", "response_head": "", "ip": "", "layer": "h1-bytes",
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        *(json.dumps({**GOOD, name: 5}) for name in GOOD),
        json.dumps({**GOOD, "started": "0001-01-01T00:00:00+23:59"}),
        json.dumps({**GOOD, "url": "https://a.test/\ud800"}),
        json.dumps({**GOOD, "url": "https://[a.test/"}),
        json.dumps({**GOOD, "layer": "x"}),
        "[" * 100_000,
        "[]",
    ],
)
def test_a_note_that_nobody_would_write_is_left_and_keeps_no_other_from_being_salvaged(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / f"{'0' * 32}.note").write_text(text + "\n")
    (tmp_path / f"{'1' * 32}.note").write_text(json.dumps(GOOD) + "\n")
    assert [exchange.note for exchange in salvage(tmp_path)] == [tmp_path / f"{'1' * 32}.note"]


def test_what_is_no_plain_file_or_has_no_name_of_ours_keeps_no_other_from_being_salvaged(
    tmp_path: Path,
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(GOOD) + "\n")
    names = iter("0123456789abcde")
    (tmp_path / "x.note").mkdir()
    (tmp_path / f"{next(names) * 32}.note").mkdir()
    (tmp_path / f"{next(names) * 32}.note").symlink_to(secret)
    (tmp_path / "not-a-uuid.note").write_text(json.dumps(GOOD) + "\n")
    answered = json.dumps({**GOOD, "response_head": HEAD.decode()}) + "\n"
    for suffix in (".body", ".sent", ".frames"):
        for lay in (lambda path: path.symlink_to(secret), os.mkfifo, Path.mkdir):
            note = tmp_path / f"{next(names) * 32}.note"
            note.write_text(answered)
            lay(note.with_suffix(suffix))
    (tmp_path / f"{'f' * 32}.note").write_text(json.dumps(GOOD) + "\n")
    assert [exchange.note for exchange in salvage(tmp_path)] == [tmp_path / f"{'f' * 32}.note"]
