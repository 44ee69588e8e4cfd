"""One recording in a process of its own, as a step of a capture runs it; for tests that kill it.

python -m tests.end_to_end.recording page|video URL FOLDER     says "recording" when it begins
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from pipelines.guard import Resolver, Tunnel
from pipelines.record.page import record_page
from pipelines.record.sink import WarcSink
from pipelines.record.warcfile import trim_torn_tail
from pipelines.record.ytdlp import record_video
from storage.settings import Settings


def open_sink(folder: Path) -> WarcSink:
    return WarcSink(folder / "a.warc.gz", spool=folder, capture_id="01TEST", warcinfo={"a": "b"})


async def record(what: str, url: str, folder: Path) -> None:
    sink, settings = open_sink(folder), Settings(page_timeout=6.0, timeout=60.0)
    async with Tunnel(Resolver(allow_private=True), log=folder / "connections.jsonl") as tunnel:
        print("recording", flush=True)  # noqa: T201
        where = {"sink": sink, "workdir": folder / "work", "tunnel": tunnel, "settings": settings}
        if what == "page":
            gave = await record_page(url, **where, on_progress=lambda *_: None)
            failed = gave.failed
        else:
            gave, failed = await record_video(url, **where), None
    sink.close()
    print(failed, gave.reasons)  # noqa: T201


def take_up(folder: Path) -> None:
    """What the next start does with the folder of a recording that died (pipelines/recovery.py)."""
    path = folder / "a.warc.gz"
    if path.exists():
        trim_torn_tail(path)
    sink = open_sink(folder)
    for spool in (folder, folder / "work" / "spool"):
        for _ in sink.salvage(spool):
            pass
    sink.close()


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
