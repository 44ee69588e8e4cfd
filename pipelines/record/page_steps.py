"""What was done to a page, step by step, and what got in its way: dialogs, windows, downloads."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from playwright.async_api import Dialog, Download, Page
from playwright.async_api import Error as PlaywrightError

from evidence.canonical import utc
from pipelines.record.limits import PAGE_WINDOWS

_STEPS_MAX: Final = 200
_DETAIL_MAX: Final = 500


@dataclass(slots=True)
class Step:
    """One step; `outcome` is a word (`done`, `nothing`, `late`, `failed`…), times are UTC."""

    name: str
    started: str
    ended: str = ""
    outcome: str = ""
    detail: str = ""

    def end(self, outcome: str, detail: str = "") -> None:
        """It is over."""
        self.ended, self.outcome = utc(datetime.now(UTC)), outcome
        self.detail = (
            detail[:_DETAIL_MAX].encode("utf-8", "replace").decode("utf-8")
        )  # a page's words are any


class Steps(list[Step]):
    """The steps of one visit, in the order in which they began."""

    def begin(self, name: str) -> Step:
        """A step that begins now."""
        self.append(Step(name, utc(datetime.now(UTC))))
        return self[-1]

    def note(self, name: str, outcome: str, detail: str = "") -> None:
        """Something that happened at once; of a page that makes things happen without end, the first ones."""
        if len(self) < _STEPS_MAX:
            self.begin(name).end(outcome, detail)

    def as_json(self) -> list[dict[str, str]]:
        """As in the manifest."""
        return [asdict(step) for step in self]


class Interruptions:
    """Answers what would hold a visit up, so that nothing waits for a person, and notes it among the steps.

    Dialogs are dismissed, downloads refused. Windows are recorded by the network log while they stand, and
    looked at no more than that.
    """

    def __init__(self, page: Page, steps: Steps) -> None:
        self._steps = steps
        self.opened = 0
        """Windows so far."""
        self.windows: list[Page] = []
        """That the page opened, or a step of ours made it open."""
        self._tasks: set[asyncio.Task[Any]] = set()
        page.context.on("dialog", self._dialog)
        page.context.on("page", self._window)
        page.on("download", self._download)

    async def close_windows(self) -> None:
        """Close them all; what they send and receive until then is recorded. Raises PlaywrightError."""
        while self.windows:
            window = self.windows.pop()
            self._steps.note("window", "closed", window.url)
            await window.close()

    def _dialog(self, dialog: Dialog) -> None:
        self._steps.note("dialog", "dismissed", f"{dialog.type}: {dialog.message}")
        self._later(dialog.dismiss())

    def _window(self, page: Page) -> None:
        self.opened += 1
        if self.opened > PAGE_WINDOWS:
            self._later(page.close())
            return
        self.windows.append(page)
        page.on("download", self._download)

    def _download(self, download: Download) -> None:
        self._steps.note("download", "refused", download.url)

    def _later(self, work: Any) -> None:
        async def run() -> None:
            with suppress(PlaywrightError):  # it went away with its page
                await work

        task = asyncio.ensure_future(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
