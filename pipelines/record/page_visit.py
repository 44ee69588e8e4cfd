"""One visit in one browser: open, wait until quiet, look, scroll once, look again. Nothing is clicked.

    open → load → quiet → screenshot (viewport) → scroll to the end and back → quiet → screenshot (whole) → DOM

Every wait ends at the visit's deadline, or when its budget of bytes is spent: what was seen until then stays.
Dialogs are dismissed by Playwright; windows that the page opens are recorded, but not looked at.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page

from evidence.reasons import Reason
from pipelines.record.chromium import VIEWPORT, Chromium
from pipelines.record.exchange import Asked
from pipelines.record.limits import DOM_CHARACTERS, PAGE_REQUESTS, PAGE_WINDOWS, TITLE_CHARACTERS
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
_UNSETTLED: Final = "page-unsettled"
_UNSEEN: Final = "screenshot-failed"

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
  const html = (kind ? new XMLSerializer().serializeToString(kind) : '') + document.documentElement.outerHTML;
  return {
    html: html.slice(0, DOM_MAX),
    cut: html.length > DOM_MAX,
    title: document.title.slice(0, TITLE_MAX),
    text: body ? body.innerText.slice(0, textMax) : '',
    empty: !body || !(body.innerText.trim() || body.querySelector(seen)),
    agent: navigator.userAgent,
  };
}""".replace("DOM_MAX", str(DOM_CHARACTERS)).replace("TITLE_MAX", str(TITLE_CHARACTERS))
_HEIGHT: Final = "() => Math.max(document.documentElement.scrollHeight, document.body?.scrollHeight || 0)"


@dataclass(slots=True)
class Seen:
    """What a visit saw; what it did not come to see is empty."""

    status: int = 0
    final_url: str = ""
    error: str = ""
    """Why the document did not come, in Playwright's words or ours."""
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
    reasons: list[Reason] = field(default_factory=list)
    asked: Counter[Asked] = field(default_factory=Counter)
    answered: Counter[Asked] = field(default_factory=Counter)
    """What Playwright reported as requested, and as answered (`Traffic`)."""


class Visit:
    """Visits one URL; `seen` fills as it goes and is valid whenever the visit is stopped."""

    def __init__(self, browser: Chromium, settings: Settings, on_progress: Progress) -> None:
        self._context, self._tap = browser.context, browser.tap
        self._settings, self._say = settings, on_progress
        self._step = "opening the page"
        self._hangs = False
        self._page = self._context.pages[0]
        log = self._tap.assembler
        self._traffic = Traffic(self._page, lambda: log.awaited, lambda: log.under_way)
        self.seen = Seen(asked=self._traffic.asked, answered=self._traffic.answered)
        self._windows = 0
        self._closing: set[asyncio.Future[None]] = set()
        self._context.on("page", self._opened)
        self._page.on("crash", lambda _: self._note("browser-failed", "the page crashed"))

    async def run(self, url: str) -> None:
        """Visit. What goes wrong with the page stands in `seen`; raises nothing of its own."""
        watch = asyncio.ensure_future(self._watch())
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.page_timeout
        try:
            try:
                async with asyncio.timeout_at(deadline):
                    response = await self._page.goto(url, wait_until="commit", timeout=0)
            except (TimeoutError, PlaywrightError) as error:
                late = f"no answer within {self._settings.page_timeout:g} s"
                self.seen.error = str(error).partition("\n")[0] or late
                return
            self.seen.opened, self.seen.status = True, response.status if response else 0
            settled = await self._try("loading the page", self._traffic.quiet(), deadline, _UNSETTLED)
            if self._traffic.broken:
                self._note(_UNSETTLED, "the document was cut short")
            await self._look("viewport", self._screenshot("viewport"))
            if not self._traffic.stopped:
                longer = max(deadline, clock() + _SCROLL_SECONDS)
                await self._try("scrolling", self._scroll(quiet=settled), longer, _UNSETTLED)
            await self._look("full", self._screenshot("full"))
            await self._look("DOM", self._read())
        finally:
            self.seen.final_url = self._page.url
            watch.cancel()

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
        if found["cut"]:
            self._note("budget-spent", f"dom.html was cut at {DOM_CHARACTERS} characters")

    async def _try(self, step: str, work: Coroutine[Any, Any, None], deadline: float, code: str) -> bool:
        """Whether the page did it before the deadline (loop time); that it did not is a reason, not an error."""
        if self._hangs or self._tap.failure is not None:
            work.close()
            return False
        self._step = step
        self._say(step, self._tap.assembler.received)
        try:
            async with asyncio.timeout_at(deadline):
                await work
        except TimeoutError:
            self._hangs = code == _UNSEEN  # it will not answer the next question either
            self._note(code, f"{step}: not done in the time allowed")
            return False
        except PlaywrightError as error:
            self._note(code, f"{step}: {error.message.splitlines()[0]}")
            return False
        return True

    async def _look(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        deadline = asyncio.get_running_loop().time() + _LOOK_SECONDS
        await self._try(f"looking ({what})", work, deadline, _UNSEEN)

    async def _watch(self) -> None:
        """Report progress, and cut the network off once the bytes allowed are spent, or cannot be kept."""
        told = 0
        while not self._traffic.stopped:
            await asyncio.sleep(_TICK_SECONDS)
            received = self._tap.assembler.received
            if received != told:
                told = received
                self._say(self._step, received)
            spent = self._spent()
            if spent:
                self._note("budget-spent", f"the page {spent}")
            self._traffic.stopped = bool(spent) or self._tap.failure is not None
        with suppress(PlaywrightError):
            await self._context.set_offline(True)

    def _spent(self) -> str:
        """What the page has used up, if anything."""
        assembler, allowed = self._tap.assembler, self._settings.page_max_bytes
        if assembler.received > allowed:
            return f"received more than {allowed} bytes"
        if assembler.requests > PAGE_REQUESTS:
            return f"made more than {PAGE_REQUESTS} requests"
        return f"opened more than {PAGE_WINDOWS} windows" if self._windows > PAGE_WINDOWS else ""

    def _opened(self, window: Page) -> None:
        self._windows += 1
        if self._windows > PAGE_WINDOWS:
            self._closing.add(asyncio.ensure_future(_close(window)))

    def _note(self, code: str, detail: str) -> None:
        self.seen.reasons.append(Reason(code, detail))


async def _close(window: Page) -> None:
    with suppress(PlaywrightError):
        await window.close()
