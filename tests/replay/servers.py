"""Two replayers that others wrote, each showing a WACZ from 127.0.0.1; `tests/replay/setup` must have run."""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

BUILD: Final = Path(__file__).resolve().parents[2] / "build" / "replay"
BIN: Final = BUILD / "venv" / "bin"
_START_SECONDS: Final = 60.0
_EMBED: Final = """<!doctype html><meta charset="utf-8"><title>replay</title><script src="/ui.js"></script>
<style>body{margin:0}replay-web-page{display:block;width:100vw;height:100vh}</style>
<replay-web-page source="/capture.wacz" url="%s" ts="%s" replayBase="/replay/" embed="replayonly"></replay-web-page>
"""


@contextmanager
def replayweb(wacz: Path) -> Iterator[str]:
    """replayweb.page's embed, served as its manual says; gives the base URL, to which `?url=…&ts=…` is added."""
    files = {
        "/ui.js": (BUILD / "replaywebpage" / "ui.js", "text/javascript"),
        "/replay/sw.js": (BUILD / "replaywebpage" / "sw.js", "text/javascript"),
        "/capture.wacz": (wacz, "application/octet-stream"),
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path == "/":
                asked = dict(part.split("=", 1) for part in query.split("&"))
                self._answer((_EMBED % (asked["url"], asked["ts"])).encode(), "text/html")
            elif path in files:
                file, kind = files[path]
                self._answer(file.read_bytes(), kind)
            else:
                self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, data: bytes, kind: str) -> None:
            asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
            size, self.close_connection = len(data), False
            if asked:
                start = int(asked[1]) if asked[1] else size - int(asked[2])
                end = min(int(asked[2]) + 1, size) if asked[1] and asked[2] else size
                data = data[start:end]
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            else:
                self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                with contextlib.suppress(OSError):  # the browser has seen enough
                    self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False  # a browser keeps its connections
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def pywb(wacz: Path, folder: Path) -> Iterator[str]:
    """pywb with the WACZ unpacked into a collection, its index taken as it is; gives the base URL for `<ts>mp_/<url>`."""
    for command in (["init", "capture"], ["add", "--unpack-wacz", "capture", str(wacz)]):
        subprocess.run([BIN / "wb-manager", *command], cwd=folder, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [BIN / "wayback", "--bind", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}/capture/"
    try:
        _wait(base, process)
        yield base
    finally:
        process.terminate()
        process.wait(20)


def _wait(base: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", urlsplit(base).port or 0), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
