"""The bare tools against the site: what yt-dlp and Chromium need to find it when Akashi is not there."""

from __future__ import annotations

import sys
from typing import Final

_WITH_NAMES: Final = """
import socket, sys
plain = socket.getaddrinfo
local = lambda host: "127.0.0.1" if str(host).endswith(".test") else host
socket.getaddrinfo = lambda host, *a, **k: plain(local(host), *a, **k)
import yt_dlp
yt_dlp.main(sys.argv[1:])
"""

CHROMIUM: Final = ("--no-proxy-server", "--host-resolver-rules=MAP *.test 127.0.0.1")
"""Chromium's arguments; with them, Playwright's `ignore_https_errors=True`."""


def yt_dlp(*arguments: str) -> list[str]:
    """A command that runs the unmodified yt-dlp, names below .test resolved to this machine.

    Over TLS its environment needs `SSL_CERT_FILE` to name the site's root.
    """
    quiet = ["-q", "--no-warnings", "--no-cache-dir"]
    return [sys.executable, "-c", _WITH_NAMES, *quiet, "--compat-options", "no-certifi", *arguments]
