"""One visit in one browser: open, wait until quiet, look, scroll once, look again. Nothing is clicked.

    open → load → quiet → screenshot (viewport) → scroll to the end and back → quiet → screenshot (whole) → DOM

Every wait ends at the visit's deadline, or when its budget of bytes is spent: what was seen until then stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.async_api import Dialog, Page
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout

from evidence.reasons import Reason
from pipelines.record.chromium import VIEWPORT, Chromium
from pipelines.record.page_traffic import Traffic
from storage.settings import Settings

SCREENSHOT_HEIGHT: Final = 16384
"""CSS pixels of the tallest screenshot: the edge of a GPU texture, beyond which Chromium repeats itself."""
TEXT_MAX: Final = 200_000
"""Characters of visible text that are kept."""
_LOOK_SECONDS: Final = 15.0
_TICK_SECONDS: Final = 0.1
_NOTES_MAX: Final = 50

Progress = Callable[[str, int], None]

_SCROLL: Final = """async ([steps, pause]) => {
  for (let step = 1; step <= steps; step++) {
    scrollTo({top: step * innerHeight, behavior: 'instant'});
    await new Promise(done => setTimeout(done, pause));
    if (scrollY + innerHeight >= document.documentElement.scrollHeight - 1) break;
  }
  scrollTo({top: 0, behavior: 'instant'});
}"""
SCROLL_STEPS: Final = 24
"""Screens that are scrolled through at most: enough for what loads lazily, an end for what never ends."""
SCROLL_PAUSE_MS: Final = 50
_SCROLL_SECONDS: Final = 5.0
"""For the scroll of a page that has used up its time."""
_READ: Final = """textMax => {
  const body = document.body, kind = document.doctype;
  const seen = 'img,video,audio,canvas,svg,iframe,object,embed';
  return {
    html: (kind ? new XMLSerializer().serializeToString(kind) : '') + document.documentElement.outerHTML,
    title: document.title,
    text: body ? body.innerText.slice(0, textMax) : '',
    empty: !body || !(body.innerText.trim() || body.querySelector(seen)),
    agent: navigator.userAgent,
  };
}"""
_HEIGHT: Final = "() => Math.max(document.documentElement.scrollHeight, document.body?.scrollHeight || 0)"


@dataclass(slots=True)
class Seen:
    """What a visit saw; what it did not come to see is empty."""

    status: int = 0
    final_url: str = ""
    error: str = ""
    """Why the document did not come, in Playwright's words."""
    timed_out: bool = False
    opened: bool = False
    """Whether a document was there to look at."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    """PNG by name: `viewport`, `full`."""
    clipped: bool = False
    """Whether the page is taller than its screenshot."""
    html: str = ""
    title: str = ""
    text: str = ""
    agent: str = ""
    empty: bool = False
    dialogs: list[dict[str, str]] = field(default_factory=list)
    popups: list[str] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    urls: dict[str, None] = field(default_factory=dict)


class Visit:
    """Visits one URL; `seen` fills as it goes and is valid whenever the visit is stopped."""

    def __init__(self, browser: Chromium, settings: Settings, on_progress: Progress) -> None:
        self.seen = Seen()
        self._browser, self._settings, self._say = browser, settings, on_progress
        self._step = "opening the page"
        self._spent = asyncio.Event()
        self._dead = False
        self._traffic = Traffic(browser.context, lambda: browser.reader.awaited)
        self.seen.urls = self._traffic.urls
        self._tasks: set[asyncio.Task[None]] = set()
        self._page = browser.context.pages[0]
        self._page.on("crash", lambda _: self._note("browser-failed", "the page crashed"))
        browser.context.on("dialog", lambda dialog: self._spawn(self._dismiss(dialog)))
        browser.context.on("page", lambda page: self._spawn(self._close_popup(page)))

    async def run(self, url: str) -> None:
        """Visit. What goes wrong with the page stands in `seen`; raises nothing of its own."""
        self._deadline = asyncio.get_running_loop().time() + self._settings.page_timeout
        self._spawn(self._watch())
        try:
            if not await self._until(self._open(url)) and not self._spent.is_set():
                self.seen.timed_out = True
            if not self.seen.opened:
                return
            settled = await self._wait("loading the page", self._settle())
            await self._look("viewport", self._screenshot("viewport"))
            if not self._spent.is_set() and not self._dead:
                await self._wait("scrolling", self._scroll(quiet=settled), at_least=_SCROLL_SECONDS)
            await self._look("full", self._screenshot("full"))
            await self._look("DOM", self._read())
            self.seen.final_url = self._page.url
        finally:
            for task in self._tasks:
                task.cancel()

    async def _open(self, url: str) -> None:
        try:
            response = await self._page.goto(
                url, wait_until="commit", timeout=self._settings.page_timeout * 1000
            )
        except PlaywrightTimeout:
            self.seen.timed_out = True
        except PlaywrightError as error:
            self.seen.error = error.message.split("\n")[0]
        else:
            self.seen.opened = True
            self.seen.status = response.status if response else 0
        self.seen.final_url = self._page.url

    async def _settle(self) -> None:
        load = asyncio.ensure_future(self._page.wait_for_load_state("load", timeout=0))
        broken = asyncio.ensure_future(self._traffic.broken.wait())
        try:
            await asyncio.wait({load, broken}, return_when=asyncio.FIRST_COMPLETED)
            if not load.done():
                self._note("page-unsettled", "the document was cut short")
        finally:
            load.cancel()
            broken.cancel()
        await self._traffic.quiet()

    async def _scroll(self, *, quiet: bool) -> None:
        await self._page.evaluate(_SCROLL, [SCROLL_STEPS, SCROLL_PAUSE_MS])
        if quiet:  # a page that never was will not be now
            await self._traffic.quiet()

    async def _screenshot(self, name: str) -> None:
        options: dict[str, Any] = {"type": "png", "timeout": _LOOK_SECONDS * 1000}
        if name == "full":
            options["full_page"] = True
            height = int(await self._page.evaluate(_HEIGHT))
            if height > SCREENSHOT_HEIGHT:
                self.seen.clipped = True
                options["clip"] = {"x": 0, "y": 0, "width": VIEWPORT[0], "height": SCREENSHOT_HEIGHT}
        self.seen.pictures[name] = await self._page.screenshot(**options)

    async def _read(self) -> None:
        found = await self._page.evaluate(_READ, TEXT_MAX)
        self.seen.html, self.seen.title, self.seen.text = found["html"], found["title"], found["text"]
        self.seen.empty, self.seen.agent = bool(found["empty"]), found["agent"]

    # Waiting ----------------------------------------------------------------------------------

    async def _wait(self, step: str, work: Coroutine[Any, Any, None], *, at_least: float = 0.0) -> bool:
        """Whether the page did it before the deadline; that it did not is a reason, not an error."""
        self._step = step
        self._say(step, self._browser.reader.received)
        self._deadline = max(self._deadline, asyncio.get_running_loop().time() + at_least)
        try:
            done = await self._until(work)
        except PlaywrightError as error:
            self._note("page-unsettled", f"{step}: {error.message.splitlines()[0]}")
            return False
        if not done and not self._spent.is_set():
            self._note("page-unsettled", f"not quiet within {self._settings.page_timeout:g} s ({step})")
        return done

    async def _look(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Look at the page now; a page that cannot be looked at is a reason, not an error."""
        if self._dead or self._browser.reader.failure is not None:
            work.close()
            return
        self._say(f"looking ({what})", self._browser.reader.received)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await work
        except TimeoutError:
            self._dead = True  # a page that hangs will not answer the next question either
            self._note("screenshot-failed", f"{what}: not taken within {_LOOK_SECONDS:g} s")
        except PlaywrightError as error:
            self._note("screenshot-failed", f"{what}: {error.message.splitlines()[0]}")

    async def _until(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether `work` ended before the deadline and the budget did; else it is cancelled."""
        task = asyncio.ensure_future(work)
        spent = asyncio.ensure_future(self._spent.wait())
        left = self._deadline - asyncio.get_running_loop().time()
        try:
            await asyncio.wait({task, spent}, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return task.done()
        finally:
            spent.cancel()
            task.cancel()

    async def _watch(self) -> None:
        """Report progress, and cut the network off once the bytes allowed are spent."""
        allowed, told = self._settings.page_max_bytes, 0
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            received = self._browser.reader.received
            if received != told:
                told = received
                self._say(self._step, received)
            if received > allowed or self._browser.reader.failure is not None:
                if self._browser.reader.failure is None:
                    self._note("budget-spent", f"the page received more than {allowed} bytes")
                self._spent.set()
                with suppress(PlaywrightError):
                    await self._browser.context.set_offline(True)
                return

    # What pages do ----------------------------------------------------------------------------

    async def _dismiss(self, dialog: Dialog) -> None:
        if len(self.seen.dialogs) < _NOTES_MAX:
            self.seen.dialogs.append({"type": dialog.type, "message": dialog.message[:500]})
        with suppress(PlaywrightError):
            await dialog.dismiss()

    async def _close_popup(self, page: Page) -> None:
        """A window that the page opened: its exchanges are recorded until it has loaded, then it goes."""
        with suppress(PlaywrightError):
            await page.wait_for_load_state("load", timeout=5000)
        if len(self.seen.popups) < _NOTES_MAX:
            self.seen.popups.append(page.url)
        with suppress(PlaywrightError):
            await page.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _note(self, code: str, detail: str) -> None:
        reason = Reason(code, detail)
        if reason not in self.seen.reasons:
            self.seen.reasons.append(reason)
