from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from crawler.door import Verified
from evidence.errors import UsageError
from tests.site import names
from tests.site.authority import Authority, server_context

Answers = dict[str, dict[str, Any]]


class Heard:
    """A server that notes every connection and the bytes that came, and answers what it is told to."""

    def __init__(self, address: str, port: int, answer: bytes, tls: ssl.SSLContext | None) -> None:
        self.listener = socket.create_server((address, port), family=_family(address))
        self.port = self.listener.getsockname()[1]
        self.answer = answer
        self.tls = tls
        self.heard: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.heard.append(b"")
                threading.Thread(target=self._serve, args=(client, len(self.heard) - 1), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(5)
            sock = self.tls.wrap_socket(client, server_side=True) if self.tls else client
            with sock:
                self.heard[number] = sock.recv(65536)
                if self.heard[number]:
                    sock.sendall(self.answer)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextlib.contextmanager
def server(
    address: str = "127.0.0.1", port: int = 0, *, answer: str = "", tls: ssl.SSLContext | None = None
) -> Iterator[Heard]:
    reply = answer or "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    heard = Heard(address, port, reply.encode(), tls)
    yield heard
    heard.listener.shutdown(socket.SHUT_RDWR)
    heard.listener.close()


def crawl(
    *urls: str, fake: str = "", settings: Mapping[str, object] | None = None, proxy: str = "", **env: str
) -> Answers:
    job = {"urls": urls, "settings": settings or {}, "fake": fake, "proxy": proxy or None}
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AKASHI_", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tests.crawler.door_crawl"],
        input=json.dumps(job),
        env={**clean, "PYTHONPATH": str(Path(__file__).parents[2]), "SCRAPY_SETTINGS_MODULE": "", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answers = {fact.pop("url"): fact for fact in map(json.loads, done.stdout.splitlines())}
    assert set(answers) == set(urls), done.stderr
    return answers


def test_no_spelling_of_a_private_address_is_reached() -> None:
    with server() as v4, server("::1", v4.port) as v6:
        hosts = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "127.1", "2130706433", "0x7f000001"]
        urls = [f"http://{host}:{v4.port}/" for host in (*hosts, "inside.test", "both.test")]
        urls.append(f"https://inside.test:{v4.port}/")
        answers = crawl(*urls, AKASHI_HOSTS="inside.test=127.0.0.1,both.test=8.8.8.8,both.test=127.0.0.1")
    for url, answer in answers.items():
        assert {"RefusedRequest", "RefusedError", "IgnoreRequest"} <= set(answer["error"]), url
        assert "loopback" in answer["detail"], url
    assert v4.heard == v6.heard == []


def test_a_redirect_to_a_private_address_is_refused() -> None:
    with server("127.0.0.2") as inside:
        location = (
            f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:{inside.port}/\r\nContent-Length: 0\r\n\r\n"
        )
        with server(answer=location) as outside:
            url = f"http://127.0.0.1:{outside.port}/"
            answer = crawl(url, fake="127.0.0.2 is private")[url]
    assert "RefusedRequest" in answer["error"]
    assert len(outside.heard) == 1
    assert inside.heard == []


def test_a_peer_that_is_not_allowed_hears_no_byte_although_the_resolver_let_it_through() -> None:
    with server() as plain, server(tls=server_context(Authority(), Authority().leaf("a.test"))) as tls:
        urls = [f"http://a.test:{plain.port}/", f"https://a.test:{tls.port}/"]
        answers = crawl(*urls, fake="resolver lies")
    for answer in answers.values():
        assert "RefusedRequest" in answer["error"]
    assert b"".join((*plain.heard, *tls.heard)) == b""


def test_a_request_that_names_a_proxy_is_refused_and_other_schemes_have_no_handler(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    others = [f"file://{tmp_path}/secret", "ftp://127.0.0.1/x", "s3://bucket/key"]
    with server() as proxy:
        answers = crawl(
            *("http://a.example/", *others),
            proxy=f"http://127.0.0.1:{proxy.port}",
            settings={"AKASHI_ALLOW_PRIVATE": True},
        )
    assert "RefusedRequest" in answers["http://a.example/"]["error"]
    assert proxy.heard == []
    for url in others:
        assert "NotSupported" in answers[url]["error"], url


def test_allow_private_lifts_the_address_check_and_keeps_hosts_and_tls() -> None:
    authority = Authority()
    tls = server_context(authority, authority.leaf(names.VIDEOS))
    with server() as plain, server(tls=tls) as secure:
        urls = [f"http://127.0.0.1:{plain.port}/", f"http://in.test:{plain.port}/"]
        urls += [f"https://{names.VIDEOS}:{secure.port}/", "http://unknown.example.test/"]
        answers = crawl(
            *urls,
            settings={"AKASHI_ALLOW_PRIVATE": True},
            AKASHI_HOSTS=f"in.test=127.0.0.1,{names.VIDEOS}=127.0.0.1",
        )
    assert [answers[url].get("status") for url in urls] == [200, 200, None, None]
    assert answers[urls[1]]["ip"] == "127.0.0.1"
    assert "certificate verify failed" in answers[urls[2]]["detail"]
    assert "CannotResolveHostError" in answers[urls[3]]["error"]


def test_an_extra_authority_is_trusted_for_the_right_name_and_time_only(tmp_path: Path) -> None:
    authority = Authority()
    root = tmp_path / "root.pem"
    root.write_bytes(authority.root_pem())
    bad = (names.SELF_SIGNED, names.EXPIRED, names.WRONG_NAME)
    with server(tls=server_context(authority, authority.leaf(names.VIDEOS))) as secure:
        urls = [f"https://{name}:{secure.port}/" for name in (names.VIDEOS, *bad)]
        answers = crawl(
            *urls,
            settings={"AKASHI_ALLOW_PRIVATE": True},
            AKASHI_HOSTS=",".join(f"{name}=127.0.0.1" for name in names.LOOPBACK),
            AKASHI_EXTRA_CA=str(root),
        )
    assert answers[urls[0]]["body"] == "hello"
    for url, why in zip(urls[1:], ("verify failed", "verify failed", "DNSMismatch"), strict=True):
        assert why in answers[url]["detail"], url
    assert sum(1 for heard in secure.heard if heard) == 1


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_an_extra_authority_that_is_none_is_a_usage_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "root.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match="AKASHI_EXTRA_CA"):
        Verified(str(path))
