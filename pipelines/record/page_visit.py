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

from evidence.reasons import Reason
from pipelines.record.chromium import VIEWPORT, Chromium
from pipelines.record.page_traffic import Traffic
from storage.settings import Settings

SCREENSHOT_HEIGHT: Final = 16384
"""CSS pixels of the tallest screenshot: the edge of a GPU texture, beyond which Chromium repeats itself."""
TEXT_MAX: Final = 200_000
"""Characters of visible text that are kept."""
SCROLL_STEPS: Final = 24
"""Screens that are scrolled through at most: enough for what loads lazily, an end for what never ends."""
SCROLL_PAUSE_MS: Final = 50
_SCROLL_SECONDS: Final = 5.0
"""For the scroll of a page that has used up its time."""
_LOOK_SECONDS: Final = 15.0
_TICK_SECONDS: Final = 0.1
_NOTES_MAX: Final = 50

Progress = Callable[[str, int], None]
"""Takes what is being done, and the bytes received so far."""

_SCROLL: Final = """async ([steps, pause]) => {
  for (let step = 1; step <= steps; step++) {
    scrollTo({top: step * innerHeight, behavior: 'instant'});
    await new Promise(done => setTimeout(done, pause));
    if (scrollY + innerHeight >= document.documentElement.scrollHeight - 1) break;
  }
  scrollTo({top: 0, behavior: 'instant'});
}"""
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
    """What Playwright reported as requested (`Traffic.urls`)."""


class Visit:
    """Visits one URL; `seen` fills as it goes and is valid whenever the visit is stopped."""

    def __init__(self, browser: Chromium, settings: Settings, on_progress: Progress) -> None:
        self._context, self._reader = browser.context, browser.reader
        self._settings, self._say = settings, on_progress
        self._step = "opening the page"
        self._hangs = False
        self._page = self._context.pages[0]
        self._traffic = Traffic(self._page, lambda: self._reader.assembler.awaited)
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen = Seen(urls=self._traffic.urls)
        self._page.on("crash", lambda _: self._note("browser-failed", "the page crashed"))
        self._context.on("dialog", lambda dialog: self._spawn(self._dismiss(dialog)))
        self._context.on("page", lambda page: self._spawn(self._close_popup(page)))

    async def run(self, url: str) -> None:
        """Visit. What goes wrong with the page stands in `seen`; raises nothing of its own."""
        self._spawn(self._watch())
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.page_timeout
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._open(url)
            except TimeoutError:
                self.seen.timed_out = True
            if not self.seen.opened:
                return
            settled = await self._wait("loading the page", self._traffic.quiet(), deadline)
            if self._traffic.broken:
                self._note("page-unsettled", "the document was cut short")
            await self._look("viewport", self._screenshot("viewport"))
            if not self._traffic.stopped and not self._hangs:
                late = max(deadline, clock() + _SCROLL_SECONDS)
                await self._wait("scrolling", self._scroll(quiet=settled), late)
            await self._look("full", self._screenshot("full"))
            await self._look("DOM", self._read())
        finally:
            self.seen.final_url = self._page.url
            for task in self._tasks:
                task.cancel()

    async def _open(self, url: str) -> None:
        try:
            response = await self._page.goto(url, wait_until="commit", timeout=0)
        except PlaywrightError as error:
            self.seen.error = error.message.split("\n")[0]
        else:
            self.seen.opened = True
            self.seen.status = response.status if response else 0

    async def _scroll(self, *, quiet: bool) -> None:
        await self._page.evaluate(_SCROLL, [SCROLL_STEPS, SCROLL_PAUSE_MS])
        if quiet:  # a page that never was will not be now
            await self._traffic.quiet()

    async def _screenshot(self, name: str) -> None:
        options: dict[str, Any] = {"type": "png", "timeout": 0, "full_page": name == "full"}
        if name == "full" and int(await self._page.evaluate(_HEIGHT)) > SCREENSHOT_HEIGHT:
            self.seen.clipped = True
            options["clip"] = {"x": 0, "y": 0, "width": VIEWPORT[0], "height": SCREENSHOT_HEIGHT}
        self.seen.pictures[name] = await self._page.screenshot(**options)

    async def _read(self) -> None:
        found = await self._page.evaluate(_READ, TEXT_MAX)
        self.seen.html, self.seen.title, self.seen.text = found["html"], found["title"], found["text"]
        self.seen.empty, self.seen.agent = bool(found["empty"]), found["agent"]

    # Waiting ----------------------------------------------------------------------------------

    async def _wait(self, step: str, work: Coroutine[Any, Any, None], deadline: float) -> bool:
        """Whether the page did it before the deadline (loop time); that it did not is a reason, not an error."""
        self._step = step
        self._say(step, self._reader.assembler.received)
        try:
            async with asyncio.timeout_at(deadline):
                await work
        except TimeoutError:
            self._note("page-unsettled", f"not quiet within {self._settings.page_timeout:g} s ({step})")
        except PlaywrightError as error:
            self._note("page-unsettled", f"{step}: {error.message.splitlines()[0]}")
        else:
            return True
        return False

    async def _look(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Look at the page now; a page that cannot be looked at is a reason, not an error."""
        if self._hangs or self._reader.failure is not None:
            work.close()
            return
        self._say(f"looking ({what})", self._reader.assembler.received)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await work
        except TimeoutError:
            self._hangs = True  # it will not answer the next question either
            self._note("screenshot-failed", f"{what}: not taken within {_LOOK_SECONDS:g} s")
        except PlaywrightError as error:
            self._note("screenshot-failed", f"{what}: {error.message.splitlines()[0]}")

    async def _watch(self) -> None:
        """Report progress, and cut the network off once the bytes allowed are spent, or cannot be kept."""
        allowed, told = self._settings.page_max_bytes, 0
        while not self._traffic.stopped:
            await asyncio.sleep(_TICK_SECONDS)
            received = self._reader.assembler.received
            if received != told:
                told = received
                self._say(self._step, received)
            if received > allowed:
                self._note("budget-spent", f"the page received more than {allowed} bytes")
            self._traffic.stopped = received > allowed or self._reader.failure is not None
        with suppress(PlaywrightError):
            await self._context.set_offline(True)

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
        self.seen.reasons.append(Reason(code, detail))
