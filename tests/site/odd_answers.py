"""Answers that differ on the wire: what a client that parses and puts together again would lose."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.site.messages import Request, Response, chunked, gzipped, html, redirect, typed
from tests.site.router import Router

router = Router()
_TEXT = "<p>星空を見上げる。Looking up at the stars.</p>" * 200


@router.page("/wire/headers")
def headers(request: Request) -> Response:
    """Repeated, oddly cased and oddly ordered header fields."""
    odd = [
        ("x-LAST-first", "1"),
        ("Set-Cookie", "a=1; Path=/"),
        ("sEt-cOOkie", "b=2; Path=/"),
        ("X-Empty", ""),
        ("X-Name", "流れ星"),
        ("Set-Cookie", "a=1; Path=/"),
    ]
    return Response(b"<p>heads</p>", headers=[*odd, ("content-TYPE", "text/html; charset=utf-8")])


@router.page("/wire/gzip")
def coded(request: Request) -> Response:
    """A content coding."""
    return gzipped(html(_TEXT))


@router.page("/wire/chunks")
def chunks(request: Request) -> Response:
    """Chunks of 777 bytes."""
    return chunked(html(_TEXT), 777)


@router.page("/wire/gzip-chunks")
def coded_chunks(request: Request) -> Response:
    """Both."""
    return chunked(gzipped(html(_TEXT)), 100)


@router.page("/wire/hop")
def hop(request: Request) -> Response:
    """The first of two hops."""
    return redirect("/wire/hop/2?q=%E6%98%9F&q=", 301)


@router.page("/wire/hop/2")
def second_hop(request: Request) -> Response:
    """The second."""
    return redirect("/wire/gzip", 307)


@router.page("/wire/500")
def broken(request: Request) -> Response:
    """Always an error, so it is asked for again."""
    return html("<h1>500</h1>", status=500)


@router.page("/wire/cut")
def cut(request: Request) -> Response:
    """Ends before its length."""
    return typed(_TEXT.encode(), "text/html", cut_at=1234)


@router.page("/wire/large")
def large(request: Request) -> Response:
    """Three million bytes, announced."""
    return typed(b"\x00" * 3_000_000, "application/octet-stream")


@router.page("/wire/large-chunks")
def large_chunks(request: Request) -> Response:
    """Three million bytes, not announced."""
    return chunked(typed(b"\x01" * 3_000_000, "application/octet-stream"), 50_000)


@router.page("/wire/late")
def late(request: Request) -> Response:
    """Its head comes after `delay` seconds (3)."""
    return Response(b"late", delay=request.number("delay", 3))


@router.page("/wire/drip")
def drip(request: Request) -> Response:
    """A piece at once, the rest over `delay` seconds (6)."""

    def drops() -> Iterator[bytes]:
        yield b"<p>first</p>"
        for _ in range(20):
            time.sleep(request.number("delay", 6) / 20)
            yield b"<p>more</p>"

    return typed(drops(), "text/html")


@router.page("/wire/echo")
def echo(request: Request) -> Response:
    """What was sent to it."""
    return typed(request.body, "application/octet-stream")
