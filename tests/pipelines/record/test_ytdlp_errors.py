from __future__ import annotations

import errno
from io import BytesIO

import pytest
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, ProxyError, TransportError
from yt_dlp.socks import Socks5Error
from yt_dlp.utils import ContentTooShortError, DownloadError, ExtractorError, UnsupportedError

from evidence.reasons import SHORTCOMINGS, Reason
from pipelines.record.recording import TooLargeError
from pipelines.record.ytdlp_errors import reason_of
from pipelines.record.ytdlp_policy import ChallengeError, LiveError, NotRecordedError


def refused(status: int, headers: dict[str, str] | None = None) -> HTTPError:
    return HTTPError(Response(BytesIO(), "https://a.test/v", headers or {}, status=status))


def wrapped(error: Exception) -> DownloadError:
    """As yt-dlp hands an error on: in an ExtractorError's cause, in a DownloadError's exc_info."""
    inner = ExtractorError("Unable to download webpage", cause=error)
    return DownloadError(f"ERROR: {inner}", (type(inner), inner, None))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refused(403), "video-refused"),
        (wrapped(refused(410)), "video-refused"),
        (UnsupportedError("https://a.test"), "no-video"),
        (ExtractorError("No video formats found!", expected=True), "no-video"),
        (wrapped(TransportError(cause=ProxyError(cause=Socks5Error(2)))), "resource-refused"),
        (wrapped(TransportError(cause=Socks5Error(5))), "video-failed"),
        (IncompleteRead(5, expected=9), "video-cut"),
        (ContentTooShortError(5, 9), "video-cut"),
        (wrapped(ConnectionResetError(errno.ECONNRESET, "reset")), "video-cut"),
        (wrapped(TooLargeError("9 bytes announced, 5 allowed")), "video-too-large"),
        (OSError(errno.EFBIG, "File too large"), "video-too-large"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk-full"),
        (DownloadError("unable to write data: [Errno 28] No space left on device"), "disk-full"),
        (
            DownloadError("Got error: ('Connection aborted.', ConnectionResetError(104, 'reset'))"),
            "video-cut",
        ),
        (NotRecordedError("rtmp"), "video-not-recorded"),
        (ExtractorError('Unable to handle request: Unsupported url scheme: "ws"'), "video-not-recorded"),
        (ExtractorError("Sign in to confirm you\u2019re not a bot. Use --cookies"), "video-challenge"),
        (wrapped(refused(403, {"cf-mitigated": "challenge"})), "video-challenge"),
        (wrapped(ChallengeError("TikTokIE")), "video-challenge"),
        (LiveError("live"), "video-live"),
        (ExtractorError("This post is only for registered users", expected=True), "video-refused"),
        (ExtractorError("something else"), "video-failed"),
    ],
)
def test_each_error_has_its_reason(error: Exception, code: str) -> None:
    found, detail = reason_of(error)
    assert found == code
    assert detail
    assert "\n" not in detail
    assert Reason(found, detail).code in {*SHORTCOMINGS, "disk-full"}
