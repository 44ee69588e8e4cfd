"""Recordings of videos as tests hold them: what one gave, and what its server logged meanwhile."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from evidence.warc_check import read_warc
from pipelines.guard import Resolver, Tunnel
from pipelines.record.sink import WarcSink
from pipelines.record.ytdlp import record_video
from pipelines.record.ytdlp_inbox import VideoRecord
from storage.settings import Settings
from tests.site.served_log import ServedExchange, ServedLog

Progress = Callable[[str, int, int], None]


@dataclass
class Recorded:
    """What one recording gave, and what the server logged meanwhile."""

    video: VideoRecord
    sink: WarcSink
    served: list[ServedExchange]

    def codes(self) -> list[str]:
        return [reason.code for reason in self.video.reasons]

    def why(self) -> str:
        """For a test that fails: what the recording itself says went wrong."""
        facts = [
            json.loads(b) for h, b in self.records("metadata") if h["Content-Type"] == "application/json"
        ]
        said = [
            block.decode() for h, block in self.records("resource") if h["WARC-Target-URI"].endswith(".log")
        ]
        return "\n".join(
            [str(self.video.reasons), *(f"{f['url']}: {f['error'] or f['body']}" for f in facts), *said]
        )

    def records(self, kind: str) -> list[tuple[dict[str, str], bytes]]:
        with self.sink.path.open("rb") as stream:
            return [
                (dict(record.rec_headers.headers), record.raw_stream.read())
                for record in ArchiveIterator(stream, no_record_parse=True)
                if record.rec_type == kind
            ]


@dataclass
class Recorder:
    folder: Path
    log: ServedLog
    task: asyncio.Task[Any] | None = None

    def __call__(
        self,
        url: str,
        *,
        hints: tuple[str, ...] = (),
        on_progress: Progress = lambda *_: None,
        cancel: bool = False,
        allow_private: bool = True,
        **settings: Any,
    ) -> Recorded:
        sink = WarcSink(
            self.folder / "a.warc.gz", spool=self.folder, capture_id="01KAR", warcinfo={"software": "akashi"}
        )
        mark = self.log.mark()
        chosen = replace(Settings.load(), **{"timeout": 60.0, **settings})
        video, resolver = VideoRecord(), Resolver(allow_private=allow_private)

        async def record() -> None:
            nonlocal video
            self.task = asyncio.current_task()
            async with Tunnel(resolver, log=self.folder / "connections.jsonl") as tunnel:
                video = await record_video(
                    url,
                    sink=sink,
                    workdir=self.folder / "work",
                    tunnel=tunnel,
                    settings=chosen,
                    page_hints=hints,
                    on_progress=on_progress,
                )

        try:
            asyncio.run(record())
        except asyncio.CancelledError:
            assert cancel
        finally:
            sink.close()
        assert_accepted(sink.path)
        return Recorded(video, sink, self.log.since(mark))


def assert_accepted(path: Path) -> None:
    assert Checker(Namespace(inputs=[str(path)], verbose=False)).process_all() == 0
    with path.open("rb") as stream:
        assert list(read_warc(stream))
    with path.open("rb") as stream:
        assert all(
            record.verify_block_digest(consume=True) for record in FastIterator(stream, parse_http=False)
        )


def assert_same_as_served(got: Recorded, *, at_once: bool = False) -> None:
    """Every exchange of the log is in the WARC, in order, byte for byte, with the connection's facts.

    Where several were under way at once, the order is that of their URLs and requests.
    """
    requests = got.records("request")
    responses = {h["WARC-Record-ID"]: (h, block) for h, block in got.records("response")}
    facts = [json.loads(b) for h, b in got.records("metadata") if h["Content-Type"] == "application/json"]
    pairs = list(zip(requests, facts, strict=True))
    logged = got.served
    if at_once:
        logged = sorted(logged, key=lambda served: (served.url, served.request_head))
        pairs.sort(key=lambda pair: (pair[0][0]["WARC-Target-URI"], pair[0][1], pair[1]["started"]))
    assert len(requests) == len(got.served) == len(facts) > 0
    for served, ((asked, request), fact) in zip(logged, pairs, strict=True):
        assert asked["WARC-Target-URI"] == served.url
        assert request == served.request_head + served.request_body
        assert asked["WARC-IP-Address"] == "127.0.0.1"
        assert (fact["tls"], fact["cipher"]) == (served.tls.replace("TLSv", "tls/"), served.cipher)
        assert (fact["port"], fact["dns"]) == (served.port, ["127.0.0.1"])
        if "WARC-Concurrent-To" not in asked:  # the connection was reset before anything could be read
            assert fact["error"]
            assert not served.completed
            continue
        answered, response = responses.pop(asked["WARC-Concurrent-To"])
        assert answered["WARC-Target-URI"] == served.url
        assert answered["WARC-IP-Address"] == "127.0.0.1"
        if served.completed and "WARC-Truncated" not in answered:
            assert response == served.response_head + served.body_bytes()
        else:
            assert answered["WARC-Truncated"]
            assert (served.response_head + served.body_bytes()).startswith(response)
    assert not responses
