"""What a hostile or broken server sends, at a measured pace; and paced media, for kills at any moment."""

from __future__ import annotations

import itertools
import time
import zlib
from collections.abc import Iterator
from functools import cache

import brotli

from tests.site.big import PaddedMp4
from tests.site.clips import media
from tests.site.messages import Request, Response, html, redirect, typed
from tests.site.router import Router

router = Router()
PIECE = 1 << 14
PACE = 0.05
"""Seconds between two pieces: some 320 kB/s, which every client keeps up with."""
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
        "fetch('/bounds/drip').then(r => r.text()); fetch('/bounds/late?delay=9');"
        "fetch('/bounds/echo', {method: 'POST', body: 'x'.repeat(100000)});"
        "let n = 0; setInterval(() => fetch('/bounds/echo?n=' + n++), 200);"
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
    return _page("mp4", "<video preload=none src='/bounds/paced.mp4'></video>")


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
    """Twelve segments of half a MB."""
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


@cache
def packed(coding: str, mb: int, text: bytes) -> bytes:
    """`mb` million bytes of repeated text, packed small."""
    piece = text * (1_000_000 // len(text))
    if coding == "br":
        packer = brotli.Compressor(quality=1)
        return b"".join([*(packer.process(piece) for _ in range(mb)), packer.finish()])
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = deflate.compress(piece) + deflate.flush(zlib.Z_FULL_FLUSH)  # stands alone: made once
    check = zlib.crc32 if coding == "gzip" else zlib.adler32
    value = 0 if coding == "gzip" else 1
    for _ in range(mb):
        value = check(piece, value)
    data = block * mb + b"\x03\x00"
    if coding == "gzip":
        size = len(piece) * mb & 0xFFFFFFFF
        return (
            b"\x1f\x8b\x08"
            + bytes(6)
            + b"\xff"
            + data
            + value.to_bytes(4, "little")
            + size.to_bytes(4, "little")
        )
    return b"\x78\x9c" + data + value.to_bytes(4, "big")


@router.page("/bounds/bomb/<name>")
def bomb(request: Request, name: str) -> Response:
    """`mb` million bytes in some thousand: `page` of markup, else a playlist or noise."""
    coding = request.query.get("coding", ["gzip"])[0]
    kinds = {"page": ("text/html", b"<p>star "), "list.m3u8": ("application/vnd.apple.mpegurl", b"#EXTM3U\n")}
    kind, text = kinds.get(name, ("application/octet-stream", b"boom"))
    response = typed(packed(coding, int(request.number("mb", 500)), text), kind)
    response.headers.append(("Content-Encoding", coding))
    return response


@router.page("/bounds/bombs")
def bombs(request: Request) -> Response:
    """Fetches one of each coding and reads it."""
    asked = "".join(
        f"fetch('/bounds/bomb/x.bin?coding={coding}').then(r => r.body.pipeTo(new WritableStream()));"
        for coding in ("gzip", "deflate", "br")
    )
    return _page("bombs", f"<h1>爆</h1><script>{asked}</script>")


@router.page("/bounds/endless")
def endless(request: Request) -> Response:
    """A document that never ends, as fast as it is taken."""
    return typed(itertools.chain([b"<pre>"], itertools.repeat(b"more of it\n" * 6000)), "text/html")


@router.page("/bounds/endless.mp4")
def endless_video(request: Request) -> Response:
    """A video that never ends."""
    return typed(itertools.chain(_clip(1_000_000), itertools.repeat(bytes(PIECE))), "video/mp4")


@router.page("/bounds/drip.mp4")
def drip_video(request: Request) -> Response:
    """A video that comes byte by byte, one in half a second."""
    return typed(_paced((bytes([byte]) for byte in media().read("two.mp4")), 0.5), "video/mp4")


@router.page("/bounds/events")
def events(request: Request) -> Response:
    """A flood of server-sent events."""
    return typed(itertools.repeat(b"data: star\n\n" * 5000), "text/event-stream")


@router.page("/bounds/further")
def further(request: Request) -> Response:
    """A redirect to the next one, for ever."""
    return redirect(f"/bounds/further?n={int(request.number('n', 0)) + 1}")


SCRIPTS = {
    "requests": (
        "(async () => { for (let n = 0; n < 1e5; n += 50)"
        " await Promise.all([...Array(50)].map((_, i) => fetch('/bounds/echo?n=' + (n + i)))) })()"
    ),
    "windows": "for (let n = 0; n < 200; n++) open('/bounds/echo?n=' + n)",
    "alerts": "for (;;) alert('again')",
    "dom": (
        "document.title = 't'.repeat(1e7); for (let n = 0; n < 40; n++) {"
        " const p = document.createElement('p'); p.hidden = true; p.append('x'.repeat(1 << 20));"
        " document.body.append(p) }"
    ),
    "nodes": "for (let n = 0; n < 1e6; n++) document.body.append(document.createElement('i'))",
    "memory": "const held = []; for (;;) held.push(new Uint8Array(1 << 26).fill(7))",
    "spin": "setTimeout(() => { for (;;); }, 100)",
    "worker": "new Worker(URL.createObjectURL(new Blob(['for (;;);'])))",
    "sse": "new EventSource('/bounds/events')",
    "tall": "document.body.style.height = '1000000px'",
    "download": "location = '/bounds/paced.bin?mb=900'",
    "reload": "setTimeout(() => location = '/bounds/script/reload?' + Math.random(), 10)",
}


@router.page("/bounds/script/<name>")
def script(request: Request, name: str) -> Response:
    """A page that does one thing too much."""
    return _page(name, f"<h1>{name}</h1><script>{SCRIPTS[name]}</script>")
