"""The one way to witnesses, authorities and signers: what it sends, and every way not to be answered."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from evidence.errors import UnreachableError, UsageError
from storage.http import post
from tests.site.authority import Authority, server_context

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
Serve = Callable[..., "Server"]


class Server:
    """Answers each connection with these bytes, `pause` seconds between them, and keeps what it was sent."""

    def __init__(self, answer: bytes, pause: float, context: ssl.SSLContext | None, *, drop: bool) -> None:
        self.answer, self.pause, self.context, self.drop = answer, pause, context, drop
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self.listener.accept()
                with suppress(OSError), peer:
                    self.serve(peer)

    def serve(self, peer: socket.socket) -> None:
        if self.drop:
            return
        if self.context:
            peer = self.context.wrap_socket(peer, server_side=True)
        with peer:
            head, _, body = peer.recv(65536).partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += peer.recv(65536)
            self.requests.append(head + b"\r\n\r\n" + body)
            for position in range(len(self.answer)) if self.pause else ():
                peer.sendall(self.answer[position : position + 1])
                time.sleep(self.pause)
            if not self.pause:
                peer.sendall(self.answer)

    def close(self) -> None:
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[Server] = []

    def start(
        answer: bytes = OK, *, pause: float = 0, context: ssl.SSLContext | None = None, drop: bool = False
    ) -> Server:
        running.append(Server(answer, pause, context, drop=drop))
        return running[-1]

    yield start
    for server in running:
        server.close()


def ask(url: str, **more: object) -> tuple[int, bytes]:
    options = {"content_type": "text/plain", "timeout": 5.0, "limit": 100, "allow_private": True, **more}
    return post(url, b"old 0\n", **options)


def test_the_request_is_sent_as_it_was_given(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AKASHI_HOSTS", "witness.test=127.0.0.1")
    server = serve()
    url = f"http://witness.test:{server.port}/w1/add-checkpoint?x=1"
    assert ask(url, headers={"Authorization": "Bearer t"}) == (200, b"hello")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /w1/add-checkpoint?x=1 HTTP/1.1\r\n")
    for line in (f"Host: witness.test:{server.port}", "Content-Type: text/plain", "Authorization: Bearer t"):
        assert line.encode() in head.split(b"\r\n")
    assert body == b"old 0\n"


def test_any_status_is_an_answer_and_no_redirect_is_followed(serve: Serve) -> None:
    elsewhere = serve()
    moved = f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{elsewhere.port}/\r\nContent-Length: 0\r\n\r\n"
    assert ask(f"http://127.0.0.1:{serve(moved.encode()).port}/") == (307, b"")
    assert elsewhere.requests == []


def test_an_address_that_is_not_public_is_refused_before_anything_is_sent(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKASHI_HOSTS", "witness.test=127.0.0.1")
    server = serve()
    for host in ("127.0.0.1", "witness.test", "[::ffff:127.0.0.1]"):
        with pytest.raises(UnreachableError, match="loopback") as caught:
            ask(f"http://{host}:{server.port}/", allow_private=False)
        assert "ledger_allow_private" in caught.value.next
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (OK[:-1], "ended 1 bytes early"),
        (OK[:10], None),
        (b"", None),
        (b"SSH-2.0-OpenSSH\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, "exceeds 100 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101, "exceeds 100 bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", None),
    ],
    ids=[
        "cut-body",
        "cut-status",
        "nothing",
        "no-http",
        "large",
        "large-without-length",
        "cut-chunk",
        "long-head",
    ],
)
def test_an_answer_that_is_not_whole_or_too_large_is_none(
    serve: Serve, answer: bytes, why: str | None
) -> None:
    with pytest.raises(UnreachableError, match=why):
        ask(f"http://127.0.0.1:{serve(answer).port}/")


def test_nobody_there_and_a_name_without_an_address_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError, match="refused"):
        ask(f"http://127.0.0.1:{port}/")
    monkeypatch.setattr("storage.resolver.socket.getaddrinfo", _unknown)
    with pytest.raises(UnreachableError, match="no such name"):
        ask("http://nowhere.invalid/")
    with pytest.raises(UsageError):
        ask("ftp://127.0.0.1/")


def _unknown(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "no such name")


def test_the_second_address_is_tried_when_the_first_takes_none(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AKASHI_HOSTS", "two.test=::1,two.test=127.0.0.1")
    assert ask(f"http://two.test:{serve().port}/") == (200, b"hello")


def test_a_server_that_drips_is_cut_at_the_deadline(serve: Serve) -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="in time"):
        ask(f"http://127.0.0.1:{serve(pause=0.1).port}/", timeout=0.4)
    assert time.monotonic() - began < 2


def test_a_server_that_never_shakes_hands_is_cut_at_the_deadline(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UnreachableError, match="in time"):
        ask(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.3)


def test_a_resolver_that_hangs_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.resolver.socket.getaddrinfo", lambda *_, **__: time.sleep(1) or [])
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="not resolved in time"):
        ask("http://slow.test/", timeout=0.3)
    assert time.monotonic() - began < 0.9


def test_a_process_that_hangs_and_takes_no_connection_is_left_at_the_deadline(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stopped, ExitStack() as waiting:
        stopped.bind(str(tmp_path / "socket"))
        stopped.listen(0)
        for _ in range(2):  # until its queue is full
            peer = waiting.enter_context(socket.socket(socket.AF_UNIX))
            peer.setblocking(False)
            with suppress(BlockingIOError):
                peer.connect(str(tmp_path / "socket"))
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            ask(f"unix:{tmp_path / 'socket'}:/sign", timeout=0.3)
        assert time.monotonic() - began < 2


def test_a_path_that_no_request_can_hold_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="not ASCII"):
        ask("http://127.0.0.1:1/\N{LATIN SMALL LETTER E WITH ACUTE}")


def test_tls_is_verified_for_the_name_against_the_extra_authority(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    server = serve(context=server_context(authority, authority.leaf("witness.test")))
    monkeypatch.setenv("AKASHI_HOSTS", "witness.test=127.0.0.1,other.test=127.0.0.1")
    url = f"https://witness.test:{server.port}/"
    with pytest.raises(UnreachableError, match="certificate"):
        ask(url)
    (tmp_path / "ca.pem").write_bytes(authority.root_pem())
    monkeypatch.setenv("AKASHI_EXTRA_CA", str(tmp_path / "ca.pem"))
    assert ask(url) == (200, b"hello")
    with pytest.raises(UnreachableError, match="certificate"):
        ask(f"https://other.test:{server.port}/")
    monkeypatch.setenv("AKASHI_EXTRA_CA", str(tmp_path / "none.pem"))
    with pytest.raises(UsageError, match="AKASHI_EXTRA_CA"):
        ask(url)
