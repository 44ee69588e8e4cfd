"""Pages that go wrong, each in one way."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.site import names
from tests.site.clips import media
from tests.site.messages import Headers, Request, Response, html, redirect, typed
from tests.site.pages import framed, origin, post_page
from tests.site.posts import BY_PATH, Post
from tests.site.resources import media_file
from tests.site.router import Router
from tests.site.templating import render

router = Router()
_TWO = BY_PATH["/post/2"]


def _video_page(request: Request, path: str, title: str, video: str) -> Response:
    post = Post(path, title, "試験用の投稿です。A post for tests.", "two", seconds=4)
    return html(post_page(request, post, video=origin(request, names.CDN) + video))


@router.page("/post/removed")
def removed(request: Request) -> Response:
    """A tombstone with the status of one."""
    return html(framed(request, "動画は削除されました — 星空ビデオ", render("removed.html", {})), status=404)


@router.page("/post/removed200")
def removed_200(request: Request) -> Response:
    """A tombstone that says so only in words."""
    return html(framed(request, "動画は削除されました — 星空ビデオ", render("removed.html", {})))


@router.page("/post/gone")
def gone(request: Request) -> Response:
    """410, as few sites say it."""
    return html(framed(request, "Gone — 星空ビデオ", render("removed.html", {})), status=410)


@router.page("/post/novideo")
def no_video(request: Request) -> Response:
    """A post of words only."""
    return html(framed(request, "お知らせ — 星空ビデオ", render("novideo.html", {})))


@router.page("/post/empty")
def empty(request: Request) -> Response:
    """200 and not one byte."""
    return html("")


@router.page("/post/blank")
def blank(request: Request) -> Response:
    """A document with nothing to see."""
    return html("<!doctype html><html><head><title></title></head><body></body></html>")


@router.page("/post/endless")
def endless(request: Request) -> Response:
    """Never quiet: a request every 100 ms."""
    extra = (
        "<p>更新中… <output id=tick>0</output></p><script>let n=0;setInterval(async()=>{const r=await fetch("
        "'/api/tick?n='+(n++));document.getElementById('tick').value=(await r.json()).tick},100)</script>"
    )
    return html(post_page(request, _TWO, extra=extra))


@router.page("/post/huge")
def huge(request: Request) -> Response:
    """Some 24,000 px tall (beyond the 16,384 px of a GPU texture), with 200 images."""
    cdn = origin(request, names.CDN)
    rows = "".join(
        f'<p class=row><img src="{cdn}/img/tile.png?n={n}" alt="" width=48 height=48> {n + 1:03}</p>'
        for n in range(int(request.number("images", 200)))
    )
    return html(framed(request, "長い頁 — 星空ビデオ", f"<h1>とても長い頁</h1><div class=huge>{rows}</div>"))


@router.page("/post/slow")
def slow(request: Request) -> Response:
    """The head after `delay` seconds (2), the body in ten drops over as long."""
    delay = request.number("delay", 2)
    page = post_page(request, _TWO).encode()

    def drops() -> Iterator[bytes]:
        size = len(page) // 9
        for at in range(0, len(page), size):
            time.sleep(delay / 10)
            yield page[at : at + size]

    response = typed(drops(), "text/html; charset=utf-8")
    response.delay = delay
    return response


@router.page("/status/<code>")
def status(request: Request, code: str) -> Response:
    """A page that answers with this status."""
    headers: Headers = []
    if code == "401":
        headers.append(("WWW-Authenticate", 'Bearer realm="hoshizora"'))
    if code in {"429", "503"}:
        headers.append(("Retry-After", "120"))
    body = framed(
        request, f"{code} — 星空ビデオ", f"<h1>{code}</h1><p>いまは表示できません。Not available now.</p>"
    )
    return html(body, status=int(code), headers=headers)


@router.page("/post/videorefused")
def video_refused(request: Request) -> Response:
    """The page comes, its video does not (403)."""
    return _video_page(request, "/post/videorefused", "地域により再生できない動画", "/trouble/refused.mp4")


@router.page("/trouble/refused.mp4")
def refused_file(request: Request) -> Response:
    return html("<h1>403</h1>", status=403)


@router.page("/post/videocut")
def video_cut(request: Request) -> Response:
    """Its video always ends at the half, however often it is asked for."""
    return _video_page(request, "/post/videocut", "途中で切れる動画", "/trouble/cut.mp4")


@router.page("/trouble/cut.mp4")
def cut_file(request: Request) -> Response:
    return media_file("two.mp4", cut_at=media().path("two.mp4").stat().st_size // 2)


@router.page("/post/big")
def big_post(request: Request) -> Response:
    """A post whose video has `mb` million bytes (100)."""
    mb = int(request.number("mb", 100))
    return _video_page(request, f"/post/big?mb={mb}", f"{mb} MB の動画", f"/big/{mb}mb.mp4")


@router.page("/post/toolarge")
def too_large(request: Request) -> Response:
    """A post whose video has exactly `bytes` bytes (50,000,000)."""
    size = int(request.number("bytes", 50_000_000))
    return _video_page(request, f"/post/toolarge?bytes={size}", "大きすぎる動画", f"/big/{size}b.mp4")


@router.page("/to-private")
def to_private(request: Request) -> Response:
    """Leads to a private address."""
    return redirect("http://10.0.0.1/")


@router.page("/to-metadata")
def to_metadata(request: Request) -> Response:
    """Leads to where clouds keep an instance's secrets."""
    return redirect("http://169.254.169.254/latest/meta-data/")


@router.page("/trouble/to-private.png")
def image_to_private(request: Request) -> Response:
    """A sub-resource that leads to a private address."""
    return redirect("https://10.0.0.1/pixel.png")


@router.page("/post/private-sub")
def private_sub(request: Request) -> Response:
    """Sub-resources at private addresses: by literal, by redirect, by a public name."""
    targets = ["https://10.0.0.1/pixel.png", "/trouble/to-private.png", f"https://{names.PRIVATE}/pixel.png"]
    extra = "".join(f'<img src="{target}" alt="計測用" width=16 height=16>' for target in targets)
    return html(post_page(request, _TWO, extra=extra))


@router.page("/post/dialog")
def dialog(request: Request) -> Response:
    """Dialogs that would stop a page nobody answers."""
    extra = (
        "<script>alert('ようこそ');confirm('18歳以上ですか');prompt('お名前');"
        "addEventListener('beforeunload',e=>{e.preventDefault();e.returnValue=''})</script>"
    )
    return html(post_page(request, _TWO, extra=extra))


@router.page("/post/consent")
def consent(request: Request) -> Response:
    """A cookie banner over the post."""
    return html(post_page(request, _TWO, extra=render("consent.html", {})))
