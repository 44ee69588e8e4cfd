"""The same URL asked for directly and through us: the server sees the same client (issue 3, Must show 2)."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import playwright
import pytest
from playwright.async_api import async_playwright

from pipelines.guard import Resolver, Tunnel
from pipelines.record.chromium import VIEWPORT, find_chromium
from storage.settings import Settings
from tests.pipelines.record.hello import HelloDoor
from tests.pipelines.record.pages import a_folder, page_of
from tests.site import Site, bare, names
from tests.site.authority import Authority
from tests.site.names import VIDEOS as HOST

ROOT = Path(__file__).resolve().parents[3]
NODE = Path(playwright.__file__).parent / "driver" / "node"
SCRIPT = Path(__file__).with_name("h2_heads.js")


@contextmanager
def an_h2_server(folder: Path) -> Iterator[tuple[int, list[dict[str, Any]], Path]]:
    """Its port, what it says it saw (filled at the end), and its root certificate."""
    authority = Authority()
    identity, root = folder / "identity.pem", folder / "root.pem"
    identity.write_bytes(authority.leaf(HOST).pem())
    root.write_bytes(authority.root_pem())
    root.chmod(0o644)
    seen: list[dict[str, Any]] = []
    with subprocess.Popen(
        [str(NODE), str(SCRIPT), str(identity)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout
        port = json.loads(server.stdout.readline())["port"]
        try:
            yield port, seen, root
        finally:
            server.terminate()
            seen += [json.loads(line) for line in server.stdout]


async def chromium_alone(url: str, folder: Path) -> None:
    """Plain Playwright and the same binary, no proxy."""
    async with async_playwright() as driver:
        context = await driver.chromium.launch_persistent_context(
            folder / "alone",
            executable_path=find_chromium(driver),
            args=[*bare.CHROMIUM],
            ignore_https_errors=True,
            locale=Settings().locale,
            viewport={"width": VIEWPORT[0], "height": VIEWPORT[1]},
        )
        await context.pages[0].goto(url)
        await context.close()


@pytest.mark.slow
def test_chromium_over_http1_looks_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    with a_folder() as folder:
        heads, hellos = [], []
        for ask in (lambda url: asyncio.run(chromium_alone(url, folder)), lambda url: page_of(url, folder)):
            mark = site.log.mark()
            with HelloDoor(site.port) as door:
                ask(f"https://{HOST}:{door.port}/post/novideo")
            heads.append(
                site.log.find("/post/novideo", since=mark)[0].request_head.replace(b"%d" % door.port, b"PORT")
            )
            hellos.append(door.hellos[0])
    assert hellos[0] == hellos[1]
    assert hellos[0].alpn == ("h2", "http/1.1")
    assert heads[0] == heads[1]
    assert heads[0].startswith(b"GET /post/novideo HTTP/1.1\r\nHost: ")


def test_chromium_over_http2_looks_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, hellos = [], []
    with a_folder() as folder:
        for number in range(2):
            with an_h2_server(folder) as (port, served, root), HelloDoor(port) as door:
                monkeypatch.setenv("AKASHI_HOSTS", f"{HOST}=127.0.0.1")
                monkeypatch.setenv("AKASHI_EXTRA_CA", str(root))
                url = f"https://{HOST}:{door.port}/"
                if number:
                    page_of(url, folder)
                else:
                    asyncio.run(chromium_alone(url, folder))
            hellos.append(door.hellos[0])
            first = next(one for one in served if one["path"] == "/")
            head = [part.replace(str(door.port), "PORT") for part in first["head"]]
            seen.append((first["version"], first["alpn"], head))
    assert hellos[0] == hellos[1]
    assert seen[0] == seen[1]
    assert seen[0][:2] == ("2.0", "h2")


_YTDLP = """
import json, sys
from pathlib import Path
from yt_dlp import YoutubeDL
job = json.loads(sys.argv[1])
options = {"quiet": True, "cachedir": False, "format": "best", "outtmpl": job["to"], "compat_opts": job["compat"],
           "http_headers": {"User-Agent": "yt-dlp's own is another one in each process"}}
if job["proxy"]:
    from pipelines.record.recording import Recorder
    from pipelines.record.ytdlp_taps import RecordingYoutubeDL
    Path(job["to"]).parent.mkdir()
    recorder = Recorder(Path(job["to"]).parent, lambda _: None)
    ydl = RecordingYoutubeDL({**options, "proxy": job["proxy"]}, recorder, lambda _: None, emulation=False)
else:
    import socket
    plain = socket.getaddrinfo
    socket.getaddrinfo = lambda host, *a, **k: plain("127.0.0.1" if str(host).endswith(".test") else host, *a, **k)
    ydl = YoutubeDL(options)
ydl.download([job["url"]])
"""


@pytest.mark.parametrize(
    ("handler", "compat"),
    [("requests", []), pytest.param("urllib", ["prefer-legacy-http-handler"], marks=pytest.mark.slow)],
)
def test_ytdlp_looks_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handler: str, compat: list[str]
) -> None:
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    seen = []

    async def ask(through_us: bool) -> None:
        async with Tunnel(Resolver(allow_private=True), log=tmp_path / f"log-{through_us}") as tunnel:
            job = {
                "url": f"https://{HOST}:{door.port}/direct.mp4",
                "proxy": f"socks5h://127.0.0.1:{tunnel.port}" if through_us else "",
                "to": str(tmp_path / f"{through_us}" / "a.mp4"),
                "compat": ["no-certifi", *compat],
            }
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _YTDLP, json.dumps(job)),
                env={**os.environ, "SSL_CERT_FILE": str(site.ca)},
                cwd=ROOT,
            )
            assert await child.wait() == 0

    for through_us in (False, True):
        mark = site.log.mark()
        with HelloDoor(site.port) as door:
            asyncio.run(ask(through_us))
        heads = [one.request_head.replace(b"%d" % door.port, b"PORT") for one in site.log.since(mark)]
        seen.append((set(door.hellos), heads))
    assert seen[0] == seen[1]
    ((hello,), heads) = seen[0]
    assert hello.server_name == names.VIDEOS
    assert len(heads) >= 2
    assert all(b" HTTP/1.1\r\n" in head for head in heads)
