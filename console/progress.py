"""Progress for people: a line a step, with bytes and speed while the page and the video come in.

On a terminal a line moves for each URL under way, and stays when its step has ended; elsewhere
(a log, CI) each step is one plain line when it begins.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from console.output import human_size


@dataclass(slots=True)
class _Running:
    """A step under way."""

    number: int
    step: str
    text: str
    began: float
    task: TaskID | None
    done: int = 0

    def line(self) -> str:
        """`[2] video     recording the video, 5.3 MB in 1.2 s, 4.4 MB/s`."""
        seconds = time.monotonic() - self.began
        size = f", {human_size(self.done)}" if self.done else ""
        speed = f", {human_size(round(self.done / seconds))}/s" if self.done and seconds > 0.1 else ""  # noqa: PLR2004
        return f"\\[{self.number}] {self.step:9} {self.text}{size} in {seconds:.1f} s{speed}"


class Watcher:
    """A Listener that draws on stderr; `quiet` draws nothing (for --json)."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        self._moving = (
            Progress(*columns, console=self.console) if self.console.is_terminal and not quiet else None
        )
        self._numbers: dict[str, int] = {}
        self._running: dict[str, _Running] = {}

    def __enter__(self) -> Self:
        if self._moving is not None:
            self._moving.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._moving is not None:
            self._moving.stop()

    def __call__(self, url: str, step: str, text: str, *, done: int = 0, total: int = 0) -> None:
        """The Listener's call: `step` began, or went on."""
        running = self._running.get(url)
        if running is None or running.step != step:
            self.end(url)
            running = self._running[url] = self._begin(url, step, text)
        running.done = max(running.done, done)
        if self._moving is not None and running.task is not None and done:
            share = f" of {human_size(total)}" if total else ""
            self._moving.update(
                running.task,
                description=f"\\[{running.number}] {step:9} {running.text}, {human_size(done)}{share}",
            )

    def end(self, url: str) -> None:
        """The step under way for this URL has ended: its line stays."""
        running = self._running.pop(url, None)
        if running is not None and self._moving is not None and running.task is not None:
            self._moving.remove_task(running.task)
            self.console.print(running.line())

    def say(self, text: str) -> None:
        """Lines for people, above what moves."""
        self.console.print(text, markup=False)

    def _begin(self, url: str, step: str, text: str) -> _Running:
        number = self._numbers.setdefault(url, len(self._numbers) + 1)
        if self._moving is None:
            self.console.print(f"{step:9} {text}  {url}", markup=False)
            return _Running(number, step, text, time.monotonic(), None)
        if step == "admit":
            self.console.print(f"[{number}] {url}", markup=False)
        task = self._moving.add_task(f"\\[{number}] {step:9} {text}", total=None)
        return _Running(number, step, text, time.monotonic(), task)
