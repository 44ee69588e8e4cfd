"""Every exchange of a recorded video against the log of the server that served it."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import signal
import ssl
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from evidence.warc_check import read_warc
from pipelines.children import make_workdir
from pipelines.guard import Resolver, Tunnel
from pipelines.record.rebuild import rebuild_media
from pipelines.record.sink import WarcSink
from pipelines.record.ytdlp import VideoRecord, record_video
from storage.settings import Settings
from tests.site import Site, names
from tests.site.authority import Authority, server_context
from tests.site.clips import Media
from tests.site.messages import Request, Response
from tests.site.router import Router
from tests.site.served_log import ServedExchange, ServedLog
from tests.site.server import Server

Progress = Callable[[str, int, int], None]


@dataclass
class Recorded:
    """What one recording gave, and what the server logged meanwhile."""

    video: VideoRecord
    sink: WarcSink
    served: list[ServedExchange]

    def codes(self) -> list[str]:
        return [reason.code for reason in self.video.reasons]

    def why(self) -> str:
        """For a test that fails: what the recording itself says went wrong."""
        facts = [
            json.loads(b) for h, b in self.records("metadata") if h["Content-Type"] == "application/json"
        ]
        said = [
            block.decode() for h, block in self.records("resource") if h["WARC-Target-URI"].endswith(".log")
        ]
        return "\n".join(
            [str(self.video.reasons), *(f"{f['url']}: {f['error'] or f['body']}" for f in facts), *said]
        )

    def records(self, kind: str) -> list[tuple[dict[str, str], bytes]]:
        with self.sink.path.open("rb") as stream:
            return [
                (dict(record.rec_headers.headers), record.raw_stream.read())
                for record in ArchiveIterator(stream, no_record_parse=True)
                if record.rec_type == kind
            ]


@dataclass
class Recorder:
    folder: Path
    log: ServedLog
    task: asyncio.Task[Any] | None = None

    def __call__(
        self,
        url: str,
        *,
        hints: tuple[str, ...] = (),
        on_progress: Progress = lambda *_: None,
        cancel: bool = False,
        allow_private: bool = True,
        **settings: Any,
    ) -> Recorded:
        sink = WarcSink(
            self.folder / "a.warc.gz", spool=self.folder, capture_id="01KAR", warcinfo={"software": "akashi"}
        )
        mark = self.log.mark()
        chosen = replace(Settings.load(), **{"timeout": 60.0, **settings})
        video, resolver = VideoRecord(), Resolver(allow_private=allow_private)

        async def record() -> None:
            nonlocal video
            self.task = asyncio.current_task()
            async with Tunnel(resolver, log=self.folder / "connections.jsonl") as tunnel:
                video = await record_video(
                    url,
                    sink=sink,
                    workdir=self.folder / "work",
                    tunnel=tunnel,
                    settings=chosen,
                    page_hints=hints,
                    on_progress=on_progress,
                )

        try:
            asyncio.run(record())
        except asyncio.CancelledError:
            assert cancel
        finally:
            sink.close()
        assert_accepted(sink.path)
        return Recorded(video, sink, self.log.since(mark))


def assert_accepted(path: Path) -> None:
    assert Checker(Namespace(inputs=[str(path)], verbose=False)).process_all() == 0
    with path.open("rb") as stream:
        assert list(read_warc(stream))
    with path.open("rb") as stream:
        assert all(
            record.verify_block_digest(consume=True) for record in FastIterator(stream, parse_http=False)
        )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the children's user can walk to; pytest closes its own at every start of a session."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="akashi-video-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def record(folder: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AKASHI_HOME", str(folder / "home"))
    return Recorder(folder, site.log)


def assert_same_as_served(got: Recorded) -> None:
    """Every exchange of the log is in the WARC, in order, byte for byte, with the connection's facts."""
    requests = got.records("request")
    responses = {h["WARC-Record-ID"]: (h, block) for h, block in got.records("response")}
    facts = [json.loads(b) for h, b in got.records("metadata") if h["Content-Type"] == "application/json"]
    assert len(requests) == len(got.served) == len(facts) > 0
    for served, (asked, request), fact in zip(got.served, requests, facts, strict=True):
        assert asked["WARC-Target-URI"] == served.url
        assert request == served.request_head + served.request_body
        assert asked["WARC-IP-Address"] == "127.0.0.1"
        assert (fact["tls"], fact["cipher"]) == (served.tls.replace("TLSv", "tls/"), served.cipher)
        assert (fact["port"], fact["dns"]) == (served.port, ["127.0.0.1"])
        if "WARC-Concurrent-To" not in asked:  # the connection was reset before anything could be read
            assert fact["error"]
            assert not served.completed
            continue
        answered, response = responses.pop(asked["WARC-Concurrent-To"])
        assert answered["WARC-Target-URI"] == served.url
        assert answered["WARC-IP-Address"] == "127.0.0.1"
        if served.completed and "WARC-Truncated" not in answered:
            assert response == served.response_head + served.body_bytes()
        else:
            assert answered["WARC-Truncated"]
            assert (served.response_head + served.body_bytes()).startswith(response)
    assert not responses


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
    assert_same_as_served(got)
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


def test_no_plug_in_of_the_children_s_home_is_loaded(record: Recorder, site: Site) -> None:
    home = make_workdir(record.folder / "work")
    plugin = home / "yt-dlp" / "plugins" / "evil" / "yt_dlp_plugins" / "extractor"
    plugin.mkdir(parents=True)
    (plugin / "evil.py").write_text("raise SystemExit('loaded')\n")
    assert record(site.url("/direct.mp4")).video.reasons == []
