"""When a page is quiet, and what Playwright reported of its requests: the recording is checked against it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page, Request, Response

from pipelines.record.exchange import Asked, crossing

QUIET_SECONDS: Final = 0.5
STILL_SECONDS: Final = 3.0
"""After which a page that loads nothing is taken as loaded."""
_LOOK_SECONDS: Final = 0.02
_UNENDING: Final = frozenset({"media", "eventsource", "websocket"})


class Traffic:
    """Listens to a page and all that it opens, from the start.

    Quiet: the document is loaded, and for QUIET_SECONDS no request began, none got its answer, no bytes
    came but those of media and event streams, and no request waits in the network stack for its answer.
    Not `networkidle`: an answer that the page never reads (`fetch` for its effect) stays open for ever in
    Chromium's eyes.
    """

    def __init__(
        self, page: Page, awaited: Callable[[], int], under_way: Callable[[], Mapping[Asked, int]]
    ) -> None:
        """`awaited` counts the bytes that a page waits for, `under_way` its requests (`Gathered`)."""
        self.asked: Counter[Asked] = Counter()
        """How often each was reported as requested over http(s); 0 where the page's service worker answered."""
        self.answered: Counter[Asked] = Counter()
        """How often each was reported as answered, by whatever lies behind the service worker."""
        self.broken = False
        """Whether the document came only in part: its `load` event never will."""
        self.stopped = False
        """Set it to have the page taken as quiet."""
        self._page, self._awaited, self._under_way = page, awaited, under_way
        self._loaded = False
        self._unanswered: dict[Request, Asked] = {}
        self._last = asyncio.get_running_loop().time()
        page.on("load", self._load)
        page.context.on("request", self._began)
        page.context.on("response", self._responded)
        page.context.on("requestfinished", self._answered)
        page.context.on("requestfailed", self._failed)

    async def quiet(self) -> None:
        """Return once the page is quiet."""
        clock = asyncio.get_running_loop().time
        seen = self._awaited()
        while not self.stopped and (
            not self._stands(clock()) or self._waits() or clock() < self._last + QUIET_SECONDS
        ):
            await asyncio.sleep(_LOOK_SECONDS)
            if self._awaited() != seen:
                seen, self._last = self._awaited(), clock()

    def _stands(self, now: float) -> bool:
        # With frames of several processes `load` may never come: then it is enough that nothing is under way.
        still = not self._under_way() and now > self._last + STILL_SECONDS
        return self._loaded or self.broken or still

    def _waits(self) -> bool:
        # Of a shared worker's script, or a beacon of a frame that is gone, Playwright never tells the end.
        return not self._under_way().keys().isdisjoint(self._unanswered.values())

    def _load(self, _: Page) -> None:
        self._loaded = True

    def _began(self, request: Request) -> None:
        if urlsplit(request.url).scheme in {"http", "https"}:
            self.asked[_key(request)] += 1
            if request.resource_type not in _UNENDING:
                self._unanswered[request] = _key(request)
        self._last = asyncio.get_running_loop().time()

    def _responded(self, response: Response) -> None:
        request = response.request
        if response.from_service_worker:
            self.asked[_key(request)] -= 1
        else:
            self.answered[_key(request)] += 1
        self._answered(request)

    def _answered(self, request: Request) -> None:
        if request in self._unanswered:
            del self._unanswered[request]
            self._last = asyncio.get_running_loop().time()

    def _failed(self, request: Request) -> None:
        if request not in self._unanswered and self._is_document(request):
            self.broken = not self._loaded
        self._answered(request)

    def _is_document(self, request: Request) -> bool:
        try:
            return request.is_navigation_request() and request.frame == self._page.main_frame
        except PlaywrightError:  # a document that is fetched ahead has no frame
            return False


def _key(request: Request) -> Asked:
    return request.method, crossing(request.url)
