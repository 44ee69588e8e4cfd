"""The local web itself: what it serves, and that its log is the truth about the bytes."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from cryptography import x509
from playwright.sync_api import sync_playwright
from protego import Protego

from tests.site import Site, SiteProcess, bare, names
from tests.site.clips import Media
from tests.site.served_log import dechunk

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def context_for(site: Site) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(site.ca))


def ask(
    site: Site,
    request: str,
    host: str = names.VIDEOS,
    context: ssl.SSLContext | None = None,
    body: bytes = b"",
) -> bytes:
    """Everything the server sends for one request, until it closes."""
    head = f"{request}\r\nHost: {host}:{site.port}\r\nConnection: close\r\n\r\n".encode()
    with (
        socket.create_connection(("127.0.0.1", site.port)) as raw,
        (context or context_for(site)).wrap_socket(raw, server_hostname=host) as tls,
    ):
        tls.sendall(head + body)
        received = b""
        while data := tls.recv(1 << 16):
            received += data
    return received


def split(answer: bytes) -> tuple[bytes, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", body


def get(site: Site, path: str, host: str = names.VIDEOS) -> tuple[bytes, bytes]:
    return split(ask(site, f"GET {path} HTTP/1.1", host))


def test_serves_a_chain_of_leaf_and_intermediate_that_leads_to_its_root(site: Site) -> None:
    leaf, intermediate = (x509.load_der_x509_certificate(der) for der in site.chain)
    root = x509.load_pem_x509_certificate(site.ca.read_bytes())
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)


@pytest.mark.parametrize("name", ["TLSv1.2", "TLSv1.3"])
def test_speaks_tls_1_2_and_1_3_and_logs_which(site: Site, name: str) -> None:
    context = context_for(site)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[name.replace(".", "_")]
    mark = site.log.mark()
    ask(site, "GET /robots.txt HTTP/1.1", context=context)
    [exchange] = site.log.since(mark)
    assert exchange.tls == name
    assert exchange.cipher


def test_logs_exactly_the_bytes_of_a_request_and_its_answer(site: Site) -> None:
    mark = site.log.mark()
    answer = ask(site, "GET /img/one.png?q=%E6%98%9F&& HTTP/1.1\r\nx-ODD:  two  spaces ")
    [exchange] = site.log.since(mark)
    assert exchange.request_head.startswith(
        b"GET /img/one.png?q=%E6%98%9F&& HTTP/1.1\r\nx-ODD:  two  spaces \r\nHost:"
    )
    assert exchange.request_head.endswith(b"\r\n\r\n")
    assert exchange.response_head + exchange.body_bytes() == answer
    assert exchange.completed
    assert exchange.url == site.url("/img/one.png?q=%E6%98%9F&&")


def test_logs_chunk_framing_as_it_was_sent(site: Site, media: Media) -> None:
    mark = site.log.mark()
    head, body = get(site, "/assets/post1.js")
    [exchange] = site.log.since(mark)
    assert b"Transfer-Encoding: chunked" in head
    assert exchange.body_bytes() == body
    assert body.endswith(b"\r\n0\r\n\r\n")
    assert gzip.decompress(exchange.payload()) == Path("tests/site/web/post1.js").read_bytes()


def test_keeps_repeated_and_non_ascii_headers(site: Site) -> None:
    head, _ = get(site, "/post/1")
    assert head.count(b"\r\nSet-Cookie: ") == 2
    assert "X-Post-Title: 流星の夜\r\n".encode() in head


@pytest.mark.parametrize(
    ("asked", "first", "after"), [("0-99", 0, 100), ("1000-", 1000, None), ("-50", -50, None)]
)
def test_answers_a_byte_range(site: Site, media: Media, asked: str, first: int, after: int | None) -> None:
    whole = media.read("one.mp4")
    head, body = split(ask(site, f"GET /media/one.mp4 HTTP/1.1\r\nRange: bytes={asked}", names.CDN))
    assert head.startswith(b"HTTP/1.1 206 ")
    assert body == whole[first:after]
    start = first % len(whole)
    assert f"Content-Range: bytes {start}-{start + len(body) - 1}/{len(whole)}\r\n".encode() in head


def test_refuses_a_range_beyond_the_end(site: Site) -> None:
    head, body = split(ask(site, "GET /media/one.mp4 HTTP/1.1\r\nRange: bytes=99999999-"))
    assert head.startswith(b"HTTP/1.1 416 ")
    assert body == b""


def test_answers_head_with_the_length_and_no_body(site: Site, media: Media) -> None:
    head, body = split(ask(site, "HEAD /media/two.mp4 HTTP/1.1"))
    assert f"Content-Length: {len(media.read('two.mp4'))}\r\n".encode() in head
    assert body == b""


def test_answers_304_to_a_client_that_has_it(site: Site) -> None:
    head, _ = get(site, "/assets/site.css")
    tag = head.partition(b"ETag: ")[2].partition(b"\r\n")[0].decode()
    head, body = split(ask(site, f"GET /assets/site.css HTTP/1.1\r\nIf-None-Match: {tag}"))
    assert head.startswith(b"HTTP/1.1 304 ")
    assert body == b""


def test_echoes_a_body_that_is_not_ascii(site: Site) -> None:
    sent = json.dumps({"題": "流星"}, ensure_ascii=False)
    mark = site.log.mark()
    size = len(sent.encode())
    answer = ask(site, f"POST /api/view HTTP/1.1\r\nContent-Length: {size}", body=sent.encode())
    [exchange] = site.log.since(mark)
    assert exchange.request_body == sent.encode()
    assert json.loads(gzip.decompress(split(answer)[1])) == {"counted": True, "echo": {"題": "流星"}}


def test_cuts_a_video_midway_and_says_so_in_the_log(site: Site, media: Media) -> None:
    mark = site.log.mark()
    context = context_for(site)
    context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
    head, body = split(ask(site, "GET /trouble/cut.mp4 HTTP/1.1", context=context))
    whole = media.read("two.mp4")
    assert f"Content-Length: {len(whole)}\r\n".encode() in head
    assert body == whole[: len(whole) // 2]
    [exchange] = site.log.since(mark)
    assert not exchange.completed
    assert exchange.body_bytes() == body


def test_makes_a_video_of_any_size_with_stable_ranges(site: Site, media: Media) -> None:
    size = 3_500_000
    mark = site.log.mark()
    _, whole = get(site, f"/big/{size}b.mp4", names.CDN)
    request = f"GET /big/{size}b.mp4 HTTP/1.1\r\nRange: bytes=1300000-2600000"
    _, part = split(ask(site, request, names.CDN))
    assert len(whole) == size
    assert whole.startswith(media.read("two.mp4"))
    assert part == whole[1_300_000:2_600_001]
    sha256s = [exchange.body_sha256() for exchange in site.log.since(mark)]
    assert sha256s == [hashlib.sha256(whole).hexdigest(), hashlib.sha256(part).hexdigest()]


def test_a_padded_video_is_a_video_to_ffprobe(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "padded.mp4"
    path.write_bytes(get(site, "/big/2000000b.mp4")[1])
    show = ["ffprobe", "-v", "error", "-of", "json", "-show_format", str(path)]
    facts = json.loads(subprocess.run(show, capture_output=True, check=True).stdout)["format"]
    assert float(facts["duration"]) == pytest.approx(4, abs=0.2)
    assert facts["size"] == "2000000"


@pytest.mark.parametrize("host", [names.SELF_SIGNED, names.EXPIRED, names.WRONG_NAME])
def test_bad_certificates_do_not_verify(site: Site, host: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(site, "GET / HTTP/1.1", host)


def test_nothing_listens_at_the_closed_url(site: Site) -> None:
    port = int(site.closed_url.split(":")[2].partition("/")[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


@pytest.mark.parametrize("code", [401, 403, 429, 500, 503])
def test_answers_with_the_status_asked_for(site: Site, code: int) -> None:
    head, _ = get(site, f"/status/{code}")
    assert head.startswith(f"HTTP/1.1 {code} ".encode())
    assert (b"Retry-After: " in head) == (code in {429, 503})


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/p/1", "https://videos.example.test:{port}/post/1"),
        ("/to-private", "http://10.0.0.1/"),
        ("/to-metadata", "http://169.254.169.254/latest/meta-data/"),
        ("/trouble/to-private.png", "https://10.0.0.1/pixel.png"),
    ],
)
def test_redirects(site: Site, path: str, leads_to: str) -> None:
    head, _ = get(site, path)
    assert head.startswith(b"HTTP/1.1 302 ")
    assert f"\r\nLocation: {leads_to.format(port=site.port)}\r\n".encode() in head


def test_the_feed_lists_its_posts_with_true_enclosures(site: Site, media: Media) -> None:
    feed = ET.fromstring(get(site, "/feed.xml")[1])  # noqa: S314
    links = [item.findtext("link") for item in feed.iter("item")]
    assert links == [site.url(f"/post/{name}") for name in ("1", "2", "hls", "split")]
    lengths = [int(one.get("length", "0")) for one in feed.iter("enclosure")]
    assert lengths == [len(media.read("one.mp4")), len(media.read("two.mp4"))]


def test_robots_keep_the_third_friendly_post_closed(site: Site) -> None:
    robots = Protego.parse(get(site, "/robots.txt")[1].decode())
    page = get(site, "/friendly/listing")[1].decode()
    paths = ["/friendly/post/1", "/friendly/post/2", "/private/post/3"]
    assert [f'href="{path}"' in page for path in paths] == [True, True, True]
    assert [robots.can_fetch(site.url(path), "akashi") for path in paths] == [True, True, False]


def test_unmodified_yt_dlp_finds_the_video_of_every_post(site: Site, media: Media, tmp_path: Path) -> None:
    single = {"/post/1": "one.mp4", "/post/2": "two.mp4", "/direct.mp4": "two.mp4"}
    single |= {"/friendly/post/1": "three.mp4", "/friendly/post/2": "four.mp4"}
    pages = [*single, "/post/split", "/post/hls", "/post/big?mb=3"]
    output = ["--fixup", "never", "-f", "bv,ba/b", "-o", f"{tmp_path}/%(autonumber)s.%(ext)s"]
    command = bare.yt_dlp(*output, *map(site.url, pages))
    environment = {**os.environ, "SSL_CERT_FILE": str(site.ca)}
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    files = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    segments = b"".join(media.read(f"hls/segment{n}.ts") for n in range(6))
    expected = [*map(media.read, single.values()), media.read("video.mp4"), media.read("audio.m4a"), segments]
    assert files[:-1] == expected
    assert len(files[-1]) == 3_000_000


def test_post_1_makes_every_kind_of_exchange_in_a_browser(site: Site) -> None:
    mark = site.log.mark()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, CHROMIUMS))),
            args=["--no-sandbox", *bare.CHROMIUM],
        )
        page = browser.new_page(ignore_https_errors=True)
        page.goto(site.url("/p/1"))
        page.wait_for_selector("html[data-ready=yes]", timeout=20_000)
        page.wait_for_function("document.querySelector('video').readyState >= 1")
        page.frame_locator("iframe").get_by_text("3件の感想").wait_for()
        time.sleep(0.5)  # the beacon leaves when it likes
        browser.close()
    seen = {
        (e.method, e.host.partition(".")[0], e.target.partition("?")[0], e.status)
        for e in site.log.since(mark)
    }
    assert seen >= {
        ("GET", "videos", "/p/1", 302),
        ("GET", "videos", "/post/1", 200),
        ("GET", "videos", "/assets/site.css", 200),
        ("GET", "videos", "/img/moved.png", 302),
        ("GET", "cdn", "/img/two.png", 200),
        ("GET", "cdn", "/img/three.jpg", 200),
        ("GET", "videos", "/img/missing.png", 404),
        ("GET", "cdn", "/media/one.mp4", 206),
        ("GET", "other", "/embed/1", 200),
        ("GET", "videos", "/api/comments", 200),
        ("POST", "videos", "/api/view", 200),
        ("POST", "videos", "/api/like", 200),
        ("OPTIONS", "other", "/api/view", 204),
        ("POST", "other", "/api/view", 200),
        ("HEAD", "videos", "/media/two.mp4", 200),
        ("GET", "videos", "/api/drip", 200),
        ("POST", "videos", "/api/beacon", 204),
    }
    [aborted] = site.log.find("/api/drip", since=mark)
    assert not aborted.completed
    assert aborted.body_bytes().startswith(b'b\r\n{"line":0}\n\r\n')


def test_runs_in_a_process_of_its_own_and_shows_its_log() -> None:
    with SiteProcess() as other:
        context = ssl.create_default_context(cafile=other.environment()["AKASHI_EXTRA_CA"])
        with (
            socket.create_connection(("127.0.0.1", other.port)) as raw,
            context.wrap_socket(raw, server_hostname=names.CDN) as tls,
        ):
            tls.sendall(f"GET /big/9mb.mp4 HTTP/1.1\r\nHost: {names.CDN}:{other.port}\r\n\r\n".encode())
            digest, left = hashlib.sha256(), 9_000_000
            _, body = split(tls.recv(1 << 14))
            while True:
                digest.update(body)
                left -= len(body)
                if not left:
                    break
                body = tls.recv(1 << 16)
        [exchange] = other.exchanges()
    assert exchange["url"] == f"https://{names.CDN}:{other.port}/big/9mb.mp4"
    assert exchange["response_body_size"] == 9_000_000
    assert exchange["response_body_sha256"] == digest.hexdigest()
    assert exchange["response_body"] is None


def test_dechunking_keeps_what_came_before_a_cut() -> None:
    assert dechunk(b"3\r\nabc\r\n5\r\nde") == b"abcde"
