"""A video child that was taken over: it lies, and lays links where its folders were."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from evidence.warc_check import read_warc
from pipelines.children import make_workdir
from pipelines.guard import Resolver, Tunnel
from pipelines.record.exchange import Body, Exchange
from pipelines.record.sink import WarcSink
from pipelines.record.spool import BodySpool
from pipelines.record.ytdlp import record_video
from pipelines.record.ytdlp_inbox import VideoRecord
from pipelines.record.ytdlp_wire import decode_exchange, encode
from storage.settings import Settings

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
NAME = "0" * 32
OTHER = "f" * 32
SECRET = b"half of another capture's exchange"


def told(folder: Path, **more: Any) -> dict[str, Any]:
    """An exchange as the child tells it; its body, `hello`, is to lie in the spool as `NAME.body`."""
    spool = BodySpool(folder / f"{NAME}.body", HEAD, content=True)
    spool.write(b"hello")
    exchange = Exchange(
        client="yt-dlp", url="https://a.test/v", method="GET", started=datetime(2026, 11, 23, tzinfo=UTC),
        request_head=b"GET /v HTTP/1.1\r\n\r\n", response_head=HEAD, response_body=spool.close(),
        request_body=Body(2, data=b"hi"),
    )  # fmt: skip
    facts: dict[str, Any] = json.loads(encode({"exchange": exchange}))["exchange"]
    return {**facts, **more}


@dataclass
class Taken:
    """Runs a program as the video child, beside the folder of another capture that is under way."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def __post_init__(self) -> None:
        self.other, self.work = self.folder / "other", self.folder / "mine" / "work"
        make_workdir(self.work.parent)
        for folder in (self.other, self.other / "files", self.other / "spool"):
            folder.mkdir()
            for name in (NAME, OTHER):  # as if the child knew the name of one
                (folder / f"{name}.body").write_bytes(SECRET)
            note = {"client": "x", "url": "https://b.test/", "method": "GET", "ip": "", "layer": "h1-bytes"}
            heads = {"started": "2026-11-23T00:00:00+00:00", "request_head": "", "response_head": ""}
            (folder / f"{OTHER}.note").write_text(json.dumps({**note, **heads}) + "\n")

    def all_of_the_other(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.other.rglob("*") if path.is_file()}

    def __call__(self, program: str, *events: dict[str, Any]) -> VideoRecord:
        """`program` runs in the child's folder, where `spool` and `files` are, and has the lines of `events`."""
        lines = [json.dumps(event) for event in events]
        text = (
            "import os\nfor name in ('files', 'spool'): os.mkdir(name)\n"
            f"open('spool/{NAME}.body', 'wb').write(b'hello')\n"
            f"OTHER, lines = {str(self.other)!r}, {lines!r}\n"
            "def tell():\n    for line in lines: print(line, flush=True)\n"
            f"def written():\n    while os.path.exists('spool/{NAME}.body'): pass\n{program}"
        )
        self.monkeypatch.setattr(
            "pipelines.record.ytdlp.python_argv", lambda _: ["/usr/bin/python3", "-c", text]
        )
        return asyncio.run(self._record())

    async def _record(self) -> VideoRecord:
        self.warc = self.folder / "a.warc.gz"
        sink = WarcSink(self.warc, spool=self.folder, capture_id="01TEST", warcinfo={"a": "b"})
        try:
            async with Tunnel(Resolver(allow_private=True), log=self.folder / "connections.jsonl") as tunnel:
                return await record_video(
                    "https://a.test/", sink=sink, workdir=self.work, tunnel=tunnel,
                    settings=Settings(timeout=20.0),
                )  # fmt: skip
        finally:
            sink.close()
            with self.warc.open("rb") as stream:
                self.read = list(read_warc(stream))


@pytest.fixture
def taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Taken:
    return Taken(folder, monkeypatch)


END = {"event": "end", "info": {}, "ytdlp": {}}


def test_a_child_that_does_as_it_is_told_is_believed(taken: Taken, tmp_path: Path) -> None:
    keep = {"event": "exchange", "number": 0, "keep": True, "exchange": told(tmp_path)}
    assert taken("tell()", keep, END).reasons == []
    assert len(taken.read) == 4  # warcinfo, response, request, facts


@pytest.mark.parametrize("number", ["/../evil", "{folder}/evil", -1, True, 1.5, None])
def test_an_exchange_has_a_number_and_nothing_else(taken: Taken, tmp_path: Path, number: object) -> None:
    if isinstance(number, str):
        number = number.format(folder=taken.other)
    before = taken.all_of_the_other()
    keep = {"event": "exchange", "number": number, "keep": True, "exchange": told(tmp_path)}
    video = taken("tell()", keep, END)
    assert taken.all_of_the_other() == before
    assert "spoke nonsense" in video.reasons[0].detail


@pytest.mark.parametrize("where", ["files", "spool", "../work"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_through_a_link_in_place_of_its_folder_nothing_is_linked_read_or_deleted(
    taken: Taken, tmp_path: Path, where: str, first: bool, keep: bool
) -> None:
    target = "OTHER" if where.startswith("..") else f"OTHER + '/{where}'"
    lay = f"os.rename({where!r}, '../gone'); os.symlink({target}, {where!r})"
    before = taken.all_of_the_other()
    exchange = {"event": "exchange", "number": 7, "keep": keep, "exchange": told(tmp_path)}
    video = taken(f"{lay}; tell()" if first else f"tell(); written(); {lay}", exchange, END)
    assert taken.all_of_the_other() == before
    assert "video-failed" in [reason.code for reason in video.reasons]
    assert "b.test" not in str(taken.read)


def test_what_it_left_half_received_is_its_own_whatever_its_note_says(taken: Taken) -> None:
    left = f"{OTHER}.note"
    note = (taken.other / "spool" / left).read_text().replace('"x"', '"chromium"')
    taken(f"open('spool/{left}', 'w').write({note!r}); tell()", END)
    index = taken.warc.with_name(f"{taken.warc.name}.index").read_text()
    assert "https://b.test/" in index
    assert "chromium" not in index


def test_what_lay_in_its_folder_before_is_gone_and_written_through_by_nobody(
    taken: Taken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_workdir(taken.work)
    mine = tmp_path / "mine"
    mine.write_bytes(b"no authority")
    (taken.work / "authorities.pem").symlink_to(mine)
    (taken.work / "files").mkdir()
    extra = tmp_path / "extra.pem"
    extra.write_bytes(b"extra")
    monkeypatch.setenv("AKASHI_EXTRA_CA", str(extra))
    assert taken("tell()", END).reasons == []
    assert mine.read_bytes() == b"no authority"
    assert (taken.work / "authorities.pem").read_bytes().endswith(b"extra")


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "end", "info": 5, "ytdlp": {}}',
        '{"event": "end", "info": {}, "ytdlp": [1]}',
        "[" * 100_000,
        "[]",
        '{"event": "resource", "name": "info.json", "text": 5}',
        '{"event": "file", "name": "1-a.mp4", "what": "video", "hollow": true, "format_id": "", "how": ""}',
        '{"event": "file", "name": "1-a.mp4", "what": "", "format_id": "", "how": "", "exchanges": [0, "1"]}',
    ],
)
def test_a_line_that_is_no_event_is_a_named_reason(taken: Taken, line: str) -> None:
    video = taken(f"print({line!r}, flush=True)")
    assert "spoke nonsense" in video.reasons[0].detail
    assert video.info == {}


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts["response_body"].update(block_sha256="0" * 64 + "\r\nWARC-Evil: 1"),
        lambda facts: facts["response_body"].update(payload_sha256="0" * 63 + "\n"),
        lambda facts: facts["response_body"].update(block_sha256=""),
        lambda facts: facts["response_body"].update(content_sha256="0" * 65),
        lambda facts: facts["response_body"].update(content_size=-1),
        lambda facts: facts["response_body"].update(size="5"),
        lambda facts: facts["response_body"].update(size=True),
        lambda facts: facts["request_body"].update(size=-1),
        lambda facts: facts.update(frames={"size": 1}),
        lambda facts: facts.update(url="https://a.test/\ud800"),
        lambda facts: facts.update(url="https://[a.test/"),
        lambda facts: facts.update(url=5),
        lambda facts: facts.update(error="\udfff"),
        lambda facts: facts.update(method=None),
        lambda facts: facts.update(started="0001-01-01T00:00:00+23:59"),
        lambda facts: facts["network"].update(ip=["192.0.2.7"]),
    ],
)
def test_an_exchange_that_no_warc_can_hold_is_refused_before_it_is_written(
    tmp_path: Path, change: Change
) -> None:
    facts = told(tmp_path)
    decode_exchange(json.loads(json.dumps(facts)), tmp_path)
    change(facts)
    with pytest.raises((ValueError, TypeError, OverflowError)):
        decode_exchange(facts, tmp_path)


def test_a_line_end_in_what_the_child_says_ends_no_header_line(taken: Taken, tmp_path: Path) -> None:
    evil = "x\r\nWARC-Evil: 1\r\n"
    facts = told(tmp_path, url=f"https://a.test/{evil}", method=evil, error=evil)
    facts["network"] |= {"ip": evil, "protocol": evil, "tls": evil, "cipher": evil}
    taken("tell()", {"event": "exchange", "number": 0, "keep": False, "exchange": facts}, END)
    assert len(taken.read) == 4
    assert "warc-evil'" not in str(taken.read).lower()
