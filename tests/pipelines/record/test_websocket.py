"""Frames told apart in what crosses a WebSocket, and put together again from what was kept."""

from __future__ import annotations

import base64
import json
import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.record.exchange import Body
from pipelines.record.spool import BodySpool
from pipelines.record.websocket import PIECE, Frames

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
HELLO = bytes.fromhex("818537fa213d7f9f4d5158")
"""RFC 6455 §5.7: a masked `Hello`."""


def kept(folder: Path, *pieces: tuple[str, bytes], why: str = "over") -> tuple[Body, list[dict]]:
    frames = Frames(BodySpool(folder / "0.frames", b""))
    for sender, data in pieces:
        frames.take(sender, data, NOW)
    body = frames.close(why)
    data = body.path.read_bytes() if body.path else body.data or b""
    return body, [json.loads(line) for line in data.splitlines()]


def test_the_rfcs_masked_hello_is_one_line(tmp_path):
    _, lines = kept(tmp_path, ("client", HELLO))
    assert lines == [
        {"time": "2026-11-25T12:00:00.000Z", "from": "client", "head": "818537fa213d", "opcode": 1,
         "final": True, "payload": base64.b64encode(b"Hello").decode()}
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_frames_are_the_same_however_the_bytes_are_cut(tmp_path, size):
    stream = b"\x01\x03Hel\x80\x02lo\x89\x00" + b"\x82\x7e\x01\x00" + bytes(256) + b"\x88\x02\x03\xe8"
    cut = [("server", stream[at : at + size]) for at in range(0, len(stream), size)]
    body, lines = kept(tmp_path, *cut)
    assert [(line["opcode"], line["final"]) for line in lines] == [
        (1, False), (0, True), (9, True), (2, True), (8, True),
    ]  # fmt: skip
    assert b"".join(bytes.fromhex(x["head"]) + base64.b64decode(x["payload"]) for x in lines) == stream
    assert body.state == "as-received"


def test_a_large_frame_goes_on_in_lines_without_a_head(tmp_path):
    payload, mask = os.urandom(2 * PIECE + 5), b"\x01\x02\x03\xff"
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
    head = b"\x82\xff" + len(payload).to_bytes(8, "big") + mask
    _, lines = kept(tmp_path, ("client", head + masked[:100_000]), ("client", masked[100_000:]))
    assert ["head" in line for line in lines] == [True, False, False]
    assert b"".join(base64.b64decode(line["payload"]) for line in lines) == payload


def test_a_frame_that_claims_exabytes_takes_no_memory(tmp_path):
    frames = Frames(BodySpool(tmp_path / "0.frames", b""))
    frames.take("server", b"\x82\x7f\x7f" + b"\xff" * 7, NOW)
    tracemalloc.start()
    for _ in range(400):
        frames.take("server", bytes(1 << 14), NOW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    body = frames.close("over")
    assert peak < 4 << 20
    assert body.size > 400 << 14
    assert body.state == "truncated"


@pytest.mark.parametrize("torn", [b"\x81", b"\x81\x85\x37", HELLO[:-2]])
def test_what_is_open_at_the_end_is_kept_and_cut_short(tmp_path, torn):
    body, lines = kept(tmp_path, ("client", HELLO + torn), why="disconnect: gone")
    assert (body.state, body.why) == ("truncated", "disconnect: gone")
    (_, rest) = lines
    assert rest["head"] == torn[:6].hex()
    assert base64.b64decode(rest.get("payload", "")) == (b"Hel" if len(torn) > 6 else b"")
