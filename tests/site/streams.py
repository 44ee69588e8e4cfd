"""Streams in every form that a video is served in: HLS and DASH, their keys, ranges, live ones, and their troubles."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import pairwise

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tests.site.clips import media
from tests.site.messages import Request, Response, html, redirect, typed
from tests.site.resources import kind_of, media_file
from tests.site.router import Router

router = Router()

KEY = bytes(range(16))
IV = bytes(range(100, 116))
VTT = "WEBVTT\n\n00:00.000 --> 00:02.000\n{}\n"
_asked: Counter[str] = Counter()


def _times(request: Request) -> int:
    """How often this path was asked for with this `run` before."""
    _asked[request.target] += 1
    return _asked[request.target] - 1


def _segments() -> list[str]:
    return [f"/media/hls/segment{n}.ts" for n in range(6)]


@cache
def boxes(name: str) -> tuple[bytes, ...]:
    """A fragmented MP4 in pieces: what comes before the first `moof`, then each `moof` with its `mdat`."""
    data, at, starts = media().read(name), 0, []
    while at < len(data):
        if data[at + 4 : at + 8] in {b"moof", b"mfra"}:
            starts.append(at)
        at += int.from_bytes(data[at : at + 4], "big")
    cuts = [0, *starts, len(data)]
    return tuple(data[a:b] for a, b in pairwise(cuts))


def encrypted(number: int, iv: bytes) -> bytes:
    """A segment under AES-128-CBC (RFC 8216 section 4.3.2.4)."""
    padder = PKCS7(128).padder()
    plain = padder.update(media().read(f"hls/segment{number}.ts")) + padder.finalize()
    encryptor = Cipher(algorithms.AES(KEY), modes.CBC(iv)).encryptor()
    return encryptor.update(plain) + encryptor.finalize()


def _playlist(*lines: str, end: bool = True) -> Response:
    head = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-TARGETDURATION:2", "#EXT-X-MEDIA-SEQUENCE:0"]
    text = "\n".join([*head, *lines, *(["#EXT-X-ENDLIST"] if end else []), ""])
    return typed(text.encode(), kind_of("m3u8"))


def _listed(urls: list[str]) -> list[str]:
    return [line for url in urls for line in ("#EXTINF:1.0,", url)]


@router.page("/streams/plain.m3u8")
def plain(request: Request) -> Response:
    """Segments in a row."""
    return _playlist(*_listed(_segments()))


@router.page("/streams/aes.m3u8")
def aes(request: Request) -> Response:
    """Encrypted, the first half with a stated vector, the second with the segment's number."""
    urls = [f"/streams/aes{n}.ts" for n in range(6)]
    stated = f'#EXT-X-KEY:METHOD=AES-128,URI="/streams/key.bin",IV=0x{IV.hex()}'
    return _playlist(
        stated, *_listed(urls[:3]), '#EXT-X-KEY:METHOD=AES-128,URI="/streams/key.bin"', *_listed(urls[3:])
    )


@router.page("/streams/aes<number>.ts")
def aes_segment(request: Request, number: str) -> Response:
    n = int(number)
    return typed(encrypted(n, IV if n < 3 else n.to_bytes(16, "big")), kind_of("ts"))


@router.page("/streams/key.bin")
def key(request: Request) -> Response:
    return typed(KEY, "application/octet-stream")


@router.page("/streams/ranges.m3u8")
def ranges(request: Request) -> Response:
    """All segments in one file, each a range of it."""
    lines, at = [], 0
    for number in range(6):
        size = len(media().read(f"hls/segment{number}.ts"))
        lines += ["#EXTINF:1.0,", f"#EXT-X-BYTERANGE:{size}@{at}", "/streams/all.ts"]
        at += size
    return _playlist(*lines)


@router.page("/streams/all.ts")
def all_in_one(request: Request) -> Response:
    data = b"".join(media().read(f"hls/segment{n}.ts") for n in range(6))
    return typed(data, kind_of("ts"), ranges=True)


@router.page("/streams/fmp4-<name>.m3u8")
def fragmented(request: Request, name: str) -> Response:
    """Fragmented MP4 with its initialisation apart."""
    count = len(boxes(_file(name)))
    return _playlist(
        f'#EXT-X-MAP:URI="/streams/{name}-0.m4s"',
        *_listed([f"/streams/{name}-{n}.m4s" for n in range(1, count)]),
    )


@router.page("/streams/<name>.m4s")
def fragment(request: Request, name: str) -> Response:
    stream, _, number = name.partition("-")
    return typed(boxes(_file(stream))[int(number)], kind_of("mp4"))


def _file(stream: str) -> str:
    return {"video": "video.mp4", "audio": "audio.m4a"}[stream]


@router.page("/streams/master.m3u8")
def master(request: Request) -> Response:
    """Two pictures of one video, its sound apart, subtitles in two languages."""
    lines = [
        "#EXTM3U",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="ja",LANGUAGE="ja",DEFAULT=YES,URI="/streams/fmp4-audio.m3u8"',
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="ja",LANGUAGE="ja",URI="/streams/sub-ja.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=90000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=64x36,AUDIO="a",SUBTITLES="s"',
        "/streams/none.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=600000,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,AUDIO="a",SUBTITLES="s"',
        "/streams/fmp4-video.m3u8",
    ]
    return typed("\n".join([*lines, ""]).encode(), kind_of("m3u8"))


@router.page("/streams/sub-<language>.m3u8")
def subtitle_playlist(request: Request, language: str) -> Response:
    return _playlist(*_listed([f"/streams/sub-{language}.vtt"]))


@router.page("/streams/sub-<language>.vtt")
def subtitle(request: Request, language: str) -> Response:
    return typed(VTT.format(language).encode(), "text/vtt")


@router.page("/streams/discontinuity.m3u8")
def discontinuity(request: Request) -> Response:
    """Another recording begins in the middle."""
    urls = _segments()
    return _playlist(*_listed(urls[:3]), "#EXT-X-DISCONTINUITY", *_listed(urls[3:]))


@router.page("/streams/live.m3u8")
def live(request: Request) -> Response:
    """Goes on for ever."""
    return _playlist(*_listed(_segments()[:2]), end=False)


@router.page("/streams/trouble.m3u8")
def trouble(request: Request) -> Response:
    """The second segment fails once, the fourth is cut once; `run` tells one client's turn from another's."""
    run = request.query["run"][0]
    urls = _segments()
    return _playlist(
        *_listed([urls[0], f"/streams/fails.ts?run={run}", urls[2], f"/streams/cut.ts?run={run}", *urls[4:]])
    )


@router.page("/streams/fails.ts")
def fails_once(request: Request) -> Response:
    return media_file("hls/segment1.ts") if _times(request) else html("<h1>500</h1>", status=500)


@router.page("/streams/cut.ts")
def cut_once(request: Request) -> Response:
    name = "hls/segment3.ts"
    return media_file(name, cut_at=None if _times(request) else len(media().read(name)) // 2)


@router.page("/streams/resumed.mp4")
def resumed(request: Request) -> Response:
    """Cut in the middle, once for each `run`, when it is downloaded (its first bytes are looked at before)."""
    size = len(media().read("two.mp4"))
    return media_file("two.mp4", cut_at=size // 2 if _times(request) == 1 else None)


@router.page("/streams/moved.mp4")
def moved(request: Request) -> Response:
    """Leads on, twice."""
    return redirect("/direct.mp4" if "again" in request.query else "/streams/moved.mp4?again=1")


@router.page("/streams/<kind>.mpd")
def dash(request: Request, kind: str) -> Response:
    """DASH (ISO/IEC 23009-1) with the segments told of in each of its ways."""
    tell = {"template": _template, "list": _list, "base": _base, "dynamic": _template}[kind]
    sets = "".join(
        f'<AdaptationSet mimeType="{mime}" codecs="{codecs}"><Representation id="{name}" bandwidth="{rate}">'
        f"{tell(name)}</Representation></AdaptationSet>"
        for name, mime, codecs, rate in (
            ("video", "video/mp4", "avc1.42c01e", 600000),
            ("audio", "audio/mp4", "mp4a.40.2", 96000),
        )
    )
    times = (
        'type="static" mediaPresentationDuration="PT4S"'
        if kind != "dynamic"
        else 'type="dynamic" availabilityStartTime="2026-01-01T00:00:00Z" minimumUpdatePeriod="PT2S"'
    )
    text = (
        f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" {times}'
        f' profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period duration="PT4S">{sets}</Period></MPD>'
    )
    return typed(text.encode(), kind_of("mpd"))


def _template(name: str) -> str:
    last = len(boxes(_file(name))) - 2
    return (
        f'<SegmentTemplate timescale="1" initialization="/streams/{name}-0.m4s" startNumber="1"'
        f' media="/streams/{name}-$Number$.m4s"><SegmentTimeline><S t="0" d="1" r="{last}"/></SegmentTimeline>'
        f"</SegmentTemplate>"
    )


def _list(name: str) -> str:
    urls = "".join(
        f'<SegmentURL media="/streams/{name}-{n}.m4s"/>' for n in range(1, len(boxes(_file(name))))
    )
    return (
        f'<SegmentList timescale="1" duration="1"><Initialization sourceURL="/streams/{name}-0.m4s"/>'
        f"{urls}</SegmentList>"
    )


def _base(name: str) -> str:
    return (
        f"<BaseURL>/media/{_file(name)}</BaseURL><SegmentBase indexRange='0-99'>"
        "<Initialization range='0-99'/></SegmentBase>"
    )


@router.page("/streams/post")
def post(request: Request) -> Response:
    """A video with a still picture and subtitles in two languages, one of which is not there."""
    return html(
        "<html><head><title>字幕つき</title></head><body><video src='/direct.mp4' poster='/img/two.jpg'>"
        "<track kind='subtitles' srclang='ja' src='/streams/sub-ja.vtt'>"
        "<track kind='subtitles' srclang='en' src='/streams/sub-en.vtt'></video></body></html>"
    )


@router.page("/streams/page")
def page(request: Request) -> Response:
    """Several videos on one page: `forms` are paths, `run` goes on to each."""
    run, forms = request.query["run"][0], request.query["forms"][0].split(",")
    videos = "".join(f"<video src='{path}?run={run}'></video>" for path in forms)
    return html(f"<html><head><title>いろいろ</title></head><body>{videos}</body></html>")


@router.page("/streams/challenge")
def challenge(request: Request) -> Response:
    """What a content network answers when it takes a client for a robot."""
    response = html("<title>Just a moment...</title>", status=403)
    response.headers += [("cf-mitigated", "challenge"), ("Server", "cloudflare")]
    return response


@router.page("/streams/slow<number>.ts")
def slow(request: Request, number: str) -> Response:
    """The later a segment, the sooner it comes: with several at a time they arrive the wrong way round."""
    return media_file(f"hls/segment{number}.ts", delay=0.3 - 0.05 * int(number))


@router.page("/streams/slow.m3u8")
def slow_playlist(request: Request) -> Response:
    return _playlist(*_listed([f"/streams/slow{n}.ts" for n in range(6)]))
