"""The everything page: each kind of exchange that a browser makes, and each trick that a server plays.

`everything_url` names a run. The page asks for all of it and sets `<html data-ready="yes">` when it is through;
a request that is held until then (`/everything/held`) keeps whoever waits for a quiet page from leaving early.
What is given up on purpose has `given-up` in its path: of its answer the client got a prefix, or nothing.
"""

from __future__ import annotations

import itertools
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import brotli

from tests.site import names, websockets
from tests.site.messages import Headers, Request, Response, gzipped, html, redirect, typed
from tests.site.pages import origin
from tests.site.resources import media_file
from tests.site.router import Router
from tests.site.templating import WEB, render
from tests.site.wire import Wire

if TYPE_CHECKING:
    from tests.site.site import Site

router = Router()
TEXT = ("全部の種類の通信。Every kind of exchange. " * 40).encode()
_RUNS = itertools.count(1)
_THROUGH: dict[str, threading.Event] = {}
HELD = 30.0
"""Seconds after which a page that does not come to its end is left alone."""


def everything_url(site: Site) -> str:
    """A run of the page: each has a name of its own; it knows a port where nobody listens."""
    closed = site.closed_url.split(":")[2].partition("/")[0]
    return site.url(f"/everything/?run={next(_RUNS)}&closed={closed}")


def scripted(path: str) -> Callable[[Callable[[Wire, Request], None]], None]:
    """Registers a function that answers `path` by hand."""

    def register(answer: Callable[[Wire, Request], None]) -> None:
        @router.page(path)
        def by_hand(request: Request) -> Response:
            return Response(script=lambda wire: answer(wire, request))

    return register


def _shared(response: Response, request: Request) -> Response:
    response.headers += [
        ("Access-Control-Allow-Origin", request.header("Origin", "*")),
        ("Access-Control-Allow-Methods", "GET, PUT, POST, DELETE"),
        ("Access-Control-Allow-Headers", "Content-Type, Range, X-Custom"),
        ("Access-Control-Max-Age", "0"),
    ]
    return response


# Pages and scripts -----------------------------------------------------------------------------


@router.page("/everything/")
def page(request: Request) -> Response:
    """The page itself: two cookies, hints, a policy that is violated and reported."""
    values = {
        "videos": origin(request),
        "cdn": origin(request, names.CDN),
        "away": origin(request, names.AWAY),
        "closed": f"https://{names.CLOSED}:{request.query.get('closed', ['9'])[0]}",
        "unknown": f"https://{names.UNKNOWN}:{request.port}",
        "run": request.query.get("run", ["0"])[0],
    }
    headers: Headers = [
        ("Set-Cookie", "first=1; Path=/; Secure"),
        ("Set-Cookie", "second=2; Path=/; Secure; HttpOnly"),
        ("Content-Security-Policy-Report-Only", "font-src 'none'; report-uri /everything/api/report"),
        ("Cache-Control", "no-store"),
    ]
    return html(render("everything/page.html", values), headers=headers)


@router.page("/everything/web/<name>")
def web(request: Request, name: str) -> Response:
    """Files of tests/site/web/everything/, as they are but for the hosts' names."""
    path = WEB / "everything" / name
    data = path.read_text("utf-8")
    for key, host in (("{{videos}}", names.VIDEOS), ("{{cdn}}", names.CDN), ("{{away}}", names.AWAY)):
        data = data.replace(key, origin(request, host))
    kinds = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript"}
    response = typed(data.encode(), kinds[name.rpartition(".")[2]])
    response.headers += [("Service-Worker-Allowed", "/everything/"), ("Cache-Control", "no-store")]
    return _shared(response, request)


@router.page("/everything/held")
def held(request: Request) -> Response:
    """Answered when the page is through."""
    run = request.query["run"][0]
    _THROUGH.setdefault(run, threading.Event()).wait(HELD)
    return Response(b"", 204)


@router.page("/everything/through")
def through(request: Request) -> Response:
    """The page is through."""
    _THROUGH.setdefault(request.query["run"][0], threading.Event()).set()
    return Response(b"", 204)


# Ordinary answers -------------------------------------------------------------------------------


@router.page("/everything/text/<name>")
def text(request: Request, name: str) -> Response:
    """Some text, a little other for every name; any method, from anywhere."""
    return _shared(typed(name.encode() + b": " + TEXT, "text/plain; charset=utf-8"), request)


@router.page("/everything/api/<name>")
def api(request: Request, name: str) -> Response:
    """Takes anything in any way, and says how much it was."""
    if request.method == "OPTIONS":
        return _shared(Response(b"", 204), request)
    return _shared(typed(b'{"took":%d}' % len(request.body), "application/json"), request)


@router.page("/everything/unshared/<name>")
def unshared(request: Request, name: str) -> Response:
    """No other origin may read it."""
    return typed(b'{"for":"videos only"}', "application/json")


@router.page("/everything/empty")
def empty(request: Request) -> Response:
    return typed(b"", "text/plain")


@router.page("/everything/nothing")
def nothing(request: Request) -> Response:
    return Response(b"", 204)


@router.page("/everything/tagged/<name>")
def tagged(request: Request, name: str) -> Response:
    """Must be asked for again, and has not changed: 304."""
    response = html(f"<!doctype html><title>{name}</title><p>unchanged</p>")
    response.headers += [("ETag", '"same"'), ("Cache-Control", "no-cache")]
    return response


@router.page("/everything/kept/<name>")
def kept(request: Request, name: str) -> Response:
    """May be kept for an hour: asked for twice, it crosses the wire once."""
    response = typed(TEXT, "text/plain")
    response.headers.append(("Cache-Control", "max-age=3600"))
    return response


@router.page("/everything/moved/<code>")
def moved(request: Request, code: str) -> Response:
    """301, 302, 303, 307, 308, each with a body of its own."""
    response = redirect(f"/everything/api/landed?from={code}", int(code))
    response.headers += [("Cache-Control", "no-store")]
    return response


@router.page("/everything/moved-away")
def moved_away(request: Request) -> Response:
    """Over another host and back."""
    return _shared(redirect(origin(request, names.CDN) + "/everything/text/moved-away"), request)


@router.page("/everything/coded/<coding>")
def coded(request: Request, coding: str) -> Response:
    """One body, each content coding."""
    if coding == "gzip":
        return gzipped(typed(TEXT, "text/plain"))
    data = {"br": brotli.compress, "deflate": zlib.compress}[coding](TEXT)
    response = typed(data, "text/plain")
    response.headers.append(("Content-Encoding", coding))
    return response


@router.page("/everything/ranged/<name>")
def ranged(request: Request, name: str) -> Response:
    """A clip behind range requests."""
    if request.method == "OPTIONS":
        return _shared(Response(b"", 204), request)
    return media_file(name)


@router.page("/everything/events")
def events(request: Request) -> Response:
    """Three events, then the end: an EventSource asks again 50 ms later."""
    lines = (f"id: {n}\nretry: 50\ndata: 出来事 {n}\n\n".encode() for n in range(3))
    response = typed(lines, "text/event-stream")
    response.headers.append(("Cache-Control", "no-store"))
    return response


@router.page("/everything/given-up/<name>")
def given_up(request: Request, name: str) -> Response:
    """`late` comes too late, anything else drips until it is given up."""
    if name == "late":
        return typed(b"too late", "text/plain", delay=0.6)

    def drips() -> Iterator[bytes]:
        for n in range(30):
            yield b"drip %d\n" % n
            time.sleep(0.1)

    return typed(drips(), "text/plain")


# Who are you? -----------------------------------------------------------------------------------


@router.page("/everything/auth/<scheme>")
def auth(request: Request, scheme: str) -> Response:
    """401 until credentials come, whichever they are."""
    if request.header("Authorization").lower().startswith(scheme):
        return typed(b"welcome", "text/plain")
    asks = {"basic": 'Basic realm="hoshi"', "digest": 'Digest realm="hoshi", qop="auth", nonce="n0nce"'}
    return Response(b"who are you?", 401, [("WWW-Authenticate", asks[scheme])])


# By hand ----------------------------------------------------------------------------------------


@scripted("/everything/odd/hints")
def hints(wire: Wire, request: Request) -> None:
    wire.interim(
        b"HTTP/1.1 103 Early Hints\r\nLink: </everything/text/hinted>; rel=preload; as=fetch\r\n\r\n"
    )
    wire.head(b"HTTP/1.1 200 OK", b"Content-Type: text/html", b"Content-Length: 7")
    wire.body(b"<p>hint")


@scripted("/everything/odd/continue")
def unasked_continue(wire: Wire, request: Request) -> None:
    wire.interim(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Content-Length: 4")
    wire.body(b"went")


@scripted("/everything/odd/bytes")
def odd_bytes(wire: Wire, request: Request) -> None:
    """Latin-1, UTF-8 and neither in the fields; no reason phrase; spaces; a repeated field."""
    wire.head(
        b"HTTP/1.1 200", b"content-type:text/plain", b"X-Latin: caf\xe9", "X-Utf8: 流星 100%".encode(),
        b"X-Neither: \xff\xfe", b"X-Space:  \t two  ", b"X-Twice: a", b"X-Twice: b", b"X-Empty:",
        b"Content-Length: 5",
    )  # fmt: skip
    wire.body(b"bytes")


@scripted("/everything/odd/chunks")
def odd_chunks(wire: Wire, request: Request) -> None:
    """Chunk extensions, upper and lower case, leading zeros, trailers."""
    head = [b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Trailer: X-Sum", b"Transfer-Encoding: chunked"]
    wire.head(*head)
    for piece in (b'4;a=b;c="d e"\r\nfour\r\n', b"00A\r\nten bytes!\r\n", b"c ;x\r\ntwelve bytes\r\n"):
        wire.body(piece)
        time.sleep(0.02)
    wire.body(b"0;last\r\nX-Sum: 26\r\nX-More: \xe6\x98\x9f\r\n\r\n")


@scripted("/everything/odd/until-close")
def until_close(wire: Wire, request: Request) -> None:
    wire.head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Connection: close")
    wire.body(b"until the ")
    wire.body(b"connection closes")
    wire.end()


@scripted("/everything/odd/http10")
def http10(wire: Wire, request: Request) -> None:
    wire.head(b"HTTP/1.0 200 Document follows", b"Content-Type: text/plain")
    wire.body(b"as in 1996")
    wire.end()


@scripted("/everything/odd/http10-keep")
def http10_keep(wire: Wire, request: Request) -> None:
    wire.head(
        b"HTTP/1.0 200 OK", b"Content-Type: text/plain", b"Connection: keep-alive", b"Content-Length: 4"
    )
    wire.body(b"kept")


@scripted("/everything/odd/newlines")
def newlines(wire: Wire, request: Request) -> None:
    """Interim and final answer in one write, the body right behind."""
    wire.interim(b"HTTP/1.1 102 Processing\r\n\r\n")
    wire.head(b"HTTP/1.1 200 OK", b"Content-Length: 1")
    wire.body(b"1")


@scripted("/everything/odd/tired")
def tired(wire: Wire, request: Request) -> None:
    """Answers the first request of a connection only: a browser that reuses one asks again on another."""
    if wire.reused:
        wire.cut()
    wire.head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Content-Length: 6")
    wire.body(b"awake!")


@scripted("/everything/broken/reset")
def reset(wire: Wire, request: Request) -> None:
    wire.head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Content-Length: 1000")
    wire.body(b"half of it")
    time.sleep(0.1)
    wire.reset()


@scripted("/everything/broken/chunks")
def broken_chunks(wire: Wire, request: Request) -> None:
    wire.head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Transfer-Encoding: chunked")
    wire.body(b"4\r\nfour\r\n8\r\nfour")
    wire.cut()


@scripted("/everything/broken/unanswered")
def unanswered(wire: Wire, request: Request) -> None:
    wire.cut()


@scripted("/everything/broken/nonsense")
def nonsense(wire: Wire, request: Request) -> None:
    wire.head(b"220 mail.example.test ESMTP")
    wire.end()


# WebSockets -------------------------------------------------------------------------------------


@scripted("/everything/socket/talk")
def socket_talk(wire: Wire, request: Request) -> None:
    websockets.accept(wire, request)
    websockets.talk(wire)


@scripted("/everything/socket/deflated")
def socket_deflated(wire: Wire, request: Request) -> None:
    websockets.accept(wire, request, deflate=True)
    websockets.talk_deflated(wire)


@scripted("/everything/socket/left-open")
def socket_left_open(wire: Wire, request: Request) -> None:
    websockets.accept(wire, request)
    websockets.talk_on(wire)


@router.page("/everything/socket/refused")
def socket_refused(request: Request) -> Response:
    return Response(b"no sockets here", 403, [("Content-Type", "text/plain")])
