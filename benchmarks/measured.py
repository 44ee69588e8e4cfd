"""One measured run in a process of its own; prints {"cpu", "wall", "rss", "seal"}: seconds, seconds, bytes, seconds.

`seal` is what the WARC's own digests take when it is preserved: no part of the recording steps.

    python -m benchmarks.measured video|bare-video|page|bare-page URL

A bare run does what the recorded one asks of the site and no more: the same download; the same
load, wait, scroll, two screenshots and DOM. Imports are not measured: both have theirs.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from playwright.async_api import Page, async_playwright

from pipelines.guard import Resolver, Tunnel
from pipelines.record.chromium import VIEWPORT, find_chromium
from pipelines.record.page import record_page
from pipelines.record.page_visit import _READ, _SCROLL, SCROLL_PAUSE_MS, SCROLL_STEPS, TEXT_MAX
from pipelines.record.sink import WarcSink
from pipelines.record.ytdlp import record_video
from storage.settings import Settings
from tests.site import bare


def main() -> None:
    """Run one and print its figures."""
    what, url = sys.argv[1:3]
    runs: dict[str, Callable[[str, Path], WarcSink | None]] = {
        "bare-page": bare_page,
        "bare-video": bare_video,
        "page": page,
        "video": video,
    }
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="akashi-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        before, wall = cpu(), time.perf_counter()
        sink = runs[what](url, folder)
        figures = {"cpu": cpu() - before, "wall": time.perf_counter() - wall, "rss": peak()}
        if sink is not None:
            before = cpu()
            sink.close()
            figures["seal"] = cpu() - before
    print(json.dumps(figures))


def cpu() -> float:
    """User and system seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak() -> int:
    """Peak memory of the largest process among this one and its children, in bytes."""
    return 1024 * max(
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def video(url: str, folder: Path) -> WarcSink:
    """The video step: yt-dlp in its child through the tunnel, every exchange into a WARC with its digests."""
    return asyncio.run(_video(url, folder))


async def _video(url: str, folder: Path) -> WarcSink:
    sink = _sink(folder)
    async with Tunnel(Resolver(allow_private=True), log=folder / "connections.jsonl") as tunnel:
        recorded = await record_video(
            url, sink=sink, workdir=folder / "video", tunnel=tunnel, settings=Settings()
        )
    if [file.role for file in recorded.files] != ["original"]:
        raise SystemExit(f"not recorded as it should be: {recorded.reasons}")
    return sink


def bare_video(url: str, folder: Path) -> None:
    """Unmodified yt-dlp."""
    environment = {**os.environ, "SSL_CERT_FILE": os.environ["AKASHI_EXTRA_CA"]}
    subprocess.run(
        bare.yt_dlp("--fixup", "never", "-o", str(folder / "%(id)s.%(ext)s"), url),
        env=environment,
        check=True,
    )


def page(url: str, folder: Path) -> WarcSink:
    """The page step."""
    return asyncio.run(_page(url, folder))


async def _page(url: str, folder: Path) -> WarcSink:
    sink = _sink(folder)
    async with Tunnel(Resolver(allow_private=True), log=folder / "connections.jsonl") as tunnel:
        recorded = await record_page(
            url,
            sink=sink,
            workdir=folder / "page",
            tunnel=tunnel,
            settings=Settings(),
            on_progress=lambda _t, _n: None,
        )
    if recorded.failed or recorded.reasons:
        raise SystemExit(f"not recorded as it should be: {recorded.failed} {recorded.reasons}")
    return sink


def bare_page(url: str, folder: Path) -> None:
    """Playwright alone, with a fresh browser."""
    asyncio.run(_bare_page(url, folder))


async def _bare_page(url: str, folder: Path) -> None:
    async with async_playwright() as driver:
        context = await driver.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=find_chromium(driver),
            args=[*bare.CHROMIUM, "--disable-quic"],
            ignore_https_errors=True,
            viewport={"width": VIEWPORT[0], "height": VIEWPORT[1]},
        )
        await look(context.pages[0], url)
        await context.close()


async def look(page: Page, url: str) -> None:
    """What a visit does: load, quiet, look, scroll, quiet, look, read. Quiet is half a second here."""
    await page.goto(url, wait_until="load")
    await asyncio.sleep(0.5)
    await page.screenshot(type="png")
    await page.evaluate(_SCROLL, [SCROLL_STEPS, SCROLL_PAUSE_MS])
    await asyncio.sleep(0.5)
    await page.screenshot(type="png", full_page=True)
    await page.evaluate(_READ, TEXT_MAX)


def _sink(folder: Path) -> WarcSink:
    return WarcSink(
        folder / "capture.warc.gz", capture_id="01KAR5Q8Z41X7JQ9D2N6V0H3GT", warcinfo={}, spool=folder
    )


if __name__ == "__main__":
    main()
