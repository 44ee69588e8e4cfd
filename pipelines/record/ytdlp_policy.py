"""What yt-dlp may not do here: fetch beside the taps, solve a bot challenge, or pass for what it is not.

Python itself asks `_guard` before it connects, resolves a name or starts a program (PEP 578), so no
extractor, downloader or library of this process has another way out than the recorded handlers; what
libcurl connects to is recorded in libcurl.
"""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Callable
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from yt_dlp.downloader import get_suitable_downloader
from yt_dlp.downloader.bunnycdn import BunnyCdnFD
from yt_dlp.downloader.dash import DashSegmentsFD
from yt_dlp.downloader.f4m import F4mFD
from yt_dlp.downloader.hls import HlsFD
from yt_dlp.downloader.http import HttpFD
from yt_dlp.downloader.ism import IsmFD
from yt_dlp.downloader.soop import SoopVodFD
from yt_dlp.extractor.common import InfoExtractor

_RECORDED: Final = (HttpFD, HlsFD, DashSegmentsFD, IsmFD, F4mFD, BunnyCdnFD, SoopVodFD)
"""The downloaders that fetch through yt-dlp's request handlers alone."""
_SOLVERS: Final = ("_solve_challenge_and_set_cookies",)
"""Methods of extractors that answer a bot challenge."""
_EXTRACTORS: Final = "yt_dlp.extractor."


class NotRecordedError(PermissionError):
    """Something would have been fetched beside the recording taps, and was refused."""


class ChallengeError(Exception):
    """The host wants a bot challenge solved first; that is never done."""


class LiveError(Exception):
    """The video is live: it has no end, and what is there now is no original."""


def recordable(info: dict[str, Any]) -> bool:
    """Whether yt-dlp would fetch the format itself, and not hand it to ffmpeg, rtmpdump or a WebSocket."""
    downloader = get_suitable_downloader(dict(info), {"hls_prefer_native": True})
    return downloader is not None and issubclass(downloader, _RECORDED)


def in_one_piece(info: dict[str, Any]) -> bool:
    """Whether one request brings the whole file, if nothing goes wrong."""
    chunked = (info.get("downloader_options") or {}).get("http_chunk_size")
    return not chunked and get_suitable_downloader(dict(info), {"hls_prefer_native": True}) is HttpFD


def refuse_the_rest(proxy: str, program: str) -> None:
    """From here on this process connects to `proxy` (a URL) only, and runs `program` only."""
    door = urlsplit(proxy)

    def _guard(event: str, args: tuple[Any, ...]) -> None:
        match event, args:
            case "socket.connect" | "socket.sendto", (_, address) if address != (door.hostname, door.port):
                raise NotRecordedError(f"a connection to {address} would not be recorded")
            case "socket.getaddrinfo", (host, *_) if host != door.hostname:
                raise NotRecordedError(f"{host} would be resolved beside the tunnel")
            case "subprocess.Popen" | "os.posix_spawn" | "os.exec", (path, *_) if path != program:
                raise NotRecordedError(f"{path} would fetch beside the tunnel")
            case "os.system", _:
                raise NotRecordedError("a shell would fetch beside the tunnel")

    sys.addaudithook(_guard)
    HlsFD.can_download = classmethod(_only_if_ended(HlsFD.can_download.__func__))


def _only_if_ended(can_download: Callable[..., bool]) -> Callable[..., bool]:
    def asked(cls: type[Any], manifest: str, *args: Any, **options: Any) -> bool:
        if "#EXT-X-ENDLIST" not in manifest:
            raise LiveError("the playlist has no end (RFC 8216 section 4.3.3.4)")
        return can_download(cls, manifest, *args, **options)

    return asked


def refuse_solvers(extractor: Any) -> None:
    """Make the extractor refuse where it would answer a bot challenge."""

    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise ChallengeError(f"{type(extractor).__name__} would have to answer a bot challenge")

    for name in _SOLVERS:
        if hasattr(extractor, name):
            setattr(extractor, name, refuse)


def invent_nothing() -> None:
    """Leave extractors no chance: an id that one would make up is nil, or its lowest, in every capture."""

    def instead(module: Any, name: str, plain: Callable[..., Any]) -> None:
        real = getattr(module, name)

        def asked(*args: Any, **options: Any) -> Any:
            caller = sys._getframe(1).f_globals.get("__name__", "")  # noqa: SLF001
            return (plain if caller.startswith(_EXTRACTORS) else real)(*args, **options)

        setattr(module, name, asked)

    InfoExtractor._generate_blockbuster_headers = staticmethod(lambda **_: {})  # noqa: SLF001
    instead(uuid, "uuid4", lambda: uuid.UUID(int=0))
    instead(random, "randint", lambda low, _high: low)
    instead(random, "choice", lambda options: options[0])
    instead(random, "choices", lambda options, *_, k=1, **__: [options[0]] * k)
