"""The floors: yt-dlp alone and Playwright alone, doing just what a capture asks of them, unrecorded."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any


def resolve_as_told() -> None:
    """Let this process find the local site by AKASHI_HOSTS, as the recorded clients do."""
    hosts = dict(pair.split("=") for pair in os.environ["AKASHI_HOSTS"].split(","))
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        return real(hosts.get(host, host), *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


def ytdlp(url: str) -> None:
    """Download the best original format of a post, as `yt-dlp URL` does."""
    import yt_dlp  # noqa: PLC0415 - its import belongs to what is measured

    resolve_as_told()
    os.environ["SSL_CERT_FILE"] = os.environ["AKASHI_EXTRA_CA"]
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {
            "compat_opts": {"no-certifi"},
            "fixup": "never",
            "format": "b",
            "ignoreconfig": True,
            "noprogress": True,
            "outtmpl": f"{folder}/%(id)s.%(ext)s",
            "quiet": True,
        }
        with yt_dlp.YoutubeDL(options) as downloader:
            downloader.download([url])


async def playwright(url: str, chromium: str) -> None:
    """Load a page, wait until it is quiet, scroll, take both screenshots and the DOM, in a fresh browser."""
    from playwright.async_api import async_playwright  # noqa: PLC0415

    from pipelines.record.chromium import BARE_ARGUMENTS  # noqa: PLC0415
    from pipelines.record.page import act_on  # noqa: PLC0415

    rules = ",".join(f"MAP {pair.replace('=', ' ')}" for pair in os.environ["AKASHI_HOSTS"].split(","))
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=chromium,
            args=[*BARE_ARGUMENTS, "--no-sandbox", f"--host-resolver-rules={rules}"],
        )
        context = await browser.new_context(ignore_https_errors=True)
        page = await context.new_page()
        await act_on(page, url)
        await browser.close()


def main() -> None:
    """`python -m benchmarks.bare ytdlp|playwright URL`."""
    tool, url = sys.argv[1:3]
    if tool == "ytdlp":
        ytdlp(url)
    else:
        asyncio.run(playwright(url, str(Path("/usr/bin/chromium"))))


if __name__ == "__main__":
    main()
