"""DevTools' Network events in, exchanges out.

    requestWillBeSent ── requestWillBeSentExtraInfo (the head as sent)      the extra ones come in any order,
    responseReceived ─── responseReceivedExtraInfo (the head as received)   for each hop of a redirect
    dataReceived* ── loadingFinished | loadingFailed

A body is streamed as it arrives (`streamResourceContent`: its bytes, in bounded memory); one that was too quick
for that is asked for at its end (`getResponseBody`).
"""

from __future__ import annotations

import base64
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from pipelines.guard import Connection
from pipelines.record.cdp_draft import Draft, Told
from pipelines.record.exchange import Exchange, crossing
from pipelines.record.spool import BodySpool
from pipelines.record.tap import Gathered

BODY_MAX: Final = 16 << 20
"""Bytes of a body that is asked for in one piece; a streamed one has no limit but the page's."""
_STREAMS: Final = ("Media", "EventSource")
_UNTOLD: Final = (
    "DevTools tells once, by its last answer, what Chromium repeats by itself: over a dead connection, with a "
    "sign-in, to see whether a service worker is still the same"
)
_STORED: Final = ("fromDiskCache", "fromServiceWorker", "fromPrefetchCache")


class CdpAssembler(Gathered):
    """Feed it every event, then `close` it; `emit` gets each exchange as it ends."""

    def __init__(
        self,
        *,
        spool: Callable[..., BodySpool],
        emit: Callable[[Exchange], None],
        peer: Callable[[str], Connection | None],
    ) -> None:
        """`spool` is `WarcSink.spool`; `peer` tells what the tunnel knows of the connections to a URL's host."""
        super().__init__()
        self._spool, self._emit, self._peer = spool, emit, peer
        self.ask: Callable[..., None]
        """Sends a command: (session, method, what takes the reply, **params)."""
        self.main = ""
        """The target, and so the main frame, of the page that is visited."""
        self._hops: dict[str, deque[Draft]] = {}
        self._extra: dict[tuple[str, str], deque[Told]] = {}
        self._chains: dict[str, tuple[bytes, ...] | None] = {}
        """Certificates by origin; None while they are asked for."""
        self._memory: set[str] = set()
        self._navigation = ""
        self._closed = False

    def feed(self, session: str, method: str, params: Told) -> None:
        """Take the next event. Raises ValueError, LookupError, OSError."""
        handler = self.HANDLERS.get(method)
        if handler is not None:
            handler(self, session, params)

    def close(self, why: str) -> None:
        """Hand on what is still open, cut short by `why`. Raises OSError."""
        self._chains = {origin: chain or () for origin, chain in self._chains.items()}
        self._closed = True
        for name, hops in list(self._hops.items()):
            for draft in hops:
                draft.error = draft.error if draft.done else why
                draft.done, draft.waits = True, False
            self._settle(name)
        self.untold += [(url, _UNTOLD) for url in self.document[-1:]]

    def _request(self, session: str, params: Told) -> None:
        name, url = params["requestId"], crossing(params["request"]["url"])
        hops = self._hops.setdefault(name, deque())
        if hops and "redirectResponse" in params:
            before = hops[-1]
            before.response, before.extra = params["redirectResponse"], params["redirectHasExtraInfo"]
            before.why = "a redirect's body is not kept by the browser"
            self._over(before, "")
        elif hops or not url.startswith(("http:", "https:")):  # told by two sessions; data:
            return
        started = datetime.fromtimestamp(params["wallTime"], UTC)
        params["request"].pop("postData", None)  # as text; `postDataEntries` has the same as bytes
        draft = Draft(url, params["request"], started, params["type"], session, self._spool)
        draft.streams = bool(hops) and hops[-1].streams  # granted twice, bytes would come twice
        hops.append(draft)
        main = params["type"] == "Document" and params.get("frameId") == self.main
        if main and self._navigation in {"", name}:
            self._navigation = name
            self.document.append(url)
        self.under_way[draft.asked] += 1
        self.requests += 1
        self._settle(name)
        self._stream(name, draft)

    def _stream(self, name: str, draft: Draft) -> None:
        def began(reply: Told) -> None:
            draft = self._hops[name][-1] if name in self._hops else None
            if draft is not None:
                draft.streams = "result" in reply
            if draft is not None and draft.streams and not draft.size:
                draft.write(base64.b64decode(reply["result"]["bufferedData"]))

        if not draft.streams:  # neither asked for nor granted
            draft.streams = True
            self.ask(draft.session, "Network.streamResourceContent", began, requestId=name)

    def _response(self, session: str, params: Told) -> None:
        name, response = params["requestId"], params["response"]
        draft = self._under_way(session, name)
        if draft is None or draft.response:
            return
        stored = name in self._memory or any(response.get(where) for where in _STORED)
        if stored and not params["hasExtraInfo"]:
            if not response.get("fromServiceWorker"):
                self.cached[draft.asked] += 1
            self._over(draft, "")
            del self._hops[name]
            return
        draft.response, draft.extra = response, params["hasExtraInfo"]
        origin = draft.origin
        if response.get("securityDetails") and origin not in self._chains:
            self._chains[origin] = None
            self.ask(session, "Network.getCertificate", lambda r: self._chain(origin, r), origin=origin)
        self._stream(name, draft)

    def _chain(self, origin: str, reply: Told) -> None:
        names = reply.get("result", {}).get("tableNames", [])
        self._chains[origin] = tuple(map(base64.b64decode, names))
        for name in list(self._hops):
            self._settle(name)

    def _data(self, session: str, params: Told) -> None:
        draft = self._under_way(session, params["requestId"])
        if draft is not None:
            size = int(params["dataLength"])
            draft.told += size
            self.received += size
            self.awaited += 0 if draft.kind in _STREAMS else size
            if params.get("data"):
                draft.write(base64.b64decode(params["data"]))

    def _finished(self, session: str, params: Told) -> None:
        name = params["requestId"]
        draft = self._under_way(session, name)
        if draft is None:
            return
        blocked = params.get("blockedReason")
        error = params.get("errorText", "").removeprefix("net::")
        self._over(draft, f"blocked by the browser: {blocked}" if blocked else error)
        if draft.told > BODY_MAX and not draft.streams:
            draft.why = f"length: {draft.told} bytes are more than is asked of the browser at once"
        elif draft.told and not draft.size:
            draft.waits = True
            self.ask(session, "Network.getResponseBody", lambda r: self._body(name, draft, r), requestId=name)
        self._settle(name)

    def _over(self, draft: Draft, error: str) -> None:
        draft.done, draft.error = True, error
        self.under_way -= Counter([draft.asked])

    def _body(self, name: str, draft: Draft, reply: Told) -> None:
        draft.waits = False
        if "error" in reply:
            draft.why = "" if draft.size else f"the browser gave no body: {reply['error']['message']}"
        elif not draft.size:
            body, draft.text = reply["result"]["body"], not reply["result"]["base64Encoded"]
            data = body.encode("utf-8", "replace") if draft.text else base64.b64decode(body)
            draft.told = len(data)
            draft.write(data)
        self._settle(name)

    def _under_way(self, session: str, name: str) -> Draft | None:
        """The hop that an event is about, if it is not over."""
        hops = self._hops.get(name)
        if not hops or hops[-1].done:
            return None
        hops[-1].session = session  # a frame's document ends in another process than it began in
        return hops[-1]

    def _settle(self, name: str) -> None:
        """Hand on the hops that are done, in their order, once all that was announced of each has come."""
        hops = self._hops.get(name, deque())
        sent, answers = (self._extra.get((what, name), deque()) for what in ("request", "response"))
        while hops and hops[0].done and not hops[0].waits:
            draft = hops[0]
            due = draft.extra and not (answers if draft.response else sent)  # the latter may never come
            if not self._closed and (due or self._chains.get(draft.origin, ()) is None):
                return
            hops.popleft()
            answer = answers.popleft() if answers and draft.extra else {}
            if not sent and not draft.response and not draft.told:
                self.unsent.append((draft.url, draft.error))
                continue
            peer = self._peer(draft.url)
            where = (peer.ip, peer.port, tuple(peer.dns)) if peer else ("", 0, ())
            network = draft.network(*where, self._chains.get(draft.origin) or ())
            self._emit(draft.finish(sent.popleft() if sent else {}, answer, network))
            if draft.why:
                self.untold.append((draft.url, draft.why))
        if not hops:
            self._hops.pop(name, None)

    def _extra_info(self, what: str, params: Told) -> None:
        self._extra.setdefault((what, params["requestId"]), deque()).append(params)
        self._settle(params["requestId"])

    def _from_memory(self, _: str, params: Told) -> None:
        self._memory.add(params["requestId"])

    def _websocket(self, _: str, params: Told) -> None:
        self.untold.append((params["url"], "a WebSocket is not recorded over DevTools"))

    HANDLERS: ClassVar[Mapping[str, Callable[[Any, str, Told], None]]] = {
        "Network.requestWillBeSent": _request,
        "Network.requestWillBeSentExtraInfo": lambda own, _, params: own._extra_info("request", params),  # noqa: SLF001
        "Network.responseReceived": _response,
        "Network.responseReceivedExtraInfo": lambda own, _, params: own._extra_info("response", params),  # noqa: SLF001
        "Network.dataReceived": _data,
        "Network.loadingFinished": _finished,
        "Network.loadingFailed": _finished,
        "Network.requestServedFromCache": _from_memory,
        "Network.webSocketCreated": _websocket,
    }
