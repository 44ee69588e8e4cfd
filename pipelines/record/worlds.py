"""Runs our scripts (`scripts/*.js`) in a page's frames, each in a JavaScript world of its own.

A world (CDP `Page.createIsolatedWorld`) shares the frame's DOM, but none of its globals: the page neither sees
what runs there nor can change what it does by redefining `querySelector` or `click`. Frames from
other sites live in other processes and are reached through sessions of their own.
"""

from __future__ import annotations

import asyncio
import json
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

from playwright.async_api import CDPSession, Frame, Page
from playwright.async_api import Error as PlaywrightError

_SCRIPTS: Final = Path(__file__).parent / "scripts"
_WORLD: Final = "akashi"
_FRAMES_MAX: Final = 32
"""Frames that are asked at most, the page's own first."""


@cache
def script(name: str) -> str:
    """The text of `scripts/<name>.js`: a function, with a comment that says what it does."""
    return (_SCRIPTS / f"{name}.js").read_text("utf-8")


class Worlds:
    """The worlds of one page."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session: CDPSession | None = None
        self._frame = ""
        self.ran: dict[str, str] = {}
        """Every script that was run, exactly as evaluated; with other arguments it has another name (`consent-1`)."""

    async def here(self, name: str, *arguments: Any) -> Any:
        """What the script gives in the page's main frame. Raises PlaywrightError."""
        session = await self._main()
        if not self._frame:  # the same for as long as the page stands, wherever it goes
            self._frame = (await session.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        return await self._run(session, self._frame, name, arguments)

    async def everywhere(self, name: str, *arguments: Any) -> list[dict[str, Any]]:
        """What the script gives in each frame, where it gives something; `frame` is added, the frame's URL.

        A frame that goes away meanwhile, or cannot be asked, gives {error}. Raises PlaywrightError.
        """
        frames = await self._frames()
        runs = [self._run(session, frame["id"], name, arguments) for session, frame in frames[:_FRAMES_MAX]]
        answers = await asyncio.gather(*runs, return_exceptions=True)
        found = []
        for (_, frame), answer in zip(frames, answers, strict=False):
            if isinstance(answer, PlaywrightError):
                answer = {"error": answer.message.partition("\n")[0]}  # noqa: PLW2901  # told like an answer
            elif isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                found.append({**answer, "frame": frame["url"]})
        return found

    async def _run(self, session: CDPSession, frame: str, name: str, arguments: tuple[Any, ...]) -> Any:
        told = ", ".join(json.dumps(argument, ensure_ascii=False) for argument in arguments)
        expression = f"({script(name).strip()}\n)({told})"
        names = (f"{name}-{number}" if number else name for number in count())
        self.ran[next(one for one in names if self.ran.get(one) in {None, expression})] = expression
        world = await session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": _WORLD})
        how = {"contextId": world["executionContextId"], "awaitPromise": True, "returnByValue": True}
        answer = await session.send("Runtime.evaluate", {"expression": expression, **how})
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            said = details.get("exception", {}).get("description") or details.get("text", "")
            raise PlaywrightError(f"{name}.js: {said}")
        value = json.dumps(answer["result"].get("value"), ensure_ascii=False)
        return json.loads(value.encode("utf-8", "replace"))  # a page may give half of a surrogate pair

    async def _main(self) -> CDPSession:
        if self._session is None:
            self._session = await self._page.context.new_cdp_session(self._page)
        return self._session

    async def _frames(self) -> list[tuple[CDPSession, dict[str, Any]]]:
        """Each frame with the session that reaches it: those of the page's process, then of all others."""
        others = await asyncio.gather(*map(self._other, self._page.frames[1:_FRAMES_MAX]))
        found = []
        for session in [await self._main(), *filter(None, others)]:
            trees = [(await session.send("Page.getFrameTree"))["frameTree"]]
            for tree in trees:  # which grows as it is walked
                found.append((session, tree["frame"]))
                trees += tree.get("childFrames", [])
        return found

    async def _other(self, frame: Frame) -> CDPSession | None:
        """The session of a frame that lives in a process of its own; None when it does not, or is gone."""
        try:
            return await self._page.context.new_cdp_session(frame)
        except PlaywrightError:
            return None
