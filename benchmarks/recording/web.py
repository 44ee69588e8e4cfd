"""nginx, unpacked by benchmarks/recording/setup, serving the posts in plain HTTP on a name of this machine.

Plain, because TLS would be paid for twice by the proxies that break it and hide what recording costs.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.recording import content

BUILD: Final = Path(__file__).resolve().parents[2] / "build" / "benchmarks"
_CONFIGURATION: Final = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 512; }}
http {{
  log_format one '$request_method $uri $status $body_bytes_sent';
  access_log {folder}/served one;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/x; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  types {{ image/png png; application/json json; video/mp4 mp4; video/mp2t ts;
           application/vnd.apple.mpegurl m3u8; }}
  default_type "text/html; charset=utf-8"; sendfile on; tcp_nopush on; keepalive_timeout 65;
  server {{ listen 127.0.0.1:{port}; root {site}; location = /favicon.ico {{ return 404; }} }}
}}
"""


def loopback_name() -> str:
    """This machine's name if it leads to loopback, else `localhost`: some tools refuse that and addresses."""
    name = socket.gethostname()
    try:
        return name if socket.gethostbyname(name).startswith("127.") else "localhost"
    except OSError:
        return "localhost"


class Web:
    """The server while it is up: `with Web() as web: … web.url("/p/1") …`."""

    def __enter__(self) -> Self:
        self.site = BUILD / "site"
        content.build(self.site)
        self._temporary = tempfile.TemporaryDirectory(prefix="akashi-web-")
        self._folder = Path(self._temporary.name)
        self._log = self._folder / "served"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        configuration = self._folder / "nginx.conf"
        told = {"folder": self._folder, "port": self.port, "site": self.site}
        configuration.write_text(_CONFIGURATION.format(**told), "utf-8")
        self._process = subprocess.Popen(
            [BUILD / "nginx/usr/sbin/nginx", "-c", configuration, "-p", self._folder]
        )
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        self._temporary.cleanup()

    def url(self, path: str) -> str:
        """`http://name:port/path`."""
        return f"http://{loopback_name()}:{self.port}{path}"

    def mark(self) -> int:
        """Where its log ends now, in bytes."""
        return self._log.stat().st_size

    def served(self, mark: int) -> list[tuple[str, str, int, int]]:
        """(method, path, status, body bytes sent) of each exchange since `mark`."""
        with self._log.open("r", encoding="utf-8", errors="replace") as log:
            log.seek(mark)
            fields = [line.split() for line in log]
        return [(method, path, int(status), int(sent)) for method, path, status, sent in fields]

    def _wait(self) -> None:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise ChildProcessError(f"nginx did not start: {(self._folder / 'error').read_text('utf-8')[-500:]}")
