"""One visit in one browser: open, wait until quiet, look, answer a consent dialog, scroll, play, look again.

    open → load → quiet → screenshot (viewport) → consent → scroll to the end and back → quiet
         → player started, stopped at its budget → screenshot (whole) → DOM

The first screenshot is taken before anything is done to the page. Every wait ends at a deadline, or when
the page's budget of bytes is spent: what was seen until then stays, and the step says how it ended.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urldefrag

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Response

from evidence.reasons import Reason
from pipelines.record.challenges import CHALLENGES
from pipelines.record.chromium import VIEWPORT, Chromium
from pipelines.record.consent import RULES, WORDS
from pipelines.record.exchange import Asked
from pipelines.record.limits import DOM_CHARACTERS, PAGE_REQUESTS, PAGE_WINDOWS, TITLE_CHARACTERS
from pipelines.record.page_steps import Interruptions, Steps
from pipelines.record.page_traffic import Traffic
from pipelines.record.player import play
from pipelines.record.worlds import Worlds, script
from pipelines.relay import Valve
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
_ACT_SECONDS: Final = 10.0
"""For a consent dialog to go, and for a player beyond its own budget of time."""
_TICK_SECONDS: Final = 0.1
_UNSETTLED: Final = "page-unsettled"
_UNSEEN: Final = "screenshot-failed"
Progress = Callable[[str, int], None]
"""Takes what is being done, and the bytes received so far."""

_SCROLL, _READ = script("scroll"), script("read")


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
    late: bool = False
    """Whether the page did not load and settle in its time."""
    spent: str = ""
    """What the page used up, should that have ended it."""
    reasons: list[Reason] = field(default_factory=list)
    consent: list[dict[str, Any]] = field(default_factory=list)
    """Dialogs that asked for consent: {frame, rule, action, button, text, covers, why}."""
    players: list[dict[str, Any]] = field(default_factory=list)
    """As `pipelines.record.player.play` gives them."""
    steps: Steps = field(default_factory=Steps)
    scripts: dict[str, str] = field(default_factory=dict)
    """What was run in the page (`Worlds.ran`)."""
    asked: Counter[Asked] = field(default_factory=Counter)
    answered: Counter[Asked] = field(default_factory=Counter)
    """What Playwright reported as requested, and as answered (`Traffic`)."""


class Visit:
    """Visits one URL; `seen` fills as it goes and is valid whenever the visit is stopped."""

    def __init__(self, browser: Chromium, settings: Settings, valve: Valve, on_progress: Progress) -> None:
        """`valve` is the tunnel's."""
        self._context, self._tap = browser.context, browser.tap
        self._settings, self._valve, self._say = settings, valve, on_progress
        self._step = "opening the page"
        self._hangs = False
        self._documents = 0
        self._page = self._context.pages[0]
        log = self._tap.assembler
        self._traffic = Traffic(self._page, lambda: log.awaited, lambda: log.under_way)
        self._worlds = Worlds(self._page)
        self.seen = Seen(scripts=self._worlds.ran, asked=self._traffic.asked, answered=self._traffic.answered)
        self._interruptions = Interruptions(self._page, self.seen.steps)
        self._page.on("crash", lambda _: self._note("browser-failed", "the page crashed"))
        self._page.on("domcontentloaded", self._document)

    async def run(self, url: str) -> None:
        """Visit. What goes wrong with the page stands in `seen`; raises nothing of its own."""
        watch = asyncio.ensure_future(self._watch())
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.page_timeout
        try:
            response = await self._open(url, deadline)
            if response is None and not self.seen.opened:
                return
            settled = await self._try("load", self._settle(), deadline, _UNSETTLED)
            self.seen.late = not settled
            if self._traffic.broken:
                self._note(_UNSETTLED, "the document was cut short")
            await self._look("screenshot-viewport", self._screenshot("viewport"))
            if not self._traffic.stopped:
                await self._try("consent", self._consent(), clock() + _ACT_SECONDS, _UNSETTLED)
                longer = max(deadline, clock() + _SCROLL_SECONDS)
                await self._try("scroll", self._scroll(quiet=settled), longer, _UNSETTLED)
            if not self._traffic.stopped and self._settings.player_seconds:
                longer = clock() + self._settings.player_seconds + _ACT_SECONDS
                await self._try("player", self._play(), longer, _UNSETTLED)
            await self._look("screenshot-full", self._screenshot("full"))
            await self._look("read", self._read())
        finally:
            self.seen.final_url = self._page.url
            watch.cancel()

    async def _open(self, url: str, deadline: float) -> Response | None:
        step = self.seen.steps.begin("open")
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._page.goto(url, wait_until="commit", timeout=0)
        except (TimeoutError, PlaywrightError) as error:
            late = f"no answer within {self._settings.page_timeout:g} s"
            self.seen.error = str(error).partition("\n")[0] or late
            step.end("failed", self.seen.error)
            return None
        self.seen.opened, self.seen.status = True, response.status if response else 0
        step.end("done")
        return response

    async def _settle(self) -> str:
        await self._traffic.quiet()
        return ""

    async def _consent(self) -> str:
        """Answer the dialogs, once; a page that this leads away from is returned to."""
        ask = self._worlds.everywhere
        self.seen.consent = found = await ask("consent", RULES, WORDS, True)
        if not found:
            return "nothing"
        pressed = [one for one in found if one.get("action")]
        if pressed:
            await self._after_press(leads=any(one["rule"] == "google" for one in pressed))
        left = await ask("consent", RULES, WORDS, False) if pressed else found
        covering = [one for one in left if one.get("covers")]
        for one in covering[:1]:
            self._note(
                "consent-remains",
                f"rule {one['rule']}: {one['why'] or 'it stayed after its button was pressed'}",
            )
        await self._interruptions.close_windows()
        told = [f"{one['rule']}: {one['action']} ({one['button']})" for one in pressed]
        return "; ".join(told) or f"left alone: {found[0].get('why') or found[0].get('error', '')}"

    async def _after_press(self, *, leads: bool) -> None:
        before, documents = urldefrag(self._page.url).url, self._documents
        await self._traffic.quiet(anew=True)
        if self._documents > documents and urldefrag(self._page.url).url != before and not leads:
            self.seen.steps.note("consent", "undone", f"it led to {self._page.url}")
            await self._page.go_back(wait_until="commit", timeout=0)
            await self._traffic.quiet(anew=True)

    async def _scroll(self, *, quiet: bool) -> str:
        await self._worlds.here("scroll", [SCROLL_STEPS, SCROLL_PAUSE_MS])
        if quiet:  # a page that never was will not be now
            await self._traffic.quiet()
        return ""

    async def _play(self) -> str:
        seconds, most = self._settings.player_seconds, self._settings.player_max_bytes
        self.seen.players = players = await play(self._worlds, self._valve, seconds=seconds, max_bytes=most)
        await self._interruptions.close_windows()
        told = [f"{one['ended']} at {one.get('at', 0)} ms {one.get('why', '')}".strip() for one in players]
        held = "; the door holds back the rest" if self._valve.is_shut else ""
        return "; ".join(told) + held or "nothing"

    async def _screenshot(self, name: str) -> str:
        options: dict[str, Any] = {"type": "png", "timeout": 0, "full_page": name == "full"}
        if name == "full" and int(await self._worlds.here("height")) > SCREENSHOT_HEIGHT:
            self.seen.clipped = True
            options["clip"] = {"x": 0, "y": 0, "width": VIEWPORT[0], "height": SCREENSHOT_HEIGHT}
        self.seen.pictures[name] = await self._page.screenshot(**options)
        return ""

    async def _read(self) -> str:
        found = await self._worlds.here("read", DOM_CHARACTERS, TITLE_CHARACTERS, TEXT_MAX)
        self.seen.html, self.seen.title, self.seen.text = found["html"], found["title"], found["text"]
        self.seen.empty, self.seen.agent = bool(found["empty"]), found["agent"]
        if found["cut"]:
            self._note("budget-spent", f"dom.html was cut at {DOM_CHARACTERS} characters")
        asks = await self._worlds.here("challenge", CHALLENGES)
        if asks:
            self._note("challenge-unsolved", f"{asks} asks for a proof of being human")
        return ""

    async def _try(self, name: str, work: Coroutine[Any, Any, str], deadline: float, code: str) -> bool:
        """Whether the page did it before the deadline (loop time); that it did not is a reason, not an error.

        `work` gives the step's detail: empty, or `nothing` when there was nothing to do.
        """
        step = self.seen.steps.begin(name)
        if self._hangs or self._tap.failure is not None:
            work.close()
            step.end("skipped")
            return False
        self._step = name
        self._say(name, self._tap.assembler.received)
        try:
            async with asyncio.timeout_at(deadline):
                detail = await work
        except TimeoutError:
            self._hangs = code == _UNSEEN  # it will not answer the next question either
            self._note(code, f"{name}: not done in the time allowed")
            step.end("late")
            return False
        except PlaywrightError as error:
            said = error.message.splitlines()[0]
            self._note(code, f"{name}: {said}")
            step.end("failed", said)
            return False
        step.end(*("nothing", "") if detail == "nothing" else ("done", detail))
        return True

    async def _look(self, name: str, work: Coroutine[Any, Any, str]) -> None:
        await self._try(name, work, asyncio.get_running_loop().time() + _LOOK_SECONDS, _UNSEEN)

    def _document(self, _: Any) -> None:
        self._documents += 1

    async def _watch(self) -> None:
        """Report progress, and cut the network off once the bytes allowed are spent, or cannot be kept."""
        told = 0
        while not self._traffic.stopped:
            await asyncio.sleep(_TICK_SECONDS)
            received = self._tap.assembler.received
            if received != told:
                told = received
                self._say(self._step, received)
            self.seen.spent = self._spent()
            if self.seen.spent:
                self._note("budget-spent", f"the page {self.seen.spent}")
            self._traffic.stopped = bool(self.seen.spent) or self._tap.failure is not None
        self._valve.shut()
        with suppress(PlaywrightError):
            await self._context.set_offline(True)

    def _spent(self) -> str:
        """What the page has used up, if anything."""
        assembler, allowed = self._tap.assembler, self._settings.page_max_bytes
        if assembler.received + assembler.sent > allowed:
            return f"received and sent more than {allowed} bytes"
        if assembler.requests > PAGE_REQUESTS:
            return f"made more than {PAGE_REQUESTS} requests"
        return f"opened more than {PAGE_WINDOWS} windows" if self._interruptions.opened > PAGE_WINDOWS else ""

    def _note(self, code: str, detail: str) -> None:
        self.seen.reasons.append(Reason(code, detail))
