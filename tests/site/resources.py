"""What pages load: style, scripts, images, media, and the platform's small API."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import time
import zlib
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import parse_qs

from tests.site import names
from tests.site.big import PaddedMp4
from tests.site.clips import media
from tests.site.messages import Headers, Request, Response, chunked, gzipped, redirect, typed
from tests.site.router import Router
from tests.site.templating import web_file

router = Router()

_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "mp4": "video/mp4",
    "m4a": "audio/mp4",
    "ts": "video/mp2t",
    "m3u8": "application/vnd.apple.mpegurl",
    "mpd": "application/dash+xml",
    "png": "image/png",
    "jpg": "image/jpeg",
}


def kind_of(name: str) -> str:
    """The media type by the name's ending."""
    return _KINDS.get(name.rpartition(".")[2], "application/octet-stream")


def media_file(name: str, **more: object) -> Response:
    """A clip behind range requests; readable by any origin, as a CDN's are."""
    data = media().read(name)
    response = typed(data, kind_of(name), ranges=True, **more)
    response.headers += [
        ("Access-Control-Allow-Origin", "*"),
        ("ETag", f'"{hashlib.sha256(data).hexdigest()[:20]}"'),
    ]
    return response


@router.page("/assets/<name>")
def asset(request: Request, name: str) -> Response:
    """Style goes gzip'd with a length, scripts gzip'd in chunks."""
    data = web_file(name).encode()
    response = gzipped(typed(data, kind_of(name)))
    response.headers.append(("Access-Control-Allow-Origin", "*"))
    if name.endswith(".js"):
        return chunked(response, 700)
    response.headers.append(("ETag", f'"{hashlib.sha256(data).hexdigest()[:20]}"'))
    return response


@router.page("/favicon.ico")
def favicon(request: Request) -> Response:
    """A star, as browsers ask for one by themselves."""
    return typed(web_file("star.svg").encode(), "image/svg+xml")


@router.page("/img/moved.png")
def moved_image(request: Request) -> Response:
    """A sub-resource that moved."""
    return redirect(f"https://{names.CDN}:{request.port}/img/two.png")


@router.page("/img/tile.png")
def tile(request: Request) -> Response:
    """A small coloured square, another one for every `n`."""
    return typed(_square(int(request.number("n", 0))), "image/png")


@router.page("/img/<name>")
def image(request: Request, name: str) -> Response:
    """A still picture of a clip."""
    return media_file(name)


@router.page("/media/manifest.mpd")
def dash(request: Request) -> Response:
    """DASH with one whole file for the picture and one for the sound."""
    response = typed(web_file("manifest.mpd").encode(), kind_of("mpd"))
    response.headers.append(("Access-Control-Allow-Origin", "*"))
    return response


@router.page("/media/<name>")
def clip(request: Request, name: str) -> Response:
    """A media file."""
    return media_file(name)


@router.page("/direct.mp4")
def direct(request: Request) -> Response:
    """A URL that is the video itself."""
    return media_file("two.mp4")


@router.page("/big/<size>.mp4")
def big(request: Request, size: str) -> Response:
    """A real MP4 of exactly this size: `/big/100mb.mp4` (10⁶ bytes each) or `/big/123456b.mp4`."""
    amount = int(size[:-2]) * 10**6 if size.endswith("mb") else int(size[:-1])
    return typed(PaddedMp4(media().read("two.mp4"), amount), "video/mp4", ranges=True)


@router.page("/api/comments")
def comments(request: Request) -> Response:
    """JSON in chunks; what was asked comes back in it."""
    sort = request.query.get("sort", [""])[0]
    people = [("ねこ", "これ本物なの"), ("pilot_9", "is this AI?"), ("灯", "星がきれい☆")]
    listed = [{"from": who, "text": text} for who, text in people]
    body = json.dumps(
        {"sort": sort, "page": int(request.number("page", 1)), "comments": listed}, ensure_ascii=False
    )
    return chunked(typed(body.encode(), "application/json; charset=utf-8"), 64)


@router.page("/api/view")
def view(request: Request) -> Response:
    """Counts a view: JSON in, JSON out."""
    if request.method == "OPTIONS":
        return Response(b"", 204, _cross_origin(request))
    sent = json.loads(request.body)
    answer = json.dumps({"counted": True, "echo": sent}, ensure_ascii=False, sort_keys=True)
    response = gzipped(typed(answer.encode(), "application/json"))
    response.headers += _cross_origin(request)
    return response


@router.page("/api/like")
def like(request: Request) -> Response:
    """Takes a form."""
    fields = {k: v[0] for k, v in parse_qs(request.body.decode()).items()}
    return typed(json.dumps(fields, ensure_ascii=False).encode(), "application/json")


@router.page("/api/beacon")
def beacon(request: Request) -> Response:
    """Takes what `navigator.sendBeacon` sends."""
    return Response(b"", 204)


@router.page("/api/drip")
def drip(request: Request) -> Response:
    """A stream of lines, five a second for 30 s, which the page gives up after the first."""

    def lines() -> Iterator[bytes]:
        for n in range(150):
            yield f'{{"line":{n}}}\n'.encode()
            time.sleep(0.2)

    return Response(lines(), headers=[("Content-Type", "application/x-ndjson")])


@router.page("/api/tick")
def tick(request: Request) -> Response:
    """What an endless page asks for again and again."""
    return typed(json.dumps({"tick": int(request.number("n", 0))}).encode(), "application/json")


def _cross_origin(request: Request) -> Headers:
    return [
        ("Access-Control-Allow-Origin", request.header("Origin", "*")),
        ("Access-Control-Allow-Methods", "POST, OPTIONS"),
        ("Access-Control-Allow-Headers", "Content-Type"),
        ("Access-Control-Max-Age", "60"),
    ]


@lru_cache(maxsize=512)
def _square(n: int, side: int = 48) -> bytes:
    """A PNG of one colour (RFC 2083), written by hand: hundreds are made in no time."""
    colour = hashlib.sha256(f"tile {n}".encode()).digest()[:3]
    rows = b"".join(itertools.repeat(b"\0" + colour * side, side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
