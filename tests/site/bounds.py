"""What a hostile or broken server sends, at a measured pace; and paced media, for kills at any moment."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

from tests.site.big import PaddedMp4
from tests.site.clips import media
from tests.site.messages import Request, Response, html, typed
from tests.site.router import Router

router = Router()
PIECE = 1 << 16
PACE = 0.02
"""Seconds between two pieces: some 3 MB/s, which every client keeps up with."""
_ICON = "<link rel=icon href='data:,'>"


def _page(title: str, body: str) -> Response:
    return html(
        f"<!doctype html><html lang=ja><head><title>{title}</title>{_ICON}</head><body>{body}</body></html>"
    )


def _paced(data: Iterator[bytes | memoryview], pace: float = PACE) -> Iterator[bytes]:
    for piece in data:
        yield bytes(piece)
        time.sleep(pace)


def _clip(size: int) -> Iterator[bytes]:
    for view in PaddedMp4(media().read("two.mp4"), size).read(0, size):
        for at in range(0, len(view), PIECE):
            yield bytes(view[at : at + PIECE])


@router.page("/bounds/page")
def page(request: Request) -> Response:
    """Something of everything that takes its time; nothing of it ever ends by itself."""
    return _page(
        "kill me",
        "<h1>星</h1><script>"
        "fetch('/bounds/paced.bin?mb=60').then(r => r.arrayBuffer());"
        "fetch('/bounds/drip').then(r => r.text()); fetch('/bounds/late');"
        "fetch('/bounds/echo', {method: 'POST', body: 'x'.repeat(100000)});"
        "let n = 0; setInterval(() => fetch('/bounds/echo?n=' + n++), 50);"
        "</script>",
    )


@router.page("/bounds/paced.bin")
def paced(request: Request) -> Response:
    """`mb` million bytes at the pace."""
    return typed(_paced(_clip(int(request.number("mb", 60) * 1e6))), "application/octet-stream")


@router.page("/bounds/drip")
def drip(request: Request) -> Response:
    """One line after the other, for ever."""
    return typed(
        _paced((b"%d\n" % n for n in itertools.count()), request.number("every", 0.05)), "text/plain"
    )


@router.page("/bounds/late")
def late(request: Request) -> Response:
    """Answers, but not today."""
    response = typed(b"late", "text/plain")
    response.delay = request.number("delay", 20)
    return response


@router.page("/bounds/echo")
def echo(request: Request) -> Response:
    """What was sent."""
    return typed(request.body or b"echo", "text/plain")


@router.page("/bounds/post/mp4")
def mp4_post(request: Request) -> Response:
    """A post that names a paced video and does not play it."""
    return _page(
        "mp4",
        "<meta property=og:video content='/bounds/paced.mp4'><video preload=none src='/bounds/paced.mp4'></video>",
    )


@router.page("/bounds/paced.mp4")
def paced_mp4(request: Request) -> Response:
    """40 MB of video at the pace."""
    return typed(_paced(_clip(40_000_000)), "video/mp4")


@router.page("/bounds/post/hls")
def hls_post(request: Request) -> Response:
    """A post whose video comes in twelve segments."""
    return _page("hls", "<video preload=none src='/bounds/paced.m3u8'></video>")


@router.page("/bounds/paced.m3u8")
def playlist(request: Request) -> Response:
    """Twelve segments of some 2 MB."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:4", "#EXT-X-MEDIA-SEQUENCE:0"]
    lines += [f"#EXTINF:4.0,\n/bounds/segment-{n}.ts" for n in range(12)]
    text = "\n".join([*lines, "#EXT-X-ENDLIST", ""])
    return typed(text.encode(), "application/vnd.apple.mpegurl")


@router.page("/bounds/segment-<number>.ts")
def segment(request: Request, number: str) -> Response:
    """Noise in a transport stream's packets, at the pace."""
    packet = b"G\x1f\xff\x10" + bytes(184)
    data = (packet * (PIECE // 188 + 1))[:PIECE]
    return typed(_paced(int(number).to_bytes(4, "big") + data[4:] for _ in range(32)), "video/mp2t")
