"""The other Chromium that may be chosen (ADR 13): it records as much, and keeps to the one door."""

from __future__ import annotations

import http.server
import socket
import threading
from pathlib import Path

import pytest

from tests.pipelines.record.pages import a_folder, exchanges_of, page_of
from tests.pipelines.record.test_page import matches
from tests.site import Site

SHELL = Path("/usr/lib/chromium/chromium-headless-shell")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SHELL.exists(), reason="chromium-headless-shell is not installed (make bench does)"
    ),
]

CALLS_OUT = """<!doctype html><title>waiting</title><p>calls</p><script>
const peer = new RTCPeerConnection({iceServers: [{urls: 'stun:127.0.0.1:%d'}]});
peer.createDataChannel('x');
peer.createOffer().then(offer => peer.setLocalDescription(offer));
setTimeout(() => { document.title = 'called'; }, 1500);
fetch('/slow');
</script>"""


def test_every_exchange_is_recorded_byte_for_byte(site: Site, monkeypatch: pytest.MonkeyPatch):
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    mark = site.log.mark()
    with a_folder() as folder:
        record = page_of(site.url("/p/1"), folder, browser=str(SHELL))
        served, recorded = site.log.since(mark), exchanges_of(folder)
    assert record.failed is None
    assert record.missing == []
    assert record.browser["executable"] == str(SHELL)
    assert record.browser["version"].split(".")[0].isdigit()
    assert "--log-net-log=" in record.browser["command_line"]
    assert len(recorded) == len(served) > 20
    assert all(any(matches(one, *pair) for pair in recorded) for one in served)


def test_webrtc_sends_nothing_past_the_door():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, a_folder() as folder:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        document = (CALLS_OUT % udp.getsockname()[1]).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/slow":  # keeps the page from being quiet while WebRTC would call
                    threading.Event().wait(2)
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(document)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            record = page_of(f"http://127.0.0.1:{server.server_port}/", folder, browser=str(SHELL))
        finally:
            server.shutdown()
            server.server_close()
        assert record.failed is None
        assert record.title == "called"
        with pytest.raises(BlockingIOError):
            udp.recv(2048)
