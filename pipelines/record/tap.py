"""What a page needs of a recorder, whichever it is: NetLog, or passive CDP where that cannot be trusted.

run_chromium ── switches, attach, settle ──▶ tap ── Exchange ──▶ WarcSink
Visit, gaps_of, browser.json ◀── Gathered, client, failure ── finish(why), when the browser is gone
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from pipelines.record.exchange import Asked


class Gathered:
    """What a tap has gathered beside the exchanges; grows while the page is visited, in the tap's thread."""

    def __init__(self) -> None:
        self.received = 0
        """Bytes that the page received."""
        self.sent = 0
        """Bytes of requests and frames that it sent."""
        self.awaited = 0
        """Of these, all but media and event streams: while it grows, a page is not quiet."""
        self.requests = 0
        """Begun so far, each redirect counted."""
        self.unsent: list[tuple[str, str]] = []
        """(URL, network error) of requests that failed before anything crossed a socket."""
        self.cached: Counter[Asked] = Counter()
        """What the browser's cache answered."""
        self.lost: list[Asked] = []
        """What was answered and is not recorded: a gap."""
        self.untold: list[tuple[str, str]] = []
        """(URL, why) of what is not in the WARC, or only in part, because the tap cannot have it."""
        self.under_way: Counter[Asked] = Counter()
        """What the browser waits for."""
        self.document: list[str] = []
        """URLs of the page's own document: where it was asked for first, then each redirect."""
        self.own: list[str] = []
        """URLs that the browser asked for on its own account: kept out of the WARC."""


class PageTap(Protocol):
    """Records one browser: made before it starts, finished when it is gone."""

    switches: Sequence[str]
    """What Chromium is told so that it can be recorded."""
    client: dict[str, Any]
    """`name`, `version`, `command_line`… of the browser; empty while none was recorded."""
    failure: Exception | None
    """What ended the recording early."""

    @property
    def assembler(self) -> Gathered:
        """What was gathered so far."""

    async def attach(self, profile: Path) -> None:
        """The browser runs, nothing is opened yet. Raises CaptureFailedError."""

    async def settle(self) -> None:
        """The browser will be closed: take what only it can give. Ends by itself within seconds."""

    def finish(self, why: str) -> None:
        """The browser is gone: hand on what is open, cut short by `why`. Raises what ended the recording."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Which tap records pages, and why it is not the exact one (empty: it is, or that was asked for)."""

    name: Literal["netlog", "cdp"] = "netlog"
    why: str = ""


EXACT: Final = Recorder()
