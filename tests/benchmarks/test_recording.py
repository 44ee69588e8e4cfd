"""The benchmark's own scales: CPU of a whole tree, what a tool left, the picture."""

from __future__ import annotations

import io
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from benchmarks.recording.__main__ import against_floors
from benchmarks.recording.chart import draw
from benchmarks.recording.left import left_in
from benchmarks.recording.measured import measure

BURN = "import pathlib, time\nwhile time.process_time() < 0.4: pass\npathlib.Path('done').touch(); time.sleep(60)"
DETACHED = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {BURN!r}], start_new_session=True)"
)
AWAITED = "import pathlib, time\nwhile not pathlib.Path('done').exists(): time.sleep(0.6)"


def test_a_process_that_left_its_parent_and_session_is_counted(tmp_path: Path):
    figures = measure(
        [sys.executable, "-c", f"{DETACHED}\n{AWAITED}"],
        folder=tmp_path,
        environment=dict(os.environ),
        seconds=60,
    )
    assert figures["code"] == 0
    assert 0.4 <= figures["cpu"] < 5
    assert figures["memory"] > 1_000_000


def test_a_run_beyond_its_time_is_ended_and_says_so(tmp_path: Path):
    figures = measure(["sleep", "60"], folder=tmp_path, environment=dict(os.environ), seconds=0.2)
    assert figures["code"] == 124
    assert figures["wall"] < 30


def warc_of(path: Path, kind: str, url: str, body: bytes) -> None:
    with path.open("wb") as out:
        head = StatusAndHeaders("200 OK", [("Content-Type", "video/mp4")], protocol="HTTP/1.1")
        writer = WARCWriter(out)
        http = head if kind == "response" else None
        record = writer.create_warc_record(url, kind, payload=io.BytesIO(body), http_headers=http)
        writer.write_record(record)
        record.raw_stream.close()  # warcio's own spool, which it leaves open


def test_a_video_counts_only_where_every_byte_of_it_lies(tmp_path: Path):
    video, left = tmp_path / "1.mp4", tmp_path / "left"
    left.mkdir()
    video.write_bytes(b"0123456789" * 1000)
    url = "http://host:1/media/1.mp4"
    assert left_in(left, "host:1", [video]).video == "no"
    warc_of(left / "a.warc.gz", "response", url, video.read_bytes()[:-1])
    assert (left_in(left, "host:1", [video]).video, left_in(left, "host:1", [video]).recorded) == ("no", 1)
    (left / "copy").write_bytes(video.read_bytes())
    assert left_in(left, "host:1", [video]).video == "file"
    warc_of(left / "b.warc.gz", "resource", url, video.read_bytes())
    assert left_in(left, "host:1", [video]).video == "resource"
    warc_of(left / "c.warc.gz", "response", "http://host:1/media/1.mp4", video.read_bytes())
    assert (left_in(left, "host:1", [video]).video, left_in(left, "host:1", [video]).recorded) == (
        "exchange",
        2,
    )


def row(tool: str, cpu: float, *, case: str = "b", floor: bool = False) -> dict[str, object]:
    return {
        "case": case, "tool": tool, "floor": floor, "cpu": cpu, "cpu_range": [cpu, cpu], "n": 3, "code": 0,
        "times": 1, "video": "exchange", "recorded": 12, "served": 12,
    }  # fmt: skip


def test_a_floor_is_both_bare_tools_each_as_it_was_run():
    rows = [row("yt-dlp", 1), row("Playwright", 3), row("Playwright, isolated", 7), row("Akashi", 8)]
    rows += [row("yt-dlp, isolated", 3)]
    assert against_floors(rows) == {"b: CPU ÷ isolated floor": 0.8, "b: CPU ÷ shared floor": 2.0}


def test_the_picture_is_svg_with_a_bar_for_each_tool_that_worked():
    rows = [row("yt-dlp", 1, floor=True), row("Akashi", 8), {**row("<broken>", 1), "code": 1}]
    drawn = draw({"cases": {"b": "a & b"}, "rows": rows, "date": "d", "machine": "m", "rounds": 3})
    texts = ["".join(one.itertext()) for one in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314
    assert "b  ·  a & b" in texts
    assert [name for name in ("yt-dlp", "Akashi", "<broken>") if name in texts] == ["yt-dlp", "Akashi"]
