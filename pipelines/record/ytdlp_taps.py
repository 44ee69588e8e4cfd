"""yt-dlp with its own request handlers, each recording below its HTTP library; nothing else may fetch.

The handlers are subclasses of yt-dlp's (so preferences and options hold), installed through
`YoutubeDL.build_request_director`, the one place where it makes them. A handler that cannot be recorded
is left out: what would fetch beside the taps does not fetch at all (pipelines/record/ytdlp_policy.py).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import urllib3
from yt_dlp import YoutubeDL
from yt_dlp.downloader.http import HttpFD
from yt_dlp.networking import _requests
from yt_dlp.networking._requests import RequestsRH
from yt_dlp.networking._urllib import HTTPHandler, UrllibRH
from yt_dlp.networking.exceptions import RequestError
from yt_dlp.networking.impersonate import ImpersonateTarget

from pipelines.record.recording import Recorder, TooLargeError
from pipelines.record.tee import PeerOf, recording_connection
from pipelines.record.ytdlp_policy import refuse_solvers

Recording = Callable[[type[Any]], type[Any]]
"""Makes a recording subclass of a connection class."""


class NoMoreError(TooLargeError, RequestError):  # type: ignore[misc]  # yt-dlp has no types
    """Too large, as yt-dlp understands it: no handler tries again."""


class RecordingYoutubeDL(YoutubeDL):  # type: ignore[misc]  # yt-dlp has no types
    """YoutubeDL whose every request is recorded."""

    def __init__(
        self, options: dict[str, Any], recorder: Recorder, peer_of: PeerOf, *, emulation: bool
    ) -> None:
        """With `emulation` there is only the handler that passes for a browser, and it does."""
        recorder.too_large = NoMoreError
        self._handlers = _handlers(lambda base: recording_connection(base, recorder, peer_of))
        if emulation:
            from pipelines.record.ytdlp_curl import recording_curl  # noqa: PLC0415  # it costs 0.3 s

            self._handlers = {"CurlCFFI": recording_curl(recorder, peer_of)}
            options = {**options, "impersonate": ImpersonateTarget("chrome")}
        super().__init__(options, auto_init="no_verbose_header")

    def build_request_director(self, handlers: Iterable[type[Any]], preferences: Any = None) -> Any:
        """yt-dlp's director over the recording handlers only."""
        known = [self._handlers[h.RH_KEY] for h in handlers if h.RH_KEY in self._handlers]
        return super().build_request_director(known, preferences)

    def download_hollow(self, path: Path, info: dict[str, Any]) -> bool:
        """Download one file over HTTP, its bytes into the exchanges only; whether it came."""
        downloader = HollowHttpFD(self, self.params)
        for hook in self._progress_hooks:
            downloader.add_progress_hook(hook)
        done, _ = downloader.download(str(path), info)
        return bool(done)

    def get_info_extractor(self, ie_key: str) -> Any:
        """yt-dlp's extractor, which solves no bot challenge here."""
        extractor = super().get_info_extractor(ie_key)
        refuse_solvers(extractor)
        return extractor


class _Hollow:
    """A file that only grows: what is written to it is in the WARC already, and made into the file from there."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)

    def write(self, data: bytes) -> int:
        self._size += len(data)
        return len(data)

    def close(self) -> None:
        if not self._stream.closed:  # yt-dlp closes one that came too short twice
            self._stream.truncate(self._size)
            self._stream.close()


class HollowHttpFD(HttpFD):  # type: ignore[misc]
    """yt-dlp's downloader of one file, which leaves the file hollow."""

    def sanitize_open(self, filename: str, mode: str) -> tuple[Any, str]:
        """Open it hollow."""
        stream, name = super().sanitize_open(filename, mode)
        return _Hollow(stream), name


def _handlers(recording: Recording) -> dict[str, type[Any]]:
    """yt-dlp's request handlers by their key, recording."""

    class RecordingRequestsRH(RequestsRH):  # type: ignore[misc]
        RH_KEY = RequestsRH.RH_KEY

        def _create_instance(self, **options: Any) -> Any:
            session = super()._create_instance(**options)
            for adapter in session.adapters.values():
                _record_pools(adapter, recording)
            return session

    class RecordingUrllibRH(UrllibRH):  # type: ignore[misc]
        RH_KEY = UrllibRH.RH_KEY

        def _create_instance(self, **options: Any) -> Any:
            opener = super()._create_instance(**options)
            for handler in opener.handlers:
                if isinstance(handler, HTTPHandler):
                    _record_handler(handler, recording)
            return opener

    return {handler.RH_KEY: handler for handler in (RecordingRequestsRH, RecordingUrllibRH)}


def _record_pools(adapter: Any, recording: Recording) -> None:
    """Make the pools of a requests adapter, and of the SOCKS managers it makes later, record."""
    adapter.poolmanager.pool_classes_by_scheme = _recording_pools(
        urllib3.HTTPConnectionPool, urllib3.HTTPSConnectionPool, recording
    )
    make_manager = adapter.proxy_manager_for

    def proxy_manager_for(proxy: str, **options: Any) -> Any:
        manager = make_manager(proxy, **options)
        manager.pool_classes_by_scheme = _recording_pools(
            _requests.SocksHTTPConnectionPool, _requests.SocksHTTPSConnectionPool, recording
        )
        return manager

    adapter.proxy_manager_for = proxy_manager_for


def _recording_pools(plain: type[Any], secure: type[Any], recording: Recording) -> dict[str, type[Any]]:
    return {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": recording(pool.ConnectionCls)})
        for scheme, pool in (("http", plain), ("https", secure))
    }


def _record_handler(handler: Any, recording: Recording) -> None:
    make_class = handler._make_conn_class  # noqa: SLF001  # yt-dlp's seam for its own proxies

    handler._make_conn_class = lambda base, request: recording(make_class(base, request))  # noqa: SLF001
