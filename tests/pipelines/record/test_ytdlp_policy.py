"""What yt-dlp may not do: each way by which it could fetch beside the taps, solve a challenge, or make an id up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.children import make_workdir
from pipelines.record.ytdlp_policy import recordable
from tests.pipelines.record.videos import Recorder, assert_same_as_served
from tests.site import Site
from tests.site.clips import Media
from tests.site.streams import VTT

GUARDED = """
import json, os, socket, subprocess, sys, threading
import yt_dlp
from yt_dlp.downloader.external import Aria2cFD, CurlFD, FFmpegFD
from yt_dlp.downloader.fc2 import FC2LiveFD
from yt_dlp.downloader.rtmp import RtmpFD
from yt_dlp.downloader.websocket import WebSocketFragmentFD
from yt_dlp.extractor.openload import PhantomJSwrapper
from pipelines.record.ytdlp_policy import refuse_the_rest
open_port = socket.create_server(("127.0.0.1", 0))
ydl = yt_dlp.YoutubeDL({"quiet": True, "logger": type("L", (), dict.fromkeys(("debug", "warning", "error"), lambda *_: 0))()})
refuse_the_rest("socks5h://127.0.0.1:9", "/usr/bin/allowed")
info = {"url": "https://a.test/v", "protocol": "x", "ext": "mp4", "http_headers": {}, "id": "v", "title": "v"}
def real(downloader, url="https://a.test/v"):
    return downloader(ydl, ydl.params).real_download("/tmp/none", {**info, "url": url})
def send():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53))
ways = {
    "a socket": lambda: socket.create_connection(open_port.getsockname()),
    "a datagram": send,
    "a name": lambda: socket.getaddrinfo("a.test", 443),
    "an unrecorded yt-dlp": lambda: ydl.urlopen(f"http://127.0.0.1:{open_port.getsockname()[1]}/"),
    "ffmpeg": lambda: real(FFmpegFD),
    "aria2c": lambda: real(Aria2cFD),
    "curl": lambda: real(CurlFD),
    "rtmpdump": lambda: real(RtmpFD, "rtmp://a.test/v"),
    "PhantomJS": lambda: PhantomJSwrapper(ydl.get_info_extractor("Generic")),
    "a program": lambda: subprocess.run(["true"]),
    "a spawned one": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "a shell": lambda: os.system("true"),
}
said = {}
for name, way in ways.items():
    try:
        way()
        said[name] = "went"
    except BaseException as error:
        chain = [error]
        while chain[-1].__cause__ or chain[-1].__context__:
            chain.append(chain[-1].__cause__ or chain[-1].__context__)
        said[name] = [type(one).__name__ for one in chain]
print(json.dumps(said))
"""


def python(code: str) -> Any:
    """What a Python of its own says, for what it may do can never be undone."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_but_the_tunnel_and_the_one_program_can_be_reached() -> None:
    said = python(GUARDED)
    beside = {name: errors for name, errors in said.items() if "NotRecordedError" not in errors}
    # For want of their programs these end before they would start one.
    assert set(beside) <= {"aria2c", "curl", "rtmpdump", "PhantomJS", "ffmpeg"}, said
    assert "went" not in said.values()


@pytest.mark.parametrize("protocol", ["https", "m3u8_native", "http_dash_segments", "ism", "f4m"])
def test_what_yt_dlp_fetches_through_its_handlers_is_recordable(protocol: str) -> None:
    assert recordable({"url": "https://a.test/v", "protocol": protocol})


@pytest.mark.parametrize(
    "facts",
    [
        {"protocol": "rtmp"},
        {"protocol": "rtmp_ffmpeg"},
        {"protocol": "mhtml"},
        {"protocol": "niconico_live"},
        {"protocol": "fc2_live"},
        {"protocol": "websocket_frag"},
        {"protocol": "youtube_live_chat"},
        {"protocol": "m3u8_native", "is_live": True},
        {"protocol": "http_dash_segments", "is_live": True},
        {"protocol": "https", "section_start": 1},
        {"protocol": "https+rtmp"},
    ],
)
def test_what_another_program_or_a_websocket_would_fetch_is_not(facts: dict[str, Any]) -> None:
    assert not recordable({"url": "https://a.test/v", **facts})


INVENTED = """
import json, random, uuid, yt_dlp
from yt_dlp.extractor.tiktok import TikTokIE
from yt_dlp.extractor import bilibili
from pipelines.record.ytdlp_policy import invent_nothing
invent_nothing()
in_an_extractor = {"__name__": "yt_dlp.extractor.some"}
exec("import uuid, random\\nmade = [str(uuid.uuid4()), random.randint(3, 9), random.choices('ab', k=3)]", in_an_extractor)
print(json.dumps({
    "tiktok": TikTokIE(yt_dlp.YoutubeDL({"quiet": True}))._DEVICE_ID,
    "headers": TikTokIE._generate_blockbuster_headers(),
    "made": in_an_extractor["made"],
    "ours": str(uuid.uuid4()),
    "drawn": [random.randint(0, 1 << 60), random.choice(range(1 << 60))],
}))
"""


def test_without_emulation_no_extractor_makes_an_id_up() -> None:
    first, second = python(INVENTED), python(INVENTED)
    for said in (first, second):
        assert said["tiktok"] == "7250000000000000000"
        assert said["headers"] == {}
        assert said["made"] == ["00000000-0000-0000-0000-000000000000", 3, ["a", "a", "a"]]
    assert first["ours"] != second["ours"]
    assert first["drawn"] != second["drawn"]


SOLVED = """
import json
from pipelines.record.recording import Recorder
from pipelines.record.ytdlp_taps import RecordingYoutubeDL
ydl = RecordingYoutubeDL({"quiet": True}, Recorder(None, print), lambda port: None, emulation=%s)
try:
    ydl.get_info_extractor("TikTok")._solve_challenge_and_set_cookies("<p id=cs class=x>")
except Exception as error:
    print(json.dumps(type(error).__name__))
"""


@pytest.mark.parametrize("emulation", [False, True])
def test_no_bot_challenge_is_solved_with_emulation_or_without(emulation: bool) -> None:
    assert python(SOLVED % emulation) == "ChallengeError"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/streams/challenge", "video-challenge"),
        ("/streams/live.m3u8", "video-live"),
        pytest.param("/streams/dynamic.mpd", "video-live", marks=pytest.mark.slow),
    ],
)
def test_what_is_not_taken_is_named(record: Recorder, site: Site, path: str, code: str) -> None:
    got = record(site.url(path))
    assert got.codes() == [code], got.why()
    assert got.video.files == []
    assert_same_as_served(got, at_once=True)


@pytest.mark.slow
def test_no_configuration_login_or_cookie_of_the_children_s_home_is_used(
    record: Recorder, site: Site
) -> None:
    home = make_workdir(record.folder / "work")
    for name in ("yt-dlp.conf", "yt-dlp/config", ".yt-dlp/config", ".config/yt-dlp/config"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("--proxy http://127.0.0.1:1\n--output /nowhere\n--netrc\n")
    (home / ".netrc").write_text("machine videos.example.test login a password b\n")
    (home / ".netrc").chmod(0o644)
    got = record(site.url("/direct.mp4"))
    assert got.codes() == [], got.why()
    assert all(b"\r\nAuthorization:" not in request for _, request in got.records("request"))
    assert all(b"\r\nCookie:" not in request for _, request in got.records("request"))


def test_subtitles_and_the_thumbnail_are_recorded_and_listed(
    record: Recorder, site: Site, media: Media
) -> None:
    got = record(site.url("/streams/post"))
    assert got.codes() == [], got.why()
    assert_same_as_served(got, at_once=True)
    assert [file.path.read_bytes() for file in got.video.files] == [media.read("two.mp4")]
    bodies = {h["WARC-Record-ID"]: block.partition(b"\r\n\r\n")[2] for h, block in got.records("response")}
    listed = {
        extra["how"]: (extra["role"], extra["type"], bodies[extra["record"]]) for extra in got.video.extras
    }
    assert listed == {
        "thumbnail": ("thumbnail", "image/jpeg", media.read("two.jpg")),
        "subtitles ja": ("subtitles", "text/vtt", VTT.format("ja").encode()),
        "subtitles en": ("subtitles", "text/vtt", VTT.format("en").encode()),
    }
