"""When a page is quiet, and what Playwright reported of its requests: the recording is checked against it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urldefrag, urlsplit

from playwright.async_api import Page, Request, Response

QUIET_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.02
_UNENDING: Final = frozenset({"media", "eventsource", "websocket"})
_MEDIA: Final = ("video/", "audio/")


class Traffic:
    """Listens to a page and all that it opens, from the start.

    Quiet: the document is loaded, and for QUIET_SECONDS no request began, none got its answer, no bytes
    came but those of media and event streams, and no request waits for its answer. Requests to where media
    came from before do not count: a player fetches its pieces for as long as it stands. Not `networkidle`:
    an answer that the page never reads (`fetch` for its effect) stays open for ever in Chromium's eyes.
    """

    def __init__(self, page: Page, awaited: Callable[[], int]) -> None:
        """`awaited` counts the bytes that a page waits for (`Assembler.awaited`)."""
        self.urls: dict[str, None] = {}
        """Every http(s) URL that was reported as requested, without fragments, in order."""
        self.broken = False
        """Whether the document came only in part: its `load` event never will."""
        self.stopped = False
        """Set it to have the page taken as quiet."""
        self._page, self._awaited = page, awaited
        self._loaded = False
        self._unanswered: set[Request] = set()
        self._players: set[str] = set()
        """Folders (URL up to its last slash) from which media came."""
        self._last = asyncio.get_running_loop().time()
        page.on("load", self._load)
        page.context.on("request", self._began)
        page.context.on("response", self._response)
        page.context.on("requestfinished", self._answered)
        page.context.on("requestfailed", self._failed)

    async def quiet(self, *, anew: bool = False) -> None:
        """Return once the page is quiet; `anew`: something was just done to it, which may not show yet."""
        clock = asyncio.get_running_loop().time
        if anew:
            self._last = clock()
        seen = self._awaited()
        while not self.stopped and (
            not (self._loaded or self.broken) or self._unanswered or clock() < self._last + QUIET_SECONDS
        ):
            await asyncio.sleep(_LOOK_SECONDS)
            if self._awaited() != seen:
                seen, self._last = self._awaited(), clock()

    def _load(self, _: Page) -> None:
        self._loaded = True

    def _began(self, request: Request) -> None:
        if urlsplit(request.url).scheme in {"http", "https"}:
            self.urls[urldefrag(request.url).url] = None
            if _folder(request) in self._players:
                return
            if request.resource_type not in _UNENDING:
                self._unanswered.add(request)
        self._last = asyncio.get_running_loop().time()

    def _response(self, response: Response) -> None:
        if response.headers.get("content-type", "").startswith(_MEDIA):
            self._players.add(_folder(response.request))
        self._answered(response.request)

    def _answered(self, request: Request) -> None:
        if request in self._unanswered:
            self._unanswered.discard(request)
            self._last = asyncio.get_running_loop().time()

    def _failed(self, request: Request) -> None:
        answered = request not in self._unanswered
        if answered and request.is_navigation_request() and request.frame == self._page.main_frame:
            self.broken = not self._loaded
        self._answered(request)


def _folder(request: Request) -> str:
    return request.url.partition("?")[0].rpartition("/")[0]
