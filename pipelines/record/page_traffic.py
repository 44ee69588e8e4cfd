"""When a page is quiet, and what Playwright reported of its requests: the recording is checked against it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urldefrag, urlsplit

from playwright.async_api import BrowserContext, Request, Response

QUIET_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.02
_UNENDING: Final = frozenset({"media", "eventsource", "websocket"})


class Traffic:
    """Listens to a context from its start.

    Quiet: for QUIET_SECONDS no request began, none got its answer, no bytes came but those of media and
    event streams, and no request waits for its answer. Not `networkidle`: an answer that the page never
    reads (`fetch` for its effect) stays open for ever in Chromium's eyes.
    """

    def __init__(self, context: BrowserContext, awaited: Callable[[], int]) -> None:
        """`awaited` counts the bytes that a page waits for (NetLogReader.awaited)."""
        self.urls: dict[str, None] = {}
        """Every http(s) URL that was reported as requested, without fragments, in order."""
        self.broken = asyncio.Event()
        """Set once a document came only in part: its `load` event never will."""
        self._awaited = awaited
        self._unanswered: set[Request] = set()
        self._last = asyncio.get_running_loop().time()
        context.on("request", self._began)
        context.on("response", self._answered)
        context.on("requestfinished", self._ended)
        context.on("requestfailed", self._failed)

    async def quiet(self) -> None:
        """Return once the page is quiet."""
        clock = asyncio.get_running_loop().time
        seen = self._awaited()
        while self._unanswered or clock() < self._last + QUIET_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            if self._awaited() != seen:
                seen = self._awaited()
                self._last = clock()

    def _began(self, request: Request) -> None:
        if urlsplit(request.url).scheme in {"http", "https"}:
            self.urls[urldefrag(request.url).url] = None
            if request.resource_type not in _UNENDING:
                self._unanswered.add(request)
        self._last = asyncio.get_running_loop().time()

    def _answered(self, response: Response) -> None:
        self._ended(response.request)

    def _failed(self, request: Request) -> None:
        answered = request not in self._unanswered
        if answered and request.is_navigation_request() and request.frame.parent_frame is None:
            self.broken.set()
        self._ended(request)

    def _ended(self, request: Request) -> None:
        if request in self._unanswered:
            self._unanswered.discard(request)
            self._last = asyncio.get_running_loop().time()
