"""What the tap on Scrapy's connections keeps, against servers of raw bytes."""

from __future__ import annotations

import contextlib
import gzip
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.crawler.test_door import Heard, crawl, server
from tests.site import names
from tests.site.authority import Authority, server_context

PRIVATE = {"AKASHI_ALLOW_PRIVATE": True}
ANSWERS = {
    "interim": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "to-the-close": "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end",
    "bare-line-feeds": "HTTP/1.1 200 OK\nX-Odd:  1\nContent-Length: 2\n\nok",
    "odd-fields": "HTTP/1.1 200 Fine, thank you\r\nb: 2\r\nSET-cookie: x\r\nnot a field\r\nset-Cookie: x\r\n"
    "A: \xe9\r\nContent-Length: 2\r\n\r\nok",
    "trailers": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nDigest: z\r\n\r\n",
    "too-much": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nokand more",
    "no-content": "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
}


NONE = {
    "silence": "",
    "no-http": "not HTTP at all\r\n\r\n",
    "endless-head": "HTTP/1.1 200 OK\r\nA: " + "b" * 300_000,
}
CODED = gzip.compress("星空".encode(), mtime=0).decode("latin-1")


@pytest.fixture(scope="module")
def told() -> dict[str, tuple[str, bytes, dict[str, Any]]]:
    """By kind of answer: the URL, what its server heard, what the crawl told; all in one crawl."""
    coded = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(CODED)}\r\n\r\n{CODED}"
    with contextlib.ExitStack() as stack:
        servers = {}
        for kind, answer in {**ANSWERS, **NONE, "coded": coded}.items():
            servers[kind] = stack.enter_context(server())
            servers[kind].answer = answer.encode("latin-1")
        urls = {kind: f"http://127.0.0.1:{one.port}/{kind}?q=%E6%98%9F&q=" for kind, one in servers.items()}
        answers = crawl(*urls.values(), settings=PRIVATE)
        return {kind: (url, servers[kind].heard[0], answers[url]) for kind, url in urls.items()}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_is_kept_byte_for_byte(told, kind: str) -> None:
    url, heard, answer = told[kind]
    (exchange,) = answer["exchanges"]
    assert exchange["interim"] + exchange["response_head"] + exchange["body"] == ANSWERS[kind]
    assert exchange["request_head"].encode("latin-1") == heard
    assert exchange["request_head"].startswith(f"GET /{kind}?q=%E6%98%9F&q= HTTP/1.1\r\n")
    assert (exchange["url"], exchange["client"], exchange["layer"]) == (url, "scrapy", "h1-bytes")
    assert (exchange["state"], exchange["error"]) == ("as-received", "")
    assert exchange["ip"] == "127.0.0.1"
    assert answer["status"] in {200, 204}


def test_a_content_coding_is_kept_and_scrapy_still_decodes(told) -> None:
    _, _, answer = told["coded"]
    assert answer["body"] == "星空"
    assert answer["exchanges"][0]["body"] == CODED


@pytest.mark.parametrize("kind", NONE)
def test_what_is_no_answer_is_kept_with_its_error(told, kind: str) -> None:
    _, heard, answer = told[kind]
    assert "DownloadFailedError" in answer["error"]
    (exchange,) = answer["exchanges"]
    assert exchange["request_head"].encode("latin-1") == heard
    assert exchange["response_head"] == ""
    assert NONE[kind].startswith(exchange["body"])
    assert bool(exchange["body"]) == bool(NONE[kind])
    assert exchange["error"]


def test_nothing_is_said_to_be_sent_where_tls_was_never_agreed_on(tmp_path: Path) -> None:
    authority = Authority()
    root = tmp_path / "root.pem"
    root.write_bytes(authority.root_pem())
    hosts = (names.VIDEOS, names.SELF_SIGNED, names.EXPIRED, names.WRONG_NAME)
    with server(tls=server_context(authority, authority.leaf(names.VIDEOS))) as secure, server() as plain:
        plain.answer = b""
        urls = [f"https://{name}:{secure.port}/" for name in hosts]
        urls.append(f"https://{names.VIDEOS}:{plain.port}/never-tls")
        answers = crawl(
            *urls,
            settings=PRIVATE | {"DOWNLOAD_TIMEOUT": 3},
            AKASHI_HOSTS=",".join(f"{name}=127.0.0.1" for name in names.LOOPBACK),
            AKASHI_EXTRA_CA=str(root),
        )
    (exchange,) = answers[urls[0]]["exchanges"]
    assert exchange["request_head"].encode() in secure.heard
    assert (exchange["tls"], exchange["cipher"][:4]) == ("tls/1.3", "TLS_")
    assert exchange["chain"] >= 1
    for url in urls[1:]:
        assert answers[url]["exchanges"] == [], url
        assert answers[url]["error"]


def test_stray_bytes_on_a_kept_connection_are_recorded_and_do_not_end_the_crawl() -> None:
    class Talkative(Heard):
        def _serve(self, client: socket.socket, number: int) -> None:
            with contextlib.suppress(OSError), client:
                client.settimeout(5)
                self.heard[number] = client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                time.sleep(0.5)  # its exchange, and the folder of the exchange, would be long over
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray")
                client.recv(65536)

    class Slow(Heard):
        def _serve(self, client: socket.socket, number: int) -> None:
            time.sleep(1.5)
            super()._serve(client, number)

    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    stray, slow = Talkative("127.0.0.1", 0, b"", None), Slow("127.0.0.1", 0, ok, None)
    with contextlib.closing(stray.listener), contextlib.closing(slow.listener), server() as last:
        urls = [f"http://127.0.0.1:{one.port}/" for one in (stray, slow, last)]
        answers = crawl(*urls, settings=PRIVATE | {"CONCURRENT_REQUESTS": 1})
    assert [answers[url].get("status") for url in urls] == [200, 200, 200]
