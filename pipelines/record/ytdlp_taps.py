"""yt-dlp with its own request handlers, each recording below its HTTP library; nothing else may fetch.

The handlers are subclasses of yt-dlp's (so preferences and options hold), installed through
`YoutubeDL.build_request_director`, the one place where it makes them. A handler that cannot be recorded
is left out, and a downloader that hands a URL to another program refuses: what would fetch beside
the taps does not fetch at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import urllib3
from yt_dlp import YoutubeDL
from yt_dlp.downloader.external import ExternalFD
from yt_dlp.downloader.rtmp import RtmpFD
from yt_dlp.networking import _requests
from yt_dlp.networking._requests import RequestsRH
from yt_dlp.networking._urllib import HTTPHandler, UrllibRH
from yt_dlp.networking.exceptions import RequestError

from pipelines.record.recording import Recorder, TooLargeError
from pipelines.record.tee import PeerOf, recording_connection

Recording = Callable[[type[Any]], type[Any]]
"""Makes a recording subclass of a connection class."""


class NotRecordedError(Exception):
    """A downloader would have fetched beside the recording taps, and was refused."""


class NoMoreError(TooLargeError, RequestError):  # type: ignore[misc]  # yt-dlp has no types
    """Too large, as yt-dlp understands it: no handler tries again."""


class RecordingYoutubeDL(YoutubeDL):  # type: ignore[misc]  # yt-dlp has no types
    """YoutubeDL whose every request is recorded."""

    def __init__(self, options: dict[str, Any], recorder: Recorder, peer_of: PeerOf) -> None:
        recorder.too_large = NoMoreError
        self._handlers = _handlers(lambda base: recording_connection(base, recorder, peer_of))
        super().__init__(options, auto_init="no_verbose_header")

    def build_request_director(self, handlers: Iterable[type[Any]], preferences: Any = None) -> Any:
        """yt-dlp's director over the recording handlers only."""
        known = [self._handlers[h.RH_KEY] for h in handlers if h.RH_KEY in self._handlers]
        return super().build_request_director(known, preferences)


def refuse_other_programs() -> None:
    """Make every downloader of this process that runs another program refuse to do so."""

    def refuse(downloader: Any, *_args: Any) -> NoReturn:
        raise NotRecordedError(f"{type(downloader).__name__} fetches with another program")

    ExternalFD.real_download = RtmpFD.real_download = refuse


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
