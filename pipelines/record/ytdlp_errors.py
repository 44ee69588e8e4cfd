"""What yt-dlp's errors amount to: each becomes one code of evidence/reasons.py and a line of detail."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Final

from yt_dlp.networking.exceptions import HTTPError, IncompleteRead
from yt_dlp.socks import Socks5Error
from yt_dlp.utils import ContentTooShortError, GeoRestrictedError, UnsupportedError

from pipelines.record.recording import TooLargeError
from pipelines.record.ytdlp_taps import NotRecordedError

_NO_VIDEO: Final = re.compile(
    r"No video formats found|Unsupported URL|no video|Requested format is not available|no media found",
    re.IGNORECASE,
)
_CUT: Final = re.compile(
    r"more expected|content too short|bytes read|fragment \d+ not found|connection (?:aborted|broken|reset)|"
    r"reset by peer|read timed out|EOF occurred|without response",
    re.IGNORECASE,
)
_NOT_ALLOWED: Final = 2
"""RFC 1928 §6: the tunnel's answer for an address that is not public."""


def reason_of(error: BaseException) -> tuple[str, str]:
    """(code, detail) of whatever ended a download."""
    chain = list(_chain(error))
    detail = _line(error)
    for one in chain:
        code = _code_of(one)
        if code:
            return code, detail or _line(one)
    if any("No space left on device" in str(one) for one in chain):
        return "disk-full", detail
    if any(_NO_VIDEO.search(str(one)) for one in chain):
        return "no-video", detail
    if any(_CUT.search(str(one)) for one in chain):
        return "video-cut", detail
    return "video-failed", detail


def _code_of(error: BaseException) -> str:  # noqa: PLR0911  # one line for each kind
    if isinstance(error, TooLargeError):
        return "video-too-large"
    if isinstance(error, NotRecordedError):
        return "video-not-recorded"
    if isinstance(error, HTTPError | GeoRestrictedError):
        return "video-refused"
    if isinstance(error, Socks5Error):
        return "resource-refused" if error.errno == _NOT_ALLOWED else "video-failed"
    if isinstance(error, IncompleteRead | ContentTooShortError):
        return "video-cut"
    if isinstance(error, UnsupportedError):
        return "no-video"
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "disk-full"
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return "video-too-large"
    if isinstance(error, ConnectionResetError | BrokenPipeError | TimeoutError):
        return "video-cut"
    return ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and everything that caused it, as Python and as yt-dlp link them."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        info = getattr(one, "exc_info", None)
        waiting += [info[1] if isinstance(info, tuple) and info else None, getattr(one, "cause", None)]
        waiting += [one.__cause__, one.__context__, *(a for a in one.args if isinstance(a, BaseException))]
        waiting.append(getattr(one, "reason", None))


def _line(error: BaseException) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR:")
    text = text.partition("; please report this issue")[0]
    return " ".join(text.split())[:300] or type(error).__name__
