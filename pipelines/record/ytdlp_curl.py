"""Recording below curl_cffi, yt-dlp's handler that passes for a browser: installed only where that is allowed.

libcurl shows what it sends and receives to its debug function, above TLS and before it decodes anything:
heads and bodies of HTTP/1.1 as they are, those of HTTP/2 as text. A body that libcurl reads past (of a
redirect) is not shown: it is filed as cut. One transfer is one `perform`, on a thread of its own.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import replace
from inspect import getclosurevars
from typing import Any, Final
from urllib.parse import urlsplit

from curl_cffi.const import CurlInfo, CurlOpt
from curl_cffi.curl import (  # type: ignore[attr-defined]
    CURL_WRITEFUNC_ERROR,
    Curl,
    CurlError,
    ffi,
    lib,
)
from curl_cffi.requests import Session
from yt_dlp.networking._curlcffi import CurlCFFIRH

from pipelines.record.exchange import Network
from pipelines.record.recording import Recorder, Recording
from pipelines.record.tee import PeerOf

_TEXT, _HEADER_IN, _HEADER_OUT, _DATA_IN, _DATA_OUT = range(5)
"""libcurl's kinds of debug data (curl_infotype)."""
_AHEAD: Final = 64
"""Pieces, 16 KiB mostly, that libcurl may be ahead of yt-dlp: curl_cffi itself would hold a whole video."""
_TLS: Final = re.compile(rb"SSL connection using TLSv(\S+) / (\S+)")
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


class _RecordingCurl(Curl):
    """A libcurl handle whose every exchange is recorded."""

    def __init__(self, recorder: Recorder, peer_of: PeerOf, **options: Any) -> None:
        self._recorder, self._peer_of = recorder, peer_of
        self._recording: Recording | None = None
        self._network = Network()
        self._answering = False
        self._error: BaseException | None = None
        super().__init__(**options)

    def duphandle(self) -> _RecordingCurl:
        """Another such handle; each streamed request has its own."""
        handle = lib.curl_easy_duphandle(self._curl)
        return _RecordingCurl(self._recorder, self._peer_of, cacert=self._cacert, handle=handle)

    def setopt(self, option: Any, value: Any) -> Any:
        """Set an option; whatever takes the body also ends the transfer when it cannot be recorded."""
        if option == CurlOpt.WRITEFUNCTION and value:
            value = self._held_back(value)
        return super().setopt(option, value)

    def perform(self, *args: Any, **options: Any) -> None:
        """Do the transfer. Raises CurlError, and what `Recording.received` raises."""
        super().setopt(CurlOpt.VERBOSE, 1)
        super().setopt(CurlOpt.DEBUGFUNCTION, self._shown)
        super().setopt(CurlOpt.CERTINFO, 1)
        try:
            super().perform(*args, **options)
            if self._recording is not None:
                self._recording.ended_by_peer()
        except CurlError as error:
            if self._recording is None:
                self._recorder.unreached.append((self._origin(), str(error)))
            else:
                self._recording.failed(error)
            if self._error is None:
                raise
        finally:
            self._end()
        if self._error is not None:
            raise self._error

    def _held_back(self, put: Callable[[bytes], int]) -> Callable[[bytes], int]:
        queue, given_up = (getclosurevars(put).nonlocals[name] for name in ("q", "quit_now"))

        def write(chunk: bytes) -> int:
            while queue.qsize() > _AHEAD and not (self._over() or given_up.wait(0.005)):
                pass
            return CURL_WRITEFUNC_ERROR if self._over() else put(chunk)

        return write

    def _over(self) -> bool:
        return self._error is not None or bool(self._recording and self._recording.over)

    def _shown(self, kind: int, data: bytes) -> None:
        if self._error is not None:
            return
        try:
            self._take(kind, data)
        except BaseException as error:  # noqa: BLE001  # through C nothing can be raised: perform does
            self._error = error

    def _take(self, kind: int, data: bytes) -> None:
        if kind == _TEXT and (tls := _TLS.match(data)):
            version, cipher = tls[1].decode(), tls[2].decode()
            self._network = Network(tls=f"tls/{version}", cipher=cipher if version == "1.3" else "")
        elif kind == _HEADER_OUT:
            if self._recording is None or self._answering:
                self._end()
                h2 = data.partition(b"\r\n")[0].endswith(b" HTTP/2")
                self._network = self._facts("h2" if h2 else "http/1.1")
                self._recording = self._recorder.begin(self._origin(), self._network)
            self._recording.sent(data.replace(b" HTTP/2\r\n", b" HTTP/1.1\r\n", 1))
        elif kind == _DATA_OUT and self._recording is not None:
            self._recording.sent(data)
        elif kind in {_HEADER_IN, _DATA_IN} and self._recording is not None:
            self._answering = True
            if kind == _HEADER_IN and data.startswith(b"HTTP/2 "):
                data = b"HTTP/1.1" + data[len(b"HTTP/2") :]
            self._recording.received(memoryview(data))

    def _end(self) -> None:
        if self._recording is not None:
            self._recording.end()
        self._recording, self._answering = None, False

    def _facts(self, protocol: str) -> Network:
        """Of the connection that the request went out on; the chain is shown once, when it was made."""
        peer = self._peer_of(self._info(CurlInfo.LOCAL_PORT))
        known = self._network
        secure = self._origin().startswith("https")
        return replace(
            known if secure else Network(),
            ip=peer.ip if peer else self._info(CurlInfo.PRIMARY_IP).decode(),
            port=peer.port if peer else self._info(CurlInfo.PRIMARY_PORT),
            dns=peer.dns if peer else (),
            protocol=protocol,
            chain=(self._chain() or known.chain) if secure else (),
        )

    def _info(self, option: CurlInfo) -> Any:
        return self.getinfo(option)

    def _origin(self) -> str:
        parts = urlsplit(self._info(CurlInfo.EFFECTIVE_URL).decode("utf-8", "replace"))
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def _chain(self) -> tuple[bytes, ...]:
        """What curl_cffi does not read: struct curl_certinfo {int num_of_certs; struct curl_slist **certinfo}."""
        given = ffi.new("struct curl_slist **")
        lib.curl_easy_getinfo(self._curl, CurlInfo.CERTINFO, given)
        if given[0] == ffi.NULL:
            return ()
        count = ffi.cast("int *", given[0])[0]
        lists = ffi.cast("struct curl_slist ***", given[0])[1]
        found = []
        for number in range(count):
            line = lists[number]
            while line != ffi.NULL:
                if pem := _PEM.search(ffi.string(line.data).decode("latin-1")):
                    found.append(ssl.PEM_cert_to_DER_cert(pem[0]))
                line = line.next
        return tuple(found)


def recording_curl(recorder: Recorder, peer_of: PeerOf) -> type[Any]:
    """yt-dlp's curl_cffi handler, recording on `recorder`."""

    class RecordingSession(Session[Any]):
        @property
        def curl(self) -> _RecordingCurl:
            """This thread's handle."""
            mine = getattr(self._local, "recording", None)
            if mine is None:
                mine = self._local.recording = _RecordingCurl(recorder, peer_of)
            return mine

    class RecordingCurlCFFIRH(CurlCFFIRH):  # type: ignore[misc]
        RH_KEY = CurlCFFIRH.RH_KEY

        def _create_instance(self, cookiejar: Any = None) -> Any:
            return RecordingSession(cookies=cookiejar)

    return RecordingCurlCFFIRH
