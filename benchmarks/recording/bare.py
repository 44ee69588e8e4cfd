"""Playwright alone: load, scroll, two screenshots, DOM, exactly what a recorded visit does, and nothing kept.

    python -m benchmarks.recording.bare isolated|shared FOLDER PROXY|- URL…

*isolated*: a fresh browser for each page, as Akashi has it; *shared*: one for all.
"""

from __future__ import annotations

import asyncio
import sys

from playwright.async_api import Browser, Playwright, async_playwright

from benchmarks.measured import look
from pipelines.record.chromium import VIEWPORT, find_chromium


async def visit(url: str, browser: Browser) -> None:
    """One page in a context of its own."""
    context = await browser.new_context(viewport={"width": VIEWPORT[0], "height": VIEWPORT[1]})
    await look(await context.new_page(), url)
    await context.close()


async def launch(driver: Playwright, proxy: str) -> Browser:
    """The browser that Akashi uses, with Playwright's own arguments."""
    told = [] if proxy == "-" else [f"--proxy-server={proxy}", "--proxy-bypass-list=<-loopback>"]
    return await driver.chromium.launch(executable_path=find_chromium(driver), args=told)


async def main() -> None:
    """Visit all."""
    how, _folder, proxy, *urls = sys.argv[1:]
    async with async_playwright() as driver:
        browser = await launch(driver, proxy)
        for url in urls:
            await visit(url, browser)
            if how == "isolated" and url != urls[-1]:
                await browser.close()
                browser = await launch(driver, proxy)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
