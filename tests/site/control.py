"""The log for other processes: `GET /__log?since=N`, one JSON object a line, on a port of its own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.site.served_log import ServedLog


class Control:
    """Plain HTTP on 127.0.0.1 beside the site; never part of what is recorded."""

    def __init__(self, log: ServedLog, port: int = 0) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path != "/__log":
                    self.send_error(404)
                    return
                mark = int(parse_qs(parts.query).get("since", ["0"])[0])
                lines = (json.dumps(e.as_json()) + "\n" for e in log.since(mark))
                data = "".join(lines).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-ndjson")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Silent: the site's log is the log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, name="site-control", daemon=True).start()

    def stop(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
