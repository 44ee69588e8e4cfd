"""What all captures of one process share: store, ledger, catalogue, settings, and who is watching.

Opened at the first candidate (so that `scrapy list` and `scrapy check` touch nothing), with
dead captures of earlier processes closed first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.options import CaptureOptions
from pipelines.record.tap import EXACT, Recorder
from storage.archive import Archive


class Listener(Protocol):
    """Someone who watches captures: the terminal's progress, or Scrapy's log."""

    def __call__(self, url: str, step: str, text: str, *, done: int = 0, total: int = 0) -> None:
        """`step` is a step's name; `text` says what happens; bytes so far and in all when known."""


def unheard(url: str, step: str, text: str, *, done: int = 0, total: int = 0) -> None:
    """Nobody watches."""


@dataclass(kw_only=True)
class Runtime(Archive):
    """The archive, and what the captures of one process share besides."""

    options: CaptureOptions
    listener: Listener = unheard
    recorder: Recorder = EXACT
    """What records pages: chosen at the process's start (`pipelines.record.canary`)."""
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by Ctrl-C or SIGTERM: recording stops, what was recorded is sealed, preserved and proved."""
    seen: set[str] = field(default_factory=set)
    """URLs of this crawl, so that one crawl captures none twice."""
    admitted: int = 0
    crawl: dict[str, str] | None = None
    """`{id, warc}` of the crawl that finds the candidates, once it has fetched something."""


async def in_thread(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run blocking storage code beside the event loop; a cancel waits for it, so no write is torn."""
    return await asyncio.shield(asyncio.to_thread(call, *args, **kwargs))
