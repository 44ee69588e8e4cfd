"""Whatever a page or a server does too much of is cut at a stated limit, and the recording ends (docs/limits.md)."""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evidence.warc_check import read_warc
from pipelines.guard import Resolver, Tunnel
from pipelines.record import limits
from pipelines.record.page import PageRecord
from pipelines.record.sink import WarcSink
from pipelines.record.ytdlp import record_video
from pipelines.record.ytdlp_inbox import VideoRecord
from storage.settings import Settings
from tests.pipelines.record.pages import a_folder, exchanges_of, page_of
from tests.site import Site, bounds
from tests.site.authority import Authority, server_context
from tests.site.names import VIDEOS as HOST
from tests.site.raw import RawServer

ROOT = Path(__file__).resolve().parents[3]
Gave = tuple[PageRecord, Path]


def drip(sock: socket.socket | ssl.SSLSocket, pieces: Iterator[bytes], every: float = 0.2) -> None:
    for piece in pieces:
        sock.sendall(piece)
        time.sleep(every)


def flood(sock: ssl.SSLSocket, start: bytes, piece: bytes) -> None:
    sock.sendall(start)
    while True:
        sock.sendall(piece)


ANSWERS: dict[str, Callable[[ssl.SSLSocket], None]] = {
    "/robots.txt": lambda s: s.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    "/head": lambda s: flood(s, b"HTTP/1.1 200 OK\r\nX-Big: ", b"x" * 65536),
    "/heads": lambda s: flood(s, b"HTTP/1.1 200 OK\r\n", b"X-Many: y\r\n" * 5000),
    "/cookies": lambda s: flood(s, b"HTTP/1.1 200 OK\r\n", b"Set-Cookie: a=%s\r\n" % (b"y" * 4000) * 10),
    "/interim": lambda s: flood(s, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "/hints": lambda s: flood(s, b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1000),
    "/drip-head": lambda s: drip(
        s, itertools.chain([b"HTTP/1.1 200 OK\r\nX-Slow: "], itertools.repeat(b"z"))
    ),
    "/nothing": lambda s: time.sleep(60),
}


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The origin of the server above."""
    authority = Authority()
    leaf = authority.leaf(HOST)
    root = tmp_path / "root.pem"
    root.write_bytes(authority.root_pem())
    monkeypatch.setenv("AKASHI_HOSTS", f"{HOST}=127.0.0.1")
    monkeypatch.setenv("AKASHI_EXTRA_CA", str(root))
    with RawServer(server_context(authority, leaf), ANSWERS) as server:
        yield f"https://{HOST}:{server.port}"


@pytest.fixture
def origin(site: Site, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    return site.url("")


def codes(record: PageRecord | VideoRecord) -> list[str]:
    failed = [record.failed.code] if isinstance(record, PageRecord) and record.failed else []
    return failed + [reason.code for reason in record.reasons]


def is_sound(warc: Path) -> None:
    with warc.open("rb") as stream:
        assert list(read_warc(stream))


def visit(url: str, folder: Path, **settings: object) -> PageRecord:
    began = time.monotonic()
    record = page_of(url, folder, **{"page_timeout": 8.0, **settings})
    assert time.monotonic() - began < 120
    is_sound(folder / "page.warc.gz")
    return record


def video_of(url: str, folder: Path, **settings: object) -> VideoRecord:
    async def record() -> VideoRecord:
        sink = WarcSink(folder / "page.warc.gz", spool=folder, capture_id="01TEST", warcinfo={"a": "b"})
        try:
            async with Tunnel(Resolver(allow_private=True), log=folder / "connections.jsonl") as tunnel:
                return await record_video(
                    url,
                    sink=sink,
                    workdir=folder / "work",
                    tunnel=tunnel,
                    settings=Settings(**{"timeout": 60.0, **settings}),
                )
        finally:
            sink.close()

    gave = asyncio.run(record())
    is_sound(folder / "page.warc.gz")
    return gave


PAGES = {
    # what the page does: settings, reasons of which one must be given
    "/bounds/bombs": ({}, {"", "page-unsettled"}),
    "/bounds/bomb/page?mb=3000": ({}, {"page-unsettled", "browser-failed", "screenshot-failed", "timeout"}),
    "/bounds/endless": ({"page_max_bytes": 1_000_000}, {"budget-spent"}),
    "/bounds/further": ({}, {"connection-failed"}),
    "/bounds/script/requests": ({"page_timeout": 45.0}, {"budget-spent"}),
    "/bounds/script/windows": ({}, {"budget-spent"}),
    "/bounds/script/alerts": ({}, {"page-unsettled", "screenshot-failed"}),
    "/bounds/script/dom": ({}, {"budget-spent"}),
    "/bounds/script/nodes": ({}, {"", "page-unsettled", "screenshot-failed"}),
    "/bounds/script/memory": ({}, {"", "browser-failed", "page-unsettled"}),
    "/bounds/script/spin": ({}, {"page-unsettled", "screenshot-failed"}),
    "/bounds/script/worker": ({}, {"", "page-unsettled"}),
    "/bounds/script/sse": ({"page_max_bytes": 2_000_000}, {"budget-spent"}),
    "/bounds/script/tall": ({}, {""}),
    "/bounds/script/download": ({}, {"", "page-unsettled", "empty-page"}),
    "/bounds/script/reload": ({}, {"page-unsettled"}),
}
FAST = ("/bounds/endless", "/bounds/script/windows")


@pytest.mark.parametrize(
    "path", [pytest.param(p, marks=() if p in FAST else pytest.mark.slow) for p in PAGES]
)
def test_a_page_that_takes_too_much_ends_with_its_reason(
    origin: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.record.page_visit.PAGE_REQUESTS", 1000)
    monkeypatch.setattr("pipelines.record.page_visit.PAGE_WINDOWS", 4)
    monkeypatch.setattr("pipelines.record.chromium.BROWSER_DATA", 1 << 30)
    settings, reasons = PAGES[path]
    with a_folder() as folder:
        record = visit(origin + path, folder, **settings)
        assert set(codes(record) or [""]) & reasons, codes(record)
        for request, response in exchanges_of(folder):
            if response is not None and not request.uri.endswith((path, ".bin")):
                assert len(response.body) < 40_000_000
        if path == "/bounds/endless":
            (document,) = [answer for _, answer in exchanges_of(folder) if answer]
            assert document.headers["WARC-Truncated"] in {"length", "disconnect"}
        if path == "/bounds/script/dom":
            assert len(record.title) == limits.TITLE_CHARACTERS
            assert (folder / "page.warc.gz").stat().st_size < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["/head", "/heads", "/cookies", "/interim", "/hints", "/drip-head", "/nothing"]
)
def test_a_server_that_never_comes_to_the_point_fails_the_page(raw: str, path: str) -> None:
    with a_folder() as folder:
        record = visit(raw + path, folder, page_max_bytes=20_000_000)
        assert record.failed is not None
        assert record.failed.code in {"connection-failed", "timeout"}
        (request,) = [request for request, _ in exchanges_of(folder) if request.uri == raw + path][:1]
        assert request.head.startswith(b"GET ")


VIDEOS = {
    "/bounds/bomb/page?mb=2600": ({}, {"video-too-large", "video-failed"}),
    "/bounds/bomb/list.m3u8?mb=2600": ({}, {"video-too-large", "video-failed", "no-video"}),
    "/bounds/endless.mp4": ({"max_bytes": 10_000_000}, {"video-too-large"}),
    "/bounds/drip.mp4": ({"timeout": 8.0}, {"video-cut"}),
    "/bounds/further": ({}, {"video-failed", "video-refused"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("path", VIDEOS)
def test_a_video_that_takes_too_much_ends_with_its_reason(origin: str, path: str) -> None:
    settings, reasons = VIDEOS[path]
    for text in (b"<p>star ", b"#EXTM3U\n") if "mb=" in path else ():
        bounds.packed("gzip", 2600, text)  # made before anybody waits for it
    with a_folder() as folder:
        record = video_of(origin + path, folder, **settings)
        assert set(codes(record)) & reasons, record.reasons
        if path.endswith(".mp4"):
            cut = [a for _, a in exchanges_of(folder) if a and a.headers.get("WARC-Truncated")]
            assert cut
            assert len(cut[-1].body) > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["/head", "/heads", "/cookies", "/interim", "/hints", "/drip-head", "/nothing"]
)
def test_a_server_that_never_comes_to_the_point_gives_no_video(raw: str, path: str) -> None:
    with a_folder() as folder:
        record = video_of(raw + path, folder, timeout=10.0)
        assert set(codes(record)) & {"video-failed", "video-cut", "video-refused"}, record.reasons
        assert [request for request, _ in exchanges_of(folder) if request.uri == raw + path]


@pytest.mark.slow
@pytest.mark.parametrize("client", ["page", "video"])
def test_a_handshake_that_drips_ends_with_the_time_allowed(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(16380)
    slow = RawServer(
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        {},
        lambda s: drip(s, (hello[n : n + 1] for n in range(16000))),
    )
    monkeypatch.setenv("AKASHI_HOSTS", f"{HOST}=127.0.0.1")
    with slow, a_folder() as folder:
        url = f"https://{HOST}:{slow.port}/"
        record = (
            page_of(url, folder, page_timeout=5.0) if client == "page" else video_of(url, folder, timeout=8.0)
        )
        assert set(codes(record)) & {"timeout", "tls-failed", "video-cut", "video-failed"}


def test_every_limit_is_stated_in_the_docs() -> None:
    stated = (ROOT / "docs" / "limits.md").read_text("utf-8")
    names = [name for name in vars(limits) if name.isupper()]
    assert names
    assert not [name for name in names if f"`{name}`" not in stated]
    assert set(re.findall(r"`([A-Z][A-Z_]+)`", stated)) == set(names)
