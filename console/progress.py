"""Progress for people: a line a step, with bytes and speed while the page and the video come in.

On a terminal the line moves; elsewhere (a log, CI) each step is one plain line when it begins.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)


class Watcher:
    """A Listener that draws on stderr; `quiet` draws nothing (for --json)."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self._bars = None if quiet or not self.console.is_terminal else _bars(self.console)
        self._current: dict[str, tuple[str, TaskID | None]] = {}

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, url: str, step: str, text: str, *, done: int = 0, total: int = 0) -> None:
        """The Listener's call: `step` began, or went on."""
        known, task = self._current.get(url, ("", None))
        if step != known:
            self.end(url)
            task = self._begin(url, step, text)
            self._current[url] = (step, task)
        if self._bars is not None and task is not None and (done or total):
            self._bars.update(task, completed=done, total=total or None)

    def end(self, url: str) -> None:
        """The step under way for this URL has ended."""
        _, task = self._current.pop(url, ("", None))
        if self._bars is not None and task is not None:
            row = next(t for t in self._bars.tasks if t.id == task)
            self._bars.update(task, total=max(1, int(row.completed)), completed=max(1, int(row.completed)))
            self._bars.stop_task(task)

    def _begin(self, url: str, step: str, text: str) -> TaskID | None:
        if self._bars is None:
            self.console.print(f"{step:9} {text}  {url}", soft_wrap=True, markup=False)
            return None
        if step == "admit":
            self._bars.console.print(url, soft_wrap=True, markup=False)
        return self._bars.add_task(f"{step:9} {text}", total=None)


def _bars(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(finished_text="*"),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
        console=console,
    )
