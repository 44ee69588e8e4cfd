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
from pipelines.record.ytdlp_policy import ChallengeError, LiveError, NotRecordedError

_TYPES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (TooLargeError, "video-too-large"),
    (MemoryError, "video-too-large"),
    (NotRecordedError, "video-not-recorded"),
    (ChallengeError, "video-challenge"),
    (LiveError, "video-live"),
    (HTTPError, "video-refused"),
    (GeoRestrictedError, "video-refused"),
    (UnsupportedError, "no-video"),
    (IncompleteRead, "video-cut"),
    (ContentTooShortError, "video-cut"),
    (ConnectionResetError, "video-cut"),
    (BrokenPipeError, "video-cut"),
    (TimeoutError, "video-cut"),
)
_NUMBERS: Final = {errno.ENOSPC: "disk-full", errno.EDQUOT: "disk-full", errno.EFBIG: "video-too-large"}
_CHALLENGE: Final = r"not a (?:ro)?bot|captcha|anti-bot|verify (?:that )?you are human"
"""What tells of a bot challenge, whatever else the error is."""
_WORDS: Final = (
    (r"unsupported url scheme", "video-not-recorded"),
    (r"no space left on device", "disk-full"),
    (r"no video|no media found|unsupported url|requested format is not available", "no-video"),
    (r"more expected|content too short|bytes read|fragment \d+ not found|without response", "video-cut"),
    (r"connection (?:aborted|broken|reset)|reset by peer|read timed out|eof occurred", "video-cut"),
    (r"log ?in|sign in|registered users|account", "video-refused"),
)
"""Where yt-dlp keeps only the text of an error."""
_NOT_ALLOWED: Final = 2
"""RFC 1928 §6: the tunnel's answer for an address that is not public."""


def reason_of(error: BaseException) -> tuple[str, str]:
    """(code, detail) of whatever ended a download."""
    chain = list(_chain(error))
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR:")
    detail = " ".join(text.partition("; please report this issue")[0].split())[:300] or type(error).__name__
    said = "\n".join(map(str, chain)).lower()
    codes = ["video-challenge"] if re.search(_CHALLENGE, said) else []
    codes += [code for one in chain if (code := _code_of(one))]
    codes += [code for words, code in _WORDS if re.search(words, said)]
    return (codes or ["video-failed"])[0], detail


def _code_of(error: BaseException) -> str:
    if isinstance(error, Socks5Error):
        return "resource-refused" if error.errno == _NOT_ALLOWED else "video-failed"
    if isinstance(error, HTTPError) and error.response.headers.get("cf-mitigated") == "challenge":
        return "video-challenge"
    number = _NUMBERS.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    return next((code for kind, code in _TYPES if isinstance(error, kind)), number)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that caused it, as Python and as yt-dlp link them."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            waiting += [*(getattr(one, "exc_info", None) or ())[1:2], getattr(one, "cause", None)]
            waiting += [one.__cause__, one.__context__, *one.args, getattr(one, "reason", None)]
