"""Every exchange of a recorded video against the log of the server that served it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import ssl
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipelines.children import make_workdir
from pipelines.record.rebuild import rebuild_media
from tests.pipelines.record.videos import Recorder, assert_same_as_served
from tests.site import Site, names
from tests.site.authority import Authority, server_context
from tests.site.clips import Media
from tests.site.messages import Request, Response
from tests.site.router import Router
from tests.site.served_log import ServedLog
from tests.site.server import Server


def test_an_mp4_is_one_original_and_every_byte_of_its_exchanges_is_kept(
    record: Recorder, site: Site, media: Media
) -> None:
    said: list[tuple[str, int, int]] = []
    got = record(site.url("/post/1"), on_progress=lambda *facts: said.append(facts))
    assert_same_as_served(got)
    assert len(got.video.files) == 1, got.why()
    (file,) = got.video.files
    clip = media.read("one.mp4")
    assert (file.role, file.type, file.size) == ("original", "video/mp4", len(clip))
    assert file.path.read_bytes() == clip
    assert file.sha256 == hashlib.sha256(clip).hexdigest()
    assert got.video.reasons == [], got.why()
    assert got.video.missing == []
    assert got.video.ytdlp["version"] == "2026.10.26"
    assert "星ねこ" in got.video.info["title"]
    assert said[-1][1:] == (len(clip), len(clip))
    rebuild_media(got.sink.path, file.records, record.folder / "again.mp4")
    assert (record.folder / "again.mp4").read_bytes() == clip


def test_certificates_are_kept_as_sent(record: Recorder, site: Site) -> None:
    got = record(site.url("/direct.mp4"))
    ((_, pem),) = [
        m for m in got.records("metadata") if m[0]["Content-Type"] == "application/pem-certificate-chain"
    ]
    end = "-----END CERTIFICATE-----\n"
    assert tuple(ssl.PEM_cert_to_DER_cert(p + end) for p in pem.decode().split(end)[:-1]) == tuple(site.chain)


def test_what_ytdlp_understood_was_told_and_said_is_in_the_warc(record: Recorder, site: Site) -> None:
    got = record(site.url("/direct.mp4"))
    assert got.video.reasons == [], got.why()
    kept = {h["WARC-Target-URI"].rpartition(":")[2]: block for h, block in got.records("resource")}
    assert set(kept) == {"info.json", "yt-dlp-options.json", "yt-dlp.log"}
    assert json.loads(kept["info.json"])["webpage_url"] == site.url("/direct.mp4")
    assert json.loads(kept["yt-dlp-options.json"])["fixup"] == "never"
    assert b"[generic]" in kept["yt-dlp.log"]


def test_hls_is_assembled_from_its_segments_in_order(record: Recorder, site: Site, media: Media) -> None:
    got = record(site.url("/post/hls"))
    assert_same_as_served(got, at_once=True)
    assert len(got.video.files) == 1, got.why()
    (file,) = got.video.files
    assert (file.role, file.type) == ("assembled", "video/mp2t")
    by_id = {h["WARC-Record-ID"]: h["WARC-Target-URI"] for h, _ in got.records("response")}
    assert [by_id[one].partition("/media/")[2] for one in file.records] == [
        f"hls/segment{n}.ts" for n in range(6)
    ]
    assert file.path.read_bytes() == b"".join(media.read(f"hls/segment{n}.ts") for n in range(6))


def test_picture_and_sound_stay_apart(record: Recorder, site: Site, media: Media) -> None:
    got = record(site.url("/media/manifest.mpd"))
    assert_same_as_served(got)
    assert [file.path.read_bytes() for file in got.video.files] == [
        media.read("video.mp4"),
        media.read("audio.m4a"),
    ]
    assert {file.role for file in got.video.files} == {"original"}


def test_a_hint_leads_to_the_video_where_the_page_does_not(record: Recorder, site: Site) -> None:
    got = record(site.url("/post/novideo"), hints=("javascript:void(0)", site.url("/direct.mp4")))
    assert_same_as_served(got)
    assert len(got.video.files) == 1
    assert got.video.reasons == [], got.why()


@pytest.mark.parametrize(
    ("path", "code", "settings"),
    [
        ("/post/novideo", "no-video", {}),
        ("/post/videorefused", "video-refused", {}),
        ("/post/videocut", "video-cut", {}),
        ("/post/big?mb=50", "video-too-large", {"max_bytes": 1_000_000}),
    ],
)
def test_why_there_is_no_video_is_named_and_what_came_is_kept(
    record: Recorder, site: Site, path: str, code: str, settings: dict[str, Any]
) -> None:
    got = record(site.url(path), **settings)
    assert got.codes() == [code], got.why()
    assert got.video.files == []
    assert_same_as_served(got)
    assert got.sink.path.stat().st_size < 2_000_000


def test_a_host_that_is_not_there_is_listed_as_missing(record: Recorder, site: Site) -> None:
    got = record(site.closed_url)
    assert got.codes() == ["video-failed"]
    assert [missing.url for missing in got.video.missing] == [site.closed_url.removesuffix("/post/1")]


def test_a_certificate_that_does_not_verify_ends_it(record: Recorder, site: Site) -> None:
    got = record(site.url("/direct.mp4", names.SELF_SIGNED))
    assert got.codes() == ["video-failed"]
    assert "CERTIFICATE_VERIFY_FAILED" in got.video.reasons[0].detail
    assert got.records("response") == []


def test_an_address_that_is_not_public_is_refused(record: Recorder, site: Site) -> None:
    got = record(site.url("/direct.mp4"), allow_private=False)
    assert got.codes() == ["resource-refused"]
    assert got.served == []


def children() -> list[int]:
    """The main thread's children that are the video child."""
    pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in pids if b"ytdlp_child" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_after_kill_9_the_half_received_body_is_filed_as_cut(record: Recorder, site: Site) -> None:
    def kill(_what: str, done: int, _total: int) -> None:
        if done > 4_000_000:
            for pid in children():
                os.kill(pid, signal.SIGKILL)

    got = record(site.url("/post/big?mb=900"), on_progress=kill)
    assert got.codes() == ["video-cut", "video-failed"]
    (headers, block) = got.records("response")[-1]
    assert headers["WARC-Truncated"] == "disconnect"
    assert headers["WARC-Target-URI"] == got.served[-1].url
    served = got.served[-1]
    assert len(block) > 4_000_000
    assert block.startswith(served.response_head)
    source = served.source
    assert source is not None
    assert block[len(served.response_head) :] == b"".join(
        source.read(0, len(block) - len(served.response_head))
    )
    assert got.records("request")[-1][1] == served.request_head


def test_ctrl_c_keeps_what_came_and_leaves_a_whole_warc(record: Recorder, site: Site) -> None:
    def cancel(_what: str, done: int, _total: int) -> None:
        if done > 2_000_000 and record.task is not None:
            record.task.cancel()

    got = record(site.url("/post/big?mb=900"), on_progress=cancel, cancel=True)
    assert children() == []
    headers, block = got.records("response")[-1]
    assert headers["WARC-Truncated"]
    assert len(block) > 2_000_000


def test_over_its_time_the_video_is_cut(record: Recorder, site: Site) -> None:
    got = record(site.url("/post/slow?delay=4"), timeout=2.0)
    assert "video-cut" in got.codes()
    assert children() == []


@pytest.fixture
def odd(folder: Path, monkeypatch: pytest.MonkeyPatch, media: Media) -> Iterator[tuple[Recorder, str]]:
    """A server with the ways of serving a video that the site has not, and a recorder for it."""
    router, clip, calls = Router(), media.read("two.mp4"), count()

    @router.page("/once.mp4")
    def cut_once(request: Request) -> Response:
        cut = len(clip) // 2 if next(calls) == 1 else None  # the first is yt-dlp's look at what it is
        return Response(clip, 200, [("Content-Type", "video/mp4")], ranges=True, cut_at=cut)

    @router.page("/again.mp4")
    def no_ranges(request: Request) -> Response:
        cut = len(clip) // 2 if next(calls) == 1 else None
        return Response(clip, 200, [("Content-Type", "video/mp4")], cut_at=cut)

    @router.page("/chunked.mp4")
    def chunked(request: Request) -> Response:
        return Response(iter([clip[:70_000], clip[70_000:]]), 200, [("Content-Type", "video/mp4")])

    @router.page("/page")
    def page(request: Request) -> Response:
        packed = gzip.compress(b'<html><title>x</title><video src="/moved.mp4"></video></html>')
        return Response(
            iter([packed[:9], packed[9:]]), 200, [("Content-Type", "text/html"), ("Content-Encoding", "gzip")]
        )

    @router.page("/moved.mp4")
    def moved(request: Request) -> Response:
        return Response(
            b"gone there",
            302,
            [("Location", "/chunked.mp4?from=moved"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
        )

    @router.page("/plain.mp4")
    def bare(request: Request) -> Response:
        return Response(clip, 200, [("Content-Type", "video/mp4"), ("Connection", "close")])

    authority = Authority()
    log = ServedLog()
    server = Server(router.answer, log, server_context(authority, authority.leaf(names.VIDEOS)))
    server.start()
    ca = folder / "ca.pem"
    ca.write_bytes(authority.root_pem())
    monkeypatch.setenv("AKASHI_EXTRA_CA", str(ca))
    monkeypatch.setenv("AKASHI_HOSTS", f"{names.VIDEOS}=127.0.0.1")
    monkeypatch.setenv("AKASHI_HOME", str(folder / "home"))
    yield Recorder(folder, log), f"https://{names.VIDEOS}:{server.port}"
    server.stop()


@pytest.mark.parametrize(
    ("path", "answers"), [("/once.mp4", 2), ("/again.mp4", 1), ("/chunked.mp4", 1), ("/plain.mp4", 1)]
)
def test_however_it_is_served_the_file_is_an_original(
    odd: tuple[Recorder, str], media: Media, path: str, answers: int
) -> None:
    record, origin = odd
    got = record(origin + path)
    assert_same_as_served(got)
    assert len(got.video.files) == 1, got.why()
    (file,) = got.video.files
    clip = media.read("two.mp4")
    assert file.path.read_bytes() == clip
    assert (file.sha256, file.size) == (hashlib.sha256(clip).hexdigest(), len(clip))
    assert (file.role, len(file.records)) == ("original", answers)
    assert got.video.reasons == [], got.why()
    assert list((record.folder / "work" / "spool").iterdir()) == []
    rebuild_media(got.sink.path, file.records, record.folder / "again.mp4")
    assert (record.folder / "again.mp4").read_bytes() == clip


def test_a_coded_chunked_page_and_a_redirect_are_kept_as_sent(odd: tuple[Recorder, str]) -> None:
    record, origin = odd
    got = record(origin + "/page")
    assert_same_as_served(got)
    assert [served.status for served in got.served].count(302) == 1
    assert got.video.files[0].role == "original"


def test_no_plug_in_of_the_children_s_home_is_loaded(
    record: Recorder, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_workdir(record.folder / "work")
    monkeypatch.setattr("pipelines.record.ytdlp.shutil.rmtree", lambda *_, **__: None)  # as if laid just now
    plugin = home / "yt-dlp" / "plugins" / "evil" / "yt_dlp_plugins" / "extractor"
    plugin.mkdir(parents=True)
    (plugin / "evil.py").write_text("raise SystemExit('loaded')\n")
    assert record(site.url("/direct.mp4")).video.reasons == []
