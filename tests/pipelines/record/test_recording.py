"""One exchange of a client whose bytes are tapped: what is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.record.exchange import Exchange, Network
from pipelines.record.recording import Recorder


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/v?id=7", "https://a.test/v?id=7"),
        ("/web/2020/https://b.test/v", "https://a.test/web/2020/https://b.test/v"),
        ("/?to=http://b.test/", "https://a.test/?to=http://b.test/"),
        ("https://b.test/v", "https://b.test/v"),
        ("*", "https://a.test*"),
    ],
)
def test_the_url_is_of_the_server_that_was_asked_whatever_the_path_holds(
    tmp_path: Path, target: str, url: str
) -> None:
    given: list[Exchange] = []
    recording = Recorder(tmp_path, given.append).begin("https://a.test", Network())
    recording.sent(f"GET {target} HTTP/1.1\r\n\r\n".encode())
    recording.received(memoryview(b"HTTP/1.1 204 No Content\r\n\r\n"))
    recording.end()
    assert [exchange.url for exchange in given] == [url]
