"""The site as tests hold it: start, URLs, environment for clients, and the log."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.site import (
    bounds,
    consent,
    everything,
    names,
    odd_answers,
    pages,
    players,
    resources,
    streams,
    trouble,
)
from tests.site.authority import Authority, server_context
from tests.site.clips import media
from tests.site.router import Router
from tests.site.served_log import ServedLog
from tests.site.server import Server


class Site:
    """The local web on 127.0.0.1; use as a context manager, or `start()` and `stop()`."""

    def __init__(self, port: int = 0) -> None:
        media()  # made before anything waits for an answer
        router = Router()
        for part in (
            pages,
            resources,
            streams,
            trouble,
            everything,
            bounds,
            consent,
            players,
            odd_answers,
        ):
            router.include(part.router)
        self.log = ServedLog()
        self._authority = Authority()
        leaf = self._authority.leaf(*names.TRUSTED)
        self.chain = leaf.chain
        """DER certificates that the trusted hosts send, leaf first."""
        self._server = Server(router.answer, self.log, server_context(self._authority, leaf), port)
        self.port = self._server.port
        # Bound and never listening: connections are refused, and nobody else can take the port.
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))
        self._folder = contextlib.ExitStack()
        made = self._folder.enter_context(tempfile.TemporaryDirectory(prefix="akashi-site-ca-"))
        Path(made).chmod(0o755)  # children run as another user
        self.ca = Path(made) / "root.pem"
        """The root certificate, PEM: what AKASHI_EXTRA_CA names."""
        self.ca.write_bytes(self._authority.root_pem())
        self.ca.chmod(0o644)

    def start(self) -> Site:
        """Begin to serve."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Cut what is open and go."""
        self._server.stop()
        self._closed.close()
        self._folder.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def url(self, path: str = "/", host: str = names.VIDEOS) -> str:
        """`https://host:port/path`."""
        return f"https://{host}:{self.port}{path}"

    @property
    def closed_url(self) -> str:
        """A URL whose host resolves and refuses the connection."""
        return f"https://{names.CLOSED}:{self._closed.getsockname()[1]}/post/1"

    @property
    def hosts(self) -> str:
        """The value of AKASHI_HOSTS."""
        return ",".join(f"{name}={address}" for name, address in names.ADDRESSES.items())

    def environment(self) -> dict[str, str]:
        """The variables by which every client of Akashi finds and trusts the site."""
        return {"AKASHI_HOSTS": self.hosts, "AKASHI_EXTRA_CA": str(self.ca)}
