"""yt-dlp passing for a browser: what a server of another make sees of it over HTTP/2, and what is recorded."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.record import ytdlp
from tests.pipelines.record.videos import Recorded, Recorder
from tests.site.authority import Authority
from tests.site.clips import Media

HOST = "two.example.test"
SERVER = Path(__file__).with_name("h2_video.js")


@pytest.fixture
def recorded(record: Recorder, media: Media, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Records the video behind two hops with emulation or without: (recording, what the server was asked, chain)."""
    authority = Authority()
    leaf = authority.leaf(HOST)
    identity, root = record.folder / "identity.pem", record.folder / "root.pem"
    identity.write_bytes(leaf.pem())
    root.write_bytes(authority.root_pem())
    monkeypatch.setenv("AKASHI_HOSTS", f"{HOST}=127.0.0.1")
    monkeypatch.setenv("AKASHI_EXTRA_CA", str(root))

    def run(*, emulation: bool) -> tuple[Recorded, list[dict[str, Any]], list[bytes]]:
        command = [str(ytdlp._NODE), str(SERVER), str(identity), str(media.path("two.mp4"))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            try:
                port = json.loads(server.stdout.readline())["port"]
                got = record(f"https://{HOST}:{port}/moved.mp4", client_emulation=emulation)
            finally:
                server.terminate()
            return got, [json.loads(line) for line in server.stdout], list(leaf.chain)

    return run


def facts_of(got: Recorded) -> list[dict[str, Any]]:
    return [json.loads(b) for h, b in got.records("metadata") if h["Content-Type"] == "application/json"]


def test_over_http2_every_exchange_is_rendered_and_says_so(recorded: Any, media: Media) -> None:
    got, asked, chain = recorded(emulation=True)
    assert got.codes() == [], got.why()
    assert [file.path.read_bytes() for file in got.video.files] == [media.read("two.mp4")]
    assert {one["version"] for one in asked} == {"2.0"}
    requests, facts = got.records("request"), facts_of(got)
    assert len(requests) == len(asked) == len(facts)
    for one, (_, request), fact in zip(asked, requests, facts, strict=True):
        assert request.startswith(f"{one['method']} {one['path']} HTTP/1.1\r\n".encode())
        sent = {line.split(b":")[0].lower() for line in request.split(b"\r\n")[1:] if line}
        assert {n.encode() for n in one["headers"][::2] if not n.startswith(":")} <= sent
        assert (fact["layer"], fact["protocol"], fact["tls"]) == ("h2-rendered", "h2", "tls/1.3")
        assert fact["cipher"].startswith("TLS_")
        assert fact["chain"] == [hashlib.sha256(der).hexdigest() for der in chain]
        assert fact["ip"] == "127.0.0.1"
    for _, response in got.records("response"):
        assert response.startswith((b"HTTP/1.1 200 \r\n", b"HTTP/1.1 302 \r\n"))
    passed = got.video.ytdlp["client_emulation"]
    assert passed is True


def test_without_emulation_nothing_passes_for_a_browser(recorded: Any, media: Media) -> None:
    got, asked, _ = recorded(emulation=False)
    assert got.codes() == [], got.why()
    assert {one["version"] for one in asked} == {"1.1"}
    assert all("sec-ch-ua" not in one["headers"] for one in asked)
    assert {fact["layer"] for fact in facts_of(got)} == {"h1-bytes"}
    assert got.video.ytdlp["client_emulation"] is False
