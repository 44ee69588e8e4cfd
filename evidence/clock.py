"""What the kernel says about this machine's clock when a capture starts (Linux: adjtimex(2)).

    {"estimated_error_us":120,"maximum_error_us":9500,"monotonic_us":812345678,"offset":"+09:00",
     "read_at":"2026-11-23T08:13:00.123Z","source":"adjtimex","synchronised":true,"zone":"JST"}

A clock that nobody disciplines says so: evidence states its doubt instead of hiding it. Elsewhere
than on Linux the source is `unknown` and the three facts are null.
"""

from __future__ import annotations

import ctypes
import sys
import time
from datetime import datetime
from typing import Final, Literal, TypedDict

from evidence.canonical import utc
from evidence.shape import Count, Text, Utc

_STA_UNSYNC: Final = 0x0040
_TIME_ERROR: Final = 5


class Clock(TypedDict):
    """The manifest's `clock`; errors in microseconds, monotonic time in microseconds since boot."""

    source: Literal["adjtimex", "unknown"]
    synchronised: bool | None
    estimated_error_us: Count | None
    maximum_error_us: Count | None
    read_at: Utc
    zone: Text
    offset: Text
    monotonic_us: Count


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>, as far as it is read; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("_rest", ctypes.c_byte * 256),
    )


def clock_block(now: datetime) -> Clock:
    """The clock's state beside the moment `now` (with a time zone), which the caller has just read."""
    local = now.astimezone()
    seconds = int((local.utcoffset() or local - local).total_seconds())
    minutes = abs(seconds) // 60
    discipline = _adjtimex() if sys.platform == "linux" else None
    return {
        "source": "adjtimex" if discipline else "unknown",
        "synchronised": discipline[0] if discipline else None,
        "estimated_error_us": discipline[1] if discipline else None,
        "maximum_error_us": discipline[2] if discipline else None,
        "read_at": utc(now),
        "zone": local.tzname() or "unknown",
        "offset": f"{'-' if seconds < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}",
        "monotonic_us": time.monotonic_ns() // 1000,
    }


def _adjtimex() -> tuple[bool, int, int] | None:
    """Synchronised or not, estimated and maximum error in µs; None where the call is not allowed."""
    timex = _Timex()  # modes = 0: read only, needs no privilege
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):  # a C library without it
        return None
    if state < 0:
        return None
    synchronised = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
    return synchronised, max(0, timex.esterror), max(0, timex.maxerror)
