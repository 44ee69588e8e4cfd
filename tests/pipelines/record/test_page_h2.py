"""HTTP/2, workers, WebSockets and WebRTC: a page on a server of another make (Playwright's own Node)."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import subprocess
from pathlib import Path

import playwright
import pytest

from tests.pipelines.record.pages import EXACT, LOSSES, a_folder, exact_only, exchanges_of, facts_of, page_of
from tests.site.authority import Authority

NODE = Path(playwright.__file__).parent / "driver" / "node"
SCRIPT = Path(__file__).with_name("h2_server.js")
HOST = "two.example.test"


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory):
    """One recording: the page's record, its folder, what the server says it saw, what came to the UDP port."""
    made = tmp_path_factory.mktemp("h2")
    authority = Authority()
    identity = made / "identity.pem"
    identity.write_bytes(authority.leaf(HOST).pem())
    root = made / "root.pem"
    root.write_bytes(authority.root_pem())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, a_folder() as folder:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        command = [str(NODE), str(SCRIPT), str(identity), str(udp.getsockname()[1])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout
            origin = f"https://{HOST}:{json.loads(server.stdout.readline())['port']}"
            try:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("AKASHI_HOSTS", f"{HOST}=127.0.0.1")
                    patch.setenv("AKASHI_EXTRA_CA", str(root))
                    record = page_of(f"{origin}/", folder)
            finally:
                server.terminate()
            served = [json.loads(line) for line in server.stdout]
        try:
            datagram = udp.recv(2048)
        except BlockingIOError:
            datagram = b""
        yield record, folder, origin, served, datagram


@exact_only
def test_every_exchange_over_http2_is_recorded_with_both_bodies(visit):
    record, folder, origin, served, _ = visit
    recorded = {
        (request.head.split(b" ")[0].decode(), request.uri.removeprefix(origin)): (request, response)
        for request, response in exchanges_of(folder)
    }
    assert set(recorded) == {(one["method"], one["path"]) for one in served}
    for one in served:
        request, response = recorded[one["method"], one["path"]]
        assert request.head.startswith(f"{one['method']} {one['path']} HTTP/1.1\r\nhost: {HOST}:".encode())
        assert hashlib.sha256(request.body).hexdigest() == one["sent"], one["path"]
        assert response.head.startswith(b"HTTP/1.1 %d \r\n" % one["status"])
        if one["path"] != "/endless":
            assert hashlib.sha256(response.body).hexdigest() == one["answered"], one["path"]
            assert "WARC-Truncated" not in response.headers
    assert record.exchanges == len(served) >= 13


def test_heads_say_that_they_are_rendered(visit):
    _, folder, origin, _, _ = visit
    (facts,) = facts_of(folder, f"{origin}/post?x=1")
    assert (facts["layer"], facts["protocol"], facts["tls"]) == (
        "h2-rendered" if EXACT else "cdp-decoded",
        "h2",
        "tls/1.3",
    )
    assert facts["ip"] == "127.0.0.1"


def test_repeated_and_non_ascii_fields_come_back_as_they_were(visit):
    _, folder, origin, _, _ = visit
    (response,) = [r for q, r in exchanges_of(folder) if q.uri == f"{origin}/"]
    assert b"\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n" in response.head
    assert b"\r\nx-note: caf\xe9 100%\r\n" in response.head


@exact_only
def test_encoded_bodies_stay_encoded(visit):
    _, folder, origin, _, _ = visit
    (response,) = [r for q, r in exchanges_of(folder) if q.uri == f"{origin}/gzip"]
    assert gzip.decompress(response.body).startswith(b'"abcdefghij')


def test_an_aborted_stream_keeps_what_came_and_is_marked(visit):
    _, folder, origin, _, _ = visit
    (response,) = [r for q, r in exchanges_of(folder) if q.uri == f"{origin}/endless"]
    assert response.body == b"first drop, then nothing more"
    assert response.headers["WARC-Truncated"] == "disconnect"


def test_what_was_not_recorded_is_listed_and_only_a_refusal_makes_the_capture_less(visit):
    record, _, origin, _, _ = visit
    missing = {one.url: one.why for one in record.missing if EXACT or not one.why.startswith(LOSSES)}
    assert set(missing) == {origin.replace("https", "wss") + "/socket", "https://10.0.0.1/pixel.png"}
    assert missing["https://10.0.0.1/pixel.png"].startswith("nothing was sent: address-refused, ")
    (reason,) = record.reasons
    assert reason.code == "resource-refused"
    assert "10.0.0.1/pixel.png" in reason.detail


def test_dialogs_keep_nobody_waiting_and_windows_are_recorded(visit):
    record, folder, origin, _, _ = visit
    assert record.title == "after all dialogs"
    assert f"{origin}/popup" in [request.uri for request, _ in exchanges_of(folder)]


def test_webrtc_sends_nothing_past_the_door(visit):
    *_, datagram = visit
    assert datagram == b""
