"""DevTools' Network events in, exchanges out: decoded bodies, rendered heads, and what could not be had.

    requestWillBeSent ── requestWillBeSentExtraInfo (the head as sent)      the extra ones in any order,
    responseReceived ─── responseReceivedExtraInfo (the head as received)   for each hop of a redirect
    dataReceived* ── loadingFinished | loadingFailed

A body is streamed as it arrives (`streamResourceContent`: its bytes, in bounded memory); one that was too quick
for that is asked for at its end (`getResponseBody`).
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import urldefrag, urlsplit

from pipelines.guard import Connection
from pipelines.record.cdp_heads import request_head, response_head, without_codings
from pipelines.record.exchange import Body, BodyState, Exchange, Layer, Network
from pipelines.record.heads import parse_head
from pipelines.record.spool import BodySpool, note_of, remove_spooled

BODY_MAX: Final = 16 << 20
"""Bytes of a body that is asked for in one piece; a streamed one has no limit but the page's."""
_STREAMS: Final = ("Media", "EventSource")
_NO_HEAD: Final = "the browser told no head of the answer; its body is kept as a resource"

Told = dict[str, Any]


def _nobody(*_: Any, **__: Any) -> None:
    """Before there is a connection."""


@dataclass(eq=False)
class _Draft:
    """One hop of one request."""

    url: str
    request: Told
    started: datetime
    kind: str
    sessions: list[str]
    """Who told of it: the body is asked of the last first."""
    response: Told = field(default_factory=dict)
    extra_due: bool = True
    told: int = 0
    """Bytes of the body, as the browser counts them."""
    head: bytes = b""
    spool: BodySpool | None = None
    text: bool = False
    """Whether the body is text that the browser decoded."""
    streams: bool = False
    why: str = ""
    """Why there is less of the body than was told."""
    error: str = ""
    done: bool = False
    waits: bool = False
    """Whether its body was asked for."""


class CdpAssembler:
    """Feed it every event, then `close` it; `emit` gets each exchange as it ends. See tap.Gathered."""

    def __init__(
        self,
        *,
        spool: Callable[..., BodySpool],
        emit: Callable[[Exchange], None],
        peer: Callable[[str], Connection | None],
    ) -> None:
        """`spool` is `WarcSink.spool`; `peer` tells what the tunnel knows of the connections to a URL's host."""
        self._spool, self._emit, self._peer = spool, emit, peer
        self.ask: Callable[..., None] = _nobody
        """Sends a command: (session, method, what takes the reply, **params)."""
        self._hops: dict[str, deque[_Draft]] = {}
        self._sent: dict[str, deque[Told]] = {}
        self._answered: dict[str, deque[Told]] = {}
        self._chains: dict[str, tuple[bytes, ...] | None] = {}
        self._main = self._navigation = ""
        self._workers: dict[str, None] = {}
        self._urls: set[str] = set()
        self._memory: set[str] = set()
        self.received = self.awaited = 0
        self.unsent: list[tuple[str, str]] = []
        self.cached: set[str] = set()
        self.websockets: list[str] = []
        self.document: list[str] = []
        self.own: list[str] = []
        self.lost: list[tuple[str, str]] = []

    def attached(self, kind: str, target: str, url: str) -> None:
        """A page, frame or worker is listened to from now on; the first page is the visit's."""
        self._main = self._main or target
        if kind.endswith("worker"):
            self._workers[urldefrag(url).url] = None

    def ended(self, why: str) -> None:
        """Nothing more will be told."""
        self.lost.append((self.document[-1] if self.document else "", why))

    def feed(self, session: str, method: str, params: Told) -> None:
        """Take the next event. Raises ValueError, OSError."""
        handler = self.HANDLERS.get(method)
        if handler is not None:
            handler(self, session, params)

    def close(self, why: str) -> None:
        """Hand on what is still open, cut short by `why`. Raises OSError."""
        self._chains = {origin: chain or () for origin, chain in self._chains.items()}
        for name, hops in list(self._hops.items()):
            for draft in hops:
                if not draft.done:
                    draft.error, draft.done = why, True
                draft.waits = draft.extra_due = False
            self._settle(name)
        self.lost += [
            (url, "a worker runs it, and the browser told of no request for it")
            for url in self._workers
            if url.startswith("http") and url not in self._urls
        ]

    def _request(self, session: str, params: Told) -> None:
        name, url = params["requestId"], urldefrag(params["request"]["url"]).url
        hops = self._hops.get(name)
        if urlsplit(url).scheme not in {"http", "https"} or (hops and "redirectResponse" not in params):
            return
        if hops:
            before = hops[-1]
            before.extra_due = params["redirectHasExtraInfo"]
            self._take_head(before, params["redirectResponse"])
            before.done, before.why = True, "a redirect's body is not kept by the browser"
        draft = _Draft(
            url, params["request"], datetime.fromtimestamp(params["wallTime"], UTC), params["type"], [session]
        )
        self._urls.add(url)
        self._hops.setdefault(name, deque()).append(draft)
        main = params["type"] == "Document" and params.get("frameId") == self._main
        if main and self._navigation in {"", name}:
            self._navigation = name
            self.document.append(url)
        self._settle(name)
        self._stream(name, draft)

    def _stream(self, name: str, draft: _Draft) -> None:
        def began(reply: Told) -> None:
            if "result" in reply and not draft.done:
                draft.streams = True
                self._write(draft, base64.b64decode(reply["result"]["bufferedData"]))

        if not draft.streams:
            self.ask(draft.sessions[-1], "Network.streamResourceContent", began, requestId=name)

    def _response(self, session: str, params: Told) -> None:
        name, response = params["requestId"], params["response"]
        draft = self._under_way(session, name)
        if draft is None or draft.response:
            return
        draft.extra_due = params["hasExtraInfo"]
        self._take_head(draft, response)
        origin = "://".join(urlsplit(draft.url)[:2])
        if response.get("securityDetails") and origin not in self._chains:
            self._chains[origin] = None
            self.ask(session, "Network.getCertificate", lambda r: self._chain(origin, r), origin=origin)
        self._stream(name, draft)

    def _take_head(self, draft: _Draft, response: Told) -> None:
        draft.response = response

    def _chain(self, origin: str, reply: Told) -> None:
        names = reply.get("result", {}).get("tableNames", [])
        self._chains[origin] = tuple(base64.b64decode(one) for one in names)
        for name in list(self._hops):
            self._settle(name)

    def _data(self, session: str, params: Told) -> None:
        draft = self._under_way(session, params["requestId"])
        if draft is None or draft.sessions[-1] != session:
            return
        size = int(params["dataLength"])
        draft.told += size
        self.received += size
        self.awaited += 0 if draft.kind in _STREAMS else size
        if params.get("data"):
            self._write(draft, base64.b64decode(params["data"]))

    def _finished(self, session: str, params: Told) -> None:
        draft = self._under_way(session, params["requestId"])
        if draft is not None:
            draft.error = "net::" + params["errorText"].removeprefix("net::") if "errorText" in params else ""
            if params.get("blockedReason"):
                draft.error = f"blocked by the browser: {params['blockedReason']}"
            draft.done = True
            self._complete(params["requestId"], draft)

    def _complete(self, name: str, draft: _Draft) -> None:
        """Ask for the body where the stream has less than was told."""
        got = draft.spool.size if draft.spool else 0
        if got < draft.told and not draft.error:
            if draft.told > BODY_MAX:
                draft.why = f"length: {draft.told} bytes are more than is asked of the browser at once"
            else:
                draft.waits = True
                self._body(name, draft, list(reversed(draft.sessions)))
        self._settle(name)

    def _body(self, name: str, draft: _Draft, sessions: list[str]) -> None:
        def came(reply: Told) -> None:
            result = reply.get("result")
            if result is None and sessions[1:]:
                self._body(name, draft, sessions[1:])
                return
            draft.waits = False
            if result is None:
                draft.why = f"the browser gave no body: {reply['error']['message']}"
            else:
                self._replace(draft, result["body"], text=not result["base64Encoded"])
            self._settle(name)

        self.ask(sessions[0], "Network.getResponseBody", came, requestId=name)

    def _replace(self, draft: _Draft, body: str, *, text: bool) -> None:
        self._drop(draft)
        draft.text, draft.told = text, 0
        self._write(draft, body.encode("utf-8", "surrogatepass") if text else base64.b64decode(body))

    def _drop(self, draft: _Draft) -> None:
        held = draft.spool.close() if draft.spool else None
        if held and held.path:
            remove_spooled(held.path)
        draft.spool = None

    def _write(self, draft: _Draft, data: bytes) -> None:
        if draft.spool is None:
            head = without_codings(response_head(draft.response, {})) if draft.response else b""
            note = note_of(
                client="chromium",
                url=draft.url,
                method=draft.request["method"],
                started=draft.started,
                request_head=request_head(draft.request, {}),
                response_head=head,
                ip="",
            )
            draft.spool = self._spool(head, note=note)
        draft.spool.write(data)

    def _under_way(self, session: str, name: str) -> _Draft | None:
        """The hop that an event is about; `session` tells of it from now on."""
        hops = self._hops.get(name)
        if not hops or hops[-1].done:
            return None
        if session not in hops[-1].sessions:
            hops[-1].sessions.append(session)
        return hops[-1]

    def _settle(self, name: str) -> None:
        """Hand on the hops that are done, in their order, once all that was announced of each has come."""
        hops = self._hops.get(name)
        answers = self._answered.get(name, deque())
        while hops and hops[0].done and not hops[0].waits:
            draft = hops[0]
            due = draft.extra_due and draft.response and not answers
            if due or self._chains.get("://".join(urlsplit(draft.url)[:2]), ()) is None:
                return
            hops.popleft()
            sent = self._sent.get(name)
            self._hand_on(
                name,
                draft,
                sent.popleft() if sent else {},
                answers.popleft() if answers and draft.extra_due else {},
            )
        if hops is not None and not hops:
            for waiting in (self._hops, self._sent, self._answered):
                waiting.pop(name, None)

    def _hand_on(self, name: str, draft: _Draft, sent: Told, answer: Told) -> None:
        response = draft.response
        stored = any(
            response.get(f"from{where}") for where in ("DiskCache", "ServiceWorker", "PrefetchCache")
        )
        if (name in self._memory or stored) and not answer:
            self.cached.add(draft.url)
            self._drop(draft)
        elif not sent and not response and draft.error and not draft.told:
            self.unsent.append((draft.url, draft.error.removeprefix("net::")))
            self._drop(draft)
        else:
            self._emit(self._exchange(draft, sent, answer))

    def _exchange(self, draft: _Draft, sent: Told, answer: Told) -> Exchange:
        method = draft.request["method"]
        head = response_head(draft.response, answer) if draft.response else b""
        body = self._body_of(draft, head, method)
        if body.state is BodyState.DECODED:
            head = without_codings(head)
        if not head and body.size:
            self.lost.append((draft.url, _NO_HEAD))
        elif draft.why and body.state in {BodyState.TRUNCATED, BodyState.ABSENT}:
            self.lost.append((draft.url, draft.why))
        return Exchange(
            client="chromium",
            url=draft.url,
            method=method,
            started=draft.started,
            request_head=request_head(draft.request, sent),
            response_head=head,
            response_body=body,
            request_body=self._posted(draft),
            layer=Layer.CDP_DECODED,
            network=self._network(draft),
            error=draft.error,
        )

    def _body_of(self, draft: _Draft, head: bytes, method: str) -> Body:
        parsed = parse_head(head)
        size = draft.spool.size if draft.spool else 0
        if not head and not size:
            why = draft.error or "the browser told of no answer"
            return Body(0, data=b"", state=BodyState.ABSENT, why=f"disconnect: {why}")
        expected = draft.told or parsed.length or parsed.chunked
        if not size and (not parsed.has_body(method) or not expected):
            return Body(0, data=b"")
        if not size or draft.spool is None:
            draft.why = draft.why or draft.error or "the browser handed no body on"
            return Body(0, data=b"", state=BodyState.ABSENT, why=draft.why)
        if draft.error or size < draft.told:
            draft.why = draft.why if draft.error else draft.why or "the browser handed only a part on"
            why = f"disconnect: the browser's request ended with {draft.error}" if draft.error else draft.why
            return draft.spool.close(BodyState.TRUNCATED, why)
        undone = [*parsed.encodings, *(["chunked"] if parsed.chunked else [])]
        undone += ["the text's own encoding"] if draft.text else []
        if undone:
            return draft.spool.close(BodyState.DECODED, f"the browser undid {', '.join(undone)}")
        return draft.spool.close()

    def _posted(self, draft: _Draft) -> Body | None:
        if not draft.request.get("hasPostData"):
            return None
        entries = draft.request.get("postDataEntries") or []
        data = b"".join(base64.b64decode(entry.get("bytes", "")) for entry in entries)
        if data and all("bytes" in entry for entry in entries):
            return Body(len(data), data=data)
        why = "the browser told no bytes of a file or a large body that was sent"
        self.lost.append((draft.url, why))
        return Body(0, data=b"", state=BodyState.ABSENT, why=why)

    def _network(self, draft: _Draft) -> Network:
        security = draft.response.get("securityDetails") or {}
        peer = self._peer(draft.url)
        return Network(
            ip=peer.ip if peer else "",
            port=peer.port if peer else 0,
            protocol="h2" if draft.response.get("protocol") == "h2" else "http/1.1",
            tls=security.get("protocol", "").lower().replace(" ", "/"),
            cipher=_CIPHERS.get(security.get("cipher", ""), "")
            if "1.3" in security.get("protocol", "")
            else "",
            chain=self._chains.get("://".join(urlsplit(draft.url)[:2])) or (),
            dns=tuple(peer.dns) if peer else (),
        )

    def _sent_extra(self, _: str, params: Told) -> None:
        self._sent.setdefault(params["requestId"], deque()).append(params)

    def _answer_extra(self, _: str, params: Told) -> None:
        self._answered.setdefault(params["requestId"], deque()).append(params)
        self._settle(params["requestId"])

    def _from_memory(self, _: str, params: Told) -> None:
        self._memory.add(params["requestId"])

    def _websocket(self, _: str, params: Told) -> None:
        self.websockets.append(urldefrag(params["url"]).url)

    HANDLERS: ClassVar[Mapping[str, Callable[[Any, str, Told], None]]] = {
        "Network.requestWillBeSent": _request,
        "Network.requestWillBeSentExtraInfo": _sent_extra,
        "Network.responseReceived": _response,
        "Network.responseReceivedExtraInfo": _answer_extra,
        "Network.dataReceived": _data,
        "Network.loadingFinished": _finished,
        "Network.loadingFailed": _finished,
        "Network.requestServedFromCache": _from_memory,
        "Network.webSocketCreated": _websocket,
    }


_CIPHERS: Final = {
    "AES_128_GCM": "TLS_AES_128_GCM_SHA256",
    "AES_256_GCM": "TLS_AES_256_GCM_SHA384",
    "CHACHA20_POLY1305": "TLS_CHACHA20_POLY1305_SHA256",
}
"""What Chromium calls the ciphers of TLS 1.3, and IANA does; for TLS 1.2 it leaves the hash out."""
