"""The fallback recorder: what Chromium tells of its traffic over the DevTools protocol, without touching any.

A connection of its own beside Playwright's, whose sessions know no workers or frames of other sites:

    browser ─┬─ page ─┬─ iframe of another site      each attached before its first request: it waits until
             │        └─ worker ── its workers       all who debug it let it go, so nothing here may wait
             ├─ service worker, shared worker        from here only: two sessions on one repeat everything
             └─ window that the page opens

What is recorded is what the network stack handed on: docs/formats/warc.md, layer `cdp-decoded`.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from evidence.errors import CaptureFailedError
from pipelines.record.cdp_exchanges import BODY_MAX, CdpAssembler
from pipelines.record.spool import open_spooled

_ATTACH_SECONDS: Final = 10.0
_SETTLE_SECONDS: Final = 5.0
_MESSAGE_MAX: Final = 8 * BODY_MAX
"""Bytes of one message: a body in base64 or as JSON text, or a `data:` URL. A larger one ends the recording."""
_POST_MAX: Final = 256 << 10
"""Bytes of a body sent that the browser is asked to repeat, for each request under way."""
_PORT_FILE: Final = re.compile(rb"(\d{1,5})\n(/devtools/browser/[0-9a-f-]+)\s*")
_WORKERS: Final = ("service_worker", "shared_worker")
_NO_TRAFFIC: Final = ("browser", "browser_ui", "tab")
_TYPES: Final = ("page", "iframe", "worker", *_WORKERS)

Reply = Callable[[dict[str, Any]], None]


class CdpTap:
    """A PageTap over a DevTools connection, in a thread of its own."""

    switches: Sequence[str] = ("--remote-debugging-port=0",)

    def __init__(self, assembler: CdpAssembler) -> None:
        self.assembler = assembler
        self.client: dict[str, Any] = {}
        self.failure: Exception | None = None
        self._pending: dict[int, Reply | None] = {}
        self._asked = 0
        self._ready = threading.Event()
        self._settled = False
        self._socket: ClientConnection
        self._thread: threading.Thread | None = None
        assembler.ask = self._ask

    async def attach(self, profile: Path) -> None:
        """Connect, and be told of everything from now on. Raises CaptureFailedError."""
        try:
            with open_spooled(profile / "DevToolsActivePort") as stream:
                found = _PORT_FILE.fullmatch(stream.read(200))
        except OSError as error:
            raise _unattached(str(error)) from error
        if found is None:
            raise _unattached("DevToolsActivePort is not as it was")
        url = f"ws://127.0.0.1:{int(found[1])}{found[2].decode('ascii')}"
        self._thread = threading.Thread(target=self._run, args=(url,), name="cdp", daemon=True)
        self._thread.start()
        if not await asyncio.to_thread(self._ready.wait, _ATTACH_SECONDS) or self.failure is not None:
            raise _unattached(str(self.failure or "no answer"))

    async def settle(self) -> None:
        """Wait until the bodies that were asked for have come."""
        end = time.monotonic() + _SETTLE_SECONDS
        while self._pending and time.monotonic() < end and self._thread and self._thread.is_alive():  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # in another thread
        self._settled = True

    def finish(self, why: str) -> None:
        """Hand on what is open, as `NetLogReader.finish`. Raises what ended the recording early."""
        if self._thread is not None:
            self._thread.join(_SETTLE_SECONDS)
            if self._thread.is_alive():  # the assembler is its own still
                raise ValueError("Chromium's DevTools connection did not end")
        if self.failure is None or isinstance(self.failure, ValueError | LookupError):
            self.assembler.close(why)
        if self.failure is not None:
            raise self.failure

    def _run(self, url: str) -> None:
        try:
            with connect(
                url, max_size=_MESSAGE_MAX, compression=None, proxy=None, ping_interval=None, close_timeout=1
            ) as self._socket:
                self._begin()
                while True:
                    self._take(json.loads(self._socket.recv()))
        except ConnectionClosed as error:
            if not self._settled:
                where = self.assembler.document[-1] if self.assembler.document else ""
                self.assembler.untold.append((where, f"Chromium's DevTools connection ended early: {error}"))
        except Exception as error:  # noqa: BLE001  # the thread's edge: `finish` raises it again
            self.failure = error
        finally:
            self._ready.set()

    def _begin(self) -> None:
        self._ask("", "Browser.getVersion", self._version)
        self._listen("", _NO_TRAFFIC)

    def _version(self, reply: dict[str, Any]) -> None:
        name, _, version = reply["result"]["product"].partition("/")
        self.client |= {"name": name, "version": version, "revision": reply["result"]["revision"]}

    def _listen(self, session: str, without: Sequence[str]) -> None:
        kinds = [*({"type": kind, "exclude": True} for kind in without), {}]
        how: dict[str, Any] = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._ask(session, "Target.setAutoAttach", filter=kinds, **how)

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            then = self._pending.pop(message["id"], None)
            if then is not None:
                then(message)
        elif message["method"] == "Target.attachedToTarget":
            self._attached(message["params"]["sessionId"], message["params"]["targetInfo"])
        else:
            self.assembler.feed(message.get("sessionId", ""), message["method"], message["params"])

    def _attached(self, session: str, target: dict[str, str]) -> None:
        if target["type"] in _TYPES:
            self.assembler.main = self.assembler.main or target["targetId"]
            sizes: dict[str, Any] = {"maxResourceBufferSize": BODY_MAX, "maxPostDataSize": _POST_MAX}
            self._ask(session, "Network.enable", lambda _: self._ready.set(), **sizes)
            if target["type"] not in _WORKERS:
                self._listen(session, _WORKERS)
        self._ask(session, "Runtime.runIfWaitingForDebugger")

    def _ask(self, session: str, method: str, then: Reply | None = None, **params: Any) -> None:
        self._asked += 1
        self._pending[self._asked] = then
        order = {"id": self._asked, "method": method, "params": params}
        self._socket.send(json.dumps(order | ({"sessionId": session} if session else {})))


def _unattached(why: str) -> CaptureFailedError:
    return CaptureFailedError(f"Chromium's DevTools cannot be reached: {why}", next="try again")
