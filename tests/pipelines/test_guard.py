import asyncio
import contextlib
import hashlib
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Never

import pytest

from pipelines import guard
from pipelines.guard import Resolver, Tunnel, lookup
from storage.resolver import Lookup, system_lookup


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server on loopback; `handle(socket)` runs in a thread for each connection, which it closes."""

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            handle(client)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def echo(client: socket.socket) -> None:
    while data := client.recv(65536):
        client.sendall(data)


def exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, "closed early"
        data += more
    return data


def ask(tunnel: Tunnel, host: str, port: int, *, command: int = 1) -> tuple[socket.socket, int]:
    """A SOCKS5 client: its socket, and the reply's code."""
    sock = socket.create_connection(("127.0.0.1", tunnel.port), timeout=10)
    return sock, ask_on(sock, host, port, command=command)


def ask_on(sock: socket.socket, host: str, port: int, *, command: int = 1) -> int:
    sock.sendall(b"\x05\x01\x00")
    assert exactly(sock, 2) == b"\x05\x00"
    try:
        target = b"\x01" + socket.inet_pton(socket.AF_INET, host)
    except OSError:
        try:
            target = b"\x04" + socket.inet_pton(socket.AF_INET6, host)
        except OSError:
            target = b"\x03" + bytes([len(host)]) + host.encode()
    sock.sendall(bytes((5, command, 0)) + target + struct.pack("!H", port))
    return exactly(sock, 10)[1]


def through(
    tmp_path: Path,
    work: Callable[[Tunnel], object],
    *,
    hosts: dict[str, tuple[str, ...]] | None = None,
    allow_private: bool = True,
    answer: Lookup = system_lookup,
) -> Tunnel:
    """Open a tunnel, run `work(tunnel)` in a thread, close it; gives the tunnel."""
    chosen = Resolver(hosts or {"a.test": ("127.0.0.1",)}, allow_private=allow_private, lookup=answer)

    async def run() -> Tunnel:
        async with Tunnel(chosen, tmp_path / "connections.jsonl") as tunnel:
            await asyncio.to_thread(work, tunnel)
        return tunnel

    return asyncio.run(run())


def test_bytes_pass_both_ways_and_the_log_names_the_peer_before_the_reply(tmp_path: Path) -> None:
    log = tmp_path / "connections.jsonl"

    def work(tunnel: Tunnel) -> None:
        sock, code = ask(tunnel, "a.test", port)
        with sock:
            found = lookup(log, sock.getsockname()[1])
            assert code == 0
            assert (found.host, found.port, found.ip, found.dns) == (
                "a.test",
                port,
                "127.0.0.1",
                ("127.0.0.1",),
            )
            assert [c.line() for c in tunnel.connections] == [found.line()]
            sock.sendall(b"hello")
            assert exactly(sock, 5) == b"hello"

    with serving(echo) as port:
        through(tmp_path, work)
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["opened"].endswith("Z")
    assert log.stat().st_mode & 0o777 == 0o644


def test_a_large_stream_arrives_whole(tmp_path: Path) -> None:
    block = os.urandom(1 << 20)

    def send(client: socket.socket) -> None:
        for _ in range(32):
            client.sendall(block)

    def work(tunnel: Tunnel) -> None:
        sock, _ = ask(tunnel, "a.test", port)
        digest, size = hashlib.sha256(), 0
        with sock:
            while data := sock.recv(1 << 18):
                digest.update(data)
                size += len(data)
        assert (size, digest.digest()) == (32 << 20, hashlib.sha256(block * 32).digest())

    with serving(send) as port:
        through(tmp_path, work)


def test_a_client_that_has_said_all_still_hears_the_answer(tmp_path: Path) -> None:
    def answer(client: socket.socket) -> None:
        asked = b""
        while data := client.recv(4096):
            asked += data
        client.sendall(asked.upper())

    def work(tunnel: Tunnel) -> None:
        sock, _ = ask(tunnel, "a.test", port)
        with sock:
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
            assert exactly(sock, 8) == b"QUESTION"
            assert sock.recv(1) == b""

    with serving(answer) as port:
        through(tmp_path, work)


def test_a_connection_that_the_server_resets_does_not_look_ended_to_the_client(tmp_path: Path) -> None:
    def cut(client: socket.socket) -> None:
        client.sendall(b"half of it")
        client.recv(1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def work(tunnel: Tunnel) -> None:
        sock, _ = ask(tunnel, "a.test", port)
        with sock:
            assert exactly(sock, 10) == b"half of it"
            sock.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)

    with serving(cut) as port:
        through(tmp_path, work)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "inside.test", "127.1", "localhost", "both.test"]
)
def test_what_is_not_public_is_refused_and_never_connected(tmp_path: Path, host: str) -> None:
    reached = []

    def work(tunnel: Tunnel) -> None:
        sock, code = ask(tunnel, host, port)
        sock.close()
        assert code == 2

    hosts = {"inside.test": ("127.0.0.1",), "both.test": ("8.8.8.8", "127.0.0.1")}
    with serving(reached.append) as port:
        tunnel = through(tmp_path, work, hosts=hosts, allow_private=False)
    ((refused_host, refused_port, why),) = tunnel.refused
    assert (refused_host, refused_port) == (host, port)
    assert " is " in why
    assert tunnel.connections == tunnel.failures == reached == []


def test_the_peer_that_answered_is_checked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.create_connection

    def elsewhere(_: tuple[str, int], timeout: float | None = None) -> socket.socket:
        # A fake network, which leads to another machine than the one named.
        return real(("127.0.0.1", port), timeout)

    def work(tunnel: Tunnel) -> None:
        sock = real(("127.0.0.1", tunnel.port), 10)
        monkeypatch.setattr(guard.socket, "create_connection", elsewhere)
        with sock:
            sock.sendall(b"\x05\x01\x00\x05\x01\x00\x01\x08\x08\x08\x08\x00\x50")
            assert exactly(sock, 12)[3] == 2
        monkeypatch.undo()

    with serving(echo) as port:
        tunnel = through(tmp_path, work, allow_private=False)
    assert "127.0.0.1 is loopback" in tunnel.refused[0].why


def test_each_way_to_fail_has_its_reply_and_its_name(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        closed = free.getsockname()[1]

    def nothing(host: str) -> Never:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def work(tunnel: Tunnel) -> None:
        for host, expected in (("nowhere.test", 4), ("a.test", 5)):
            sock, code = ask(tunnel, host, closed)
            sock.close()
            assert code == expected

    tunnel = through(tmp_path, work, answer=nothing)
    assert [(f.host, f.port, f.code) for f in tunnel.failures] == [
        ("nowhere.test", closed, "dns-failed"),
        ("a.test", closed, "connection-failed"),
    ]
    assert tunnel.failures[0].why == "Name or service not known"
    assert tunnel.failures[1].why == "Connection refused"
    assert tunnel.refused == tunnel.connections == []


def test_an_address_that_hangs_is_timed_out_and_the_next_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "TRY_SECONDS", 0.2)
    monkeypatch.setattr(guard, "CONNECT_SECONDS", 0.3)
    real = socket.create_connection
    dialled = []

    def dial(address: tuple[str, int], timeout: float | None = None) -> socket.socket:
        # A fake network, in which 127.0.0.2 never answers.
        dialled.append((address[0], timeout))
        if address[0] == "127.0.0.2":
            raise TimeoutError("timed out")
        return real(address, timeout)

    def work(tunnel: Tunnel) -> None:
        with monkeypatch.context() as patch:
            for host, expected in (("hangs.test", 6), ("partly.test", 0), ("partly.test", 0)):
                sock = real(("127.0.0.1", tunnel.port), 10)
                patch.setattr(guard.socket, "create_connection", dial)
                assert ask_on(sock, host, port) == expected
                sock.close()

    hosts = {"hangs.test": ("127.0.0.2",), "partly.test": ("127.0.0.2", "127.0.0.1")}
    with serving(echo) as port:
        tunnel = through(tmp_path, work, hosts=hosts)
    assert dialled == [("127.0.0.2", 0.3), ("127.0.0.2", 0.2), ("127.0.0.1", 0.3), ("127.0.0.1", 0.2)]
    assert tunnel.failures == [("hangs.test", port, "connection-failed", "timed out")]
    assert [c.ip for c in tunnel.connections] == ["127.0.0.1", "127.0.0.1"]


def test_what_socks_offers_and_we_do_not_is_named(tmp_path: Path) -> None:
    def work(tunnel: Tunnel) -> None:
        sock, code = ask(tunnel, "a.test", 80, command=2)
        sock.close()
        assert code == 7
        with socket.create_connection(("127.0.0.1", tunnel.port), 10) as sock:
            sock.sendall(b"\x05\x01\x00\x05\x01\x00\x09")
            assert exactly(sock, 12)[3] == 8
        with socket.create_connection(("127.0.0.1", tunnel.port), 10) as sock:
            sock.sendall(b"\x05\x01\x02")
            assert exactly(sock, 2) == b"\x05\xff"
            assert sock.recv(1) == b""
        with socket.create_connection(("127.0.0.1", tunnel.port), 10) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n" + bytes(80))
            assert sock.recv(2) in {b"\x05\xff", b""}

    tunnel = through(tmp_path, work)
    assert tunnel.connections == tunnel.refused == tunnel.failures == []


def test_a_client_that_says_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "HANDSHAKE_SECONDS", 0.1)

    def work(tunnel: Tunnel) -> None:
        with socket.create_connection(("127.0.0.1", tunnel.port), 10) as sock:
            assert sock.recv(1) == b""

    through(tmp_path, work)


def test_two_hundred_connections_at_once_each_get_their_own_bytes(tmp_path: Path) -> None:
    def work(tunnel: Tunnel) -> None:
        sockets = [ask(tunnel, "a.test", port)[0] for _ in range(200)]  # 800 descriptors
        for number, sock in enumerate(sockets):
            sock.sendall(b"%06d" % number)
        for number, sock in enumerate(sockets):
            assert exactly(sock, 6) == b"%06d" % number
            sock.close()

    with serving(echo) as port:
        tunnel = through(tmp_path, work)
    assert len(tunnel.connections) == 200


def test_a_client_that_does_not_read_holds_up_nobody_else(tmp_path: Path) -> None:
    held_up = threading.Event()

    def flood(client: socket.socket) -> None:
        if client.recv(1) == b"f":
            client.settimeout(0.1)
            try:
                for _ in range(1024):
                    client.sendall(bytes(65536))
            except TimeoutError:
                held_up.set()
                client.recv(1)
        client.sendall(b"quick")

    def work(tunnel: Tunnel) -> None:
        slow, _ = ask(tunnel, "a.test", port)
        with slow:
            slow.sendall(b"f")
            assert held_up.wait(5), "bytes pile up for a client that reads none"
            quick, _ = ask(tunnel, "a.test", port)
            with quick:
                quick.sendall(b"q")
                assert exactly(quick, 5) == b"quick"

    with serving(flood) as port:
        through(tmp_path, work)


def test_a_shut_valve_lets_requests_out_and_no_byte_in_until_the_door_is_closed(tmp_path: Path) -> None:
    heard = threading.Event()

    def answering(client: socket.socket) -> None:
        while client.recv(100):
            heard.set()
            client.sendall(b"answer")

    def work(tunnel: Tunnel) -> None:
        sock, _ = ask(tunnel, "a.test", port)
        with sock:
            sock.sendall(b"first")
            assert exactly(sock, 6) == b"answer"
            assert tunnel.valve.passed == 6
            heard.clear()
            tunnel.valve.shut()
            sock.sendall(b"second")
            assert heard.wait(5)
            sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            assert (tunnel.valve.is_shut, tunnel.valve.passed) == (True, 6)

    with serving(answering) as port:
        through(tmp_path, work)
    for thread in [t for t in threading.enumerate() if t.name.startswith("tunnel")]:
        thread.join(5)
        assert not thread.is_alive()


def test_closing_the_door_cuts_what_is_open_and_leaves_no_thread(tmp_path: Path) -> None:
    before = {t.ident for t in threading.enumerate()}
    kept = []

    def work(tunnel: Tunnel) -> None:
        kept.append(ask(tunnel, "a.test", port)[0])
        kept.append(socket.create_connection(("127.0.0.1", tunnel.port), 10))

    with serving(echo) as port:
        tunnel = through(tmp_path, work)
        for sock in kept:
            with sock, contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", tunnel.port), 1)
        deadline = time.monotonic() + 5
        while any(t.name.startswith("tunnel") and t.ident not in before for t in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_lookup_takes_the_newest_and_knows_none_for_a_port_that_was_not_used(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = '{"client_port":%d,"host":"%s","port":1,"ip":"8.8.8.8","dns":[],"opened":"2026-11-23T08:13:00.123Z"}\n'
    log.write_text(line % (4012, "old.test") + line % (401, "other.test") + line % (4012, "new.test"))
    assert lookup(log, 4012).host == "new.test"
    assert lookup(log, 401).host == "other.test"
    assert lookup(log, 40) is None


def test_a_log_that_is_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "connections.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        through(tmp_path, lambda tunnel: None)
    assert not (tmp_path / "elsewhere").exists()
