"""Players of several kinds, challenges, and pages that try to hold a visit up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from tests.site import names
from tests.site.big import PaddedMp4
from tests.site.clips import media
from tests.site.messages import Request, Response, html, typed
from tests.site.pages import framed, origin, post_page
from tests.site.posts import BY_PATH
from tests.site.router import Router

router = Router()

_VIDEO: Final = '<video class="player" playsinline controls width="640" height="360" src="{}"></video>'
_PIECES: Final = """<video class="player" playsinline width="640" height="360"></video><script>
// As players of segments do: fetches on and on, whether it plays or not.
(async () => {
  const video = document.querySelector('video'), source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise(done => source.addEventListener('sourceopen', done, {once: true}));
  const buffer = source.addSourceBuffer('video/mp4; codecs="avc1.42C01E"');
  buffer.mode = 'sequence';
  source.duration = 3600;
  for (let n = 0; n < 200; n++) {
    buffer.appendBuffer(await (await fetch('/media/video.mp4?n=' + n)).arrayBuffer());
    await new Promise(done => buffer.addEventListener('updateend', done, {once: true}));
    await new Promise(done => setTimeout(done, n ? 100 : 0));
  }
})();
</script>"""
_BUTTON: Final = """<div class="vjs"><button class="vjs-big-play-button" style="width:120px;height:60px">▶</button></div><script>
document.querySelector('.vjs-big-play-button').onclick = event => {
  open('/about?window=player');
  event.target.parentElement.innerHTML = `%s`;
};
</script>"""


def _page(request: Request, body: str) -> Response:
    return html(framed(request, "再生 — 星空ビデオ", f"<h1>再生</h1>{body}"))


@router.page("/player/slow")
def slow_player(request: Request) -> Response:
    """A file that comes at a megabyte a second."""
    return _page(request, _VIDEO.format("/player/slow.mp4"))


@router.page("/player/slow.mp4")
def slow_file(_: Request) -> Response:
    """30 MB of it."""
    file = PaddedMp4(media().read("two.mp4"), 30_000_000)

    def drops() -> Iterator[bytes]:
        for at in range(0, file.size, 50_000):
            yield b"".join(file.read(at, min(at + 50_000, file.size)))
            time.sleep(0.05)

    return typed(drops(), "video/mp4")


@router.page("/player/pieces")
def pieces_player(request: Request) -> Response:
    """Media Source Extensions, without an end."""
    return _page(request, _PIECES)


@router.page("/player/framed")
def framed_player(request: Request) -> Response:
    """The player of pieces in a frame from another site."""
    away = origin(request, names.AWAY)
    return _page(
        request, f'<iframe src="{away}/player/pieces" width="800" height="520" allow="autoplay"></iframe>'
    )


@router.page("/player/button")
def button_player(request: Request) -> Response:
    """Nothing to play before its button is pressed, which opens a window as well."""
    return _page(request, _BUTTON % _VIDEO.format("/media/one.mp4"))


@router.page("/player/refused")
def refused_player(request: Request) -> Response:
    """A player whose file does not come."""
    return _page(request, _VIDEO.format("/trouble/refused.mp4"))


_CHALLENGES: Final = {
    "cloudflare": "<h1>videos.example.test</h1><p>Verifying you are human. This may take a few seconds.</p>"
    '<form id="challenge-form" method="post" style="height:80px"><input type="checkbox"> Verify you are human</form>',
    "recaptcha": '<p>確認</p><div class="g-recaptcha" style="height:78px;width:304px;border:1px solid">I\'m not a robot</div>',
    "beside": '<div class="g-recaptcha" style="height:78px;width:304px">comment</div>'
    + "<p>本文です。</p>" * 200,
}


@router.page("/challenge/<kind>")
def challenge(_: Request, kind: str) -> Response:
    """A question for a proof of being human; `beside`: in a page that shows itself all the same."""
    return html(
        f"<!doctype html><html><title>Just a moment...</title><body>{_CHALLENGES[kind]}</body></html>"
    )


_HOLDS: Final = {
    "alerts": "setInterval(() => alert('また'), 10);",
    "print": "print();",
    "chooser": "const i = document.createElement('input'); i.type = 'file'; i.click(); showOpenFilePicker?.().catch(e => 0);",
    "download": "location.href = '/hold-file';",
    "permission": "Notification.requestPermission(); navigator.geolocation.getCurrentPosition(() => 0);"
    "navigator.mediaDevices.getUserMedia({video: true}).catch(() => 0);",
    "fullscreen": "document.documentElement.requestFullscreen().catch(() => 0);",
    "leave": "onbeforeunload = () => 'stay'; setTimeout(() => { location.href = '/about'; }, 300);",
    "surrogates": "document.title = 'half \\ud83d'; alert(document.title);",
    "loop": "setTimeout(() => { for (;;); }, 900);",
    "globals": "document.querySelector = Element.prototype.click = () => { throw Error('mine'); };"
    "Document.prototype.querySelectorAll = () => { document.title = 'seen'; return []; };",
}


@router.page("/hold/<how>")
def hold(request: Request, how: str) -> Response:
    """A post whose script does this."""
    return html(post_page(request, BY_PATH["/post/2"], extra=f"<script>{_HOLDS[how]}</script>"))


@router.page("/hold-file")
def hold_file(_: Request) -> Response:
    """A file to be kept."""
    response = typed(b"x" * 100_000, "application/octet-stream")
    response.headers.append(("Content-Disposition", 'attachment; filename="file.bin"'))
    return response
