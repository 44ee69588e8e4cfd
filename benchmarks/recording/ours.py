"""The recording steps of Akashi, one capture after the other as a worker makes them: page, then video.

The WARC is sealed (its own digests) when it is preserved, which is no step of these.

python -m benchmarks.recording.ours FOLDER URL…      leaves FOLDER/<n>.warc.gz
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from pipelines.guard import Resolver, Tunnel
from pipelines.record.page import record_page
from pipelines.record.sink import WarcSink
from pipelines.record.ytdlp import record_video
from storage.settings import Settings


async def record(url: str, folder: Path, number: int) -> None:
    """One capture; SystemExit if it is not whole."""
    work = folder / f"work-{number}"
    work.mkdir(mode=0o711)
    settings, resolver = Settings(browser=os.environ.get("AKASHI_BROWSER", "")), Resolver(allow_private=True)
    sink = WarcSink(
        folder / f"{number}.warc.gz", capture_id="01KAR5Q8Z41X7JQ9D2N6V0H3GT", warcinfo={}, spool=work
    )
    async with Tunnel(resolver, log=work / "connections.jsonl") as tunnel:
        page = await record_page(
            url, sink=sink, workdir=work / "page", tunnel=tunnel, settings=settings,
            on_progress=lambda _what, _done: None,
        )  # fmt: skip
    async with Tunnel(resolver, log=work / "connections.jsonl") as tunnel:
        video = await record_video(
            url, sink=sink, workdir=work / "video", tunnel=tunnel, settings=settings,
            page_hints=page.video_hints,
        )  # fmt: skip
    if page.failed or not video.files:
        raise SystemExit(f"{url}: {page.failed} {page.reasons} {video.reasons}")
    print(url, page.exchanges, page.reasons, page.missing, [file.role for file in video.files], video.reasons)


async def _all(folder: Path, urls: list[str]) -> None:
    for number, url in enumerate(urls, 1):
        await record(url, folder, number)


if __name__ == "__main__":
    asyncio.run(_all(Path(sys.argv[1]), sys.argv[2:]))
