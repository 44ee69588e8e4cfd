"""Streams in every form, by each of yt-dlp's handlers, against the log of the server that served them."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from pipelines.record import ytdlp
from pipelines.record.rebuild import rebuild_media
from tests.pipelines.record.videos import Recorded, Recorder, assert_same_as_served
from tests.site import Site
from tests.site.clips import Media
from tests.site.streams import boxes

RUN = count()
BY_URLLIB = (
    "from yt_dlp.networking import _requests, common; "
    "common.register_preference(_requests.RequestsRH)(lambda *_: -1000); "
)


@pytest.fixture
def by(record: Recorder, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A recorder through one of yt-dlp's handlers: `by("urllib")`."""

    def through(handler: str) -> Any:
        if handler == "urllib":
            real = ytdlp.python_argv

            def argv(module: str) -> list[str]:
                command = real(module)
                if "-m" in command:
                    code = f"import runpy; runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
                    return [*command[: command.index("-m")], "-c", BY_URLLIB + code]
                command[command.index("-c") + 1] = command[command.index("-c") + 1].replace(
                    "runpy.run_module", BY_URLLIB + "runpy.run_module"
                )
                return command

            monkeypatch.setattr(ytdlp, "python_argv", argv)
        return lambda url, **settings: record(url, client_emulation=handler == "curl_cffi", **settings)

    return through


def segments(media: Media) -> bytes:
    return b"".join(media.read(f"hls/segment{n}.ts") for n in range(6))


def expected(path: str, media: Media) -> list[bytes]:
    """The files that must come of a path."""
    dash = [b"".join(boxes("video.mp4")), b"".join(boxes("audio.m4a"))]
    return {
        "/post/1": [media.read("one.mp4")],
        "/streams/moved.mp4": [media.read("two.mp4")],
        "/streams/resumed.mp4": [media.read("two.mp4")],
        "/streams/template.mpd": dash,
        "/streams/list.mpd": dash,
        "/streams/base.mpd": dash,
        "/streams/master.m3u8": dash,
        "/streams/fmp4-video.m3u8": dash[:1],
    }.get(path, [segments(media)])


def assert_whole(got: Recorded, forms: tuple[str, ...], media: Media) -> None:
    """100%: every exchange as served, and the files as they were made."""
    assert got.codes() == [], got.why()
    assert_same_as_served(got, at_once=True)
    assert [file.path.read_bytes() for file in got.video.files] == [
        data for path in forms for data in expected(path, media)
    ]
    for number, file in enumerate(got.video.files):
        again = got.sink.path.with_name(f"again-{number}")
        rebuild_media(got.sink.path, file.records, again)
        assert again.read_bytes() == file.path.read_bytes()


FORMS = [
    "/post/1",
    "/streams/moved.mp4",
    "/streams/resumed.mp4",
    "/streams/plain.m3u8",
    "/streams/aes.m3u8",
    "/streams/ranges.m3u8",
    "/streams/master.m3u8",
    "/streams/discontinuity.m3u8",
    "/streams/slow.m3u8",
    "/streams/trouble.m3u8",
    "/streams/template.mpd",
    "/streams/list.mpd",
    "/streams/base.mpd",
]


PAGES = [
    ("/streams/resumed.mp4", "/streams/moved.mp4", "/streams/aes.m3u8", "/streams/template.mpd"),
    ("/streams/trouble.m3u8", "/streams/ranges.m3u8", "/streams/master.m3u8", "/streams/slow.m3u8"),
]
"""All that is hard, four to a page: more videos of one page are not taken."""


def page(site: Site, forms: tuple[str, ...]) -> str:
    return site.url(f"/streams/page?forms={','.join(forms)}&run={next(RUN)}")


@pytest.mark.parametrize("forms", PAGES)
def test_every_exchange_of_every_form_is_recorded_and_every_file_whole(
    by: Any, site: Site, media: Media, forms: tuple[str, ...]
) -> None:
    assert_whole(by("requests")(page(site, forms)), forms, media)


@pytest.mark.slow
@pytest.mark.parametrize("run", range(10))
@pytest.mark.parametrize("handler", ["requests", "urllib", "curl_cffi"])
@pytest.mark.parametrize("forms", PAGES)
def test_in_ten_runs_of_ten_by_each_handler(
    by: Any, site: Site, media: Media, forms: tuple[str, ...], handler: str, run: int
) -> None:
    got = by(handler)(page(site, forms))
    assert_whole(got, forms, media)
    asked = got.records("request")[0][1]
    assert (b"\r\nConnection: close\r\n" in asked) == (handler == "urllib")
    assert (b"\r\nsec-ch-ua:" in asked) == (handler == "curl_cffi")


@pytest.mark.slow
@pytest.mark.parametrize("handler", ["requests", "urllib", "curl_cffi"])
@pytest.mark.parametrize("path", FORMS)
def test_each_form_by_each_handler(by: Any, site: Site, media: Media, path: str, handler: str) -> None:
    assert_whole(by(handler)(site.url(f"{path}?run={next(RUN)}")), (path,), media)
