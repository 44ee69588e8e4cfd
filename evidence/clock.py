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
from typing import Any, Final

from evidence.canonical import utc

_STA_UNSYNC: Final = 0x0040
_TIME_ERROR: Final = 5
_UNKNOWN: Final = None, None, None


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


def clock_block(now: datetime) -> dict[str, Any]:
    """The manifest's `clock` beside the moment `now` (with a time zone), which the caller has just read."""
    local = now.astimezone()
    synchronised, estimated, maximum = _adjtimex() if sys.platform == "linux" else _UNKNOWN
    return {
        "source": "unknown" if synchronised is None else "adjtimex",
        "synchronised": synchronised,
        "estimated_error_us": estimated,
        "maximum_error_us": maximum,
        "read_at": utc(now),
        "zone": local.tzname() or "unknown",
        "offset": local.isoformat(timespec="minutes")[-6:],
        "monotonic_us": time.monotonic_ns() // 1000,
    }


def _adjtimex() -> tuple[bool | None, int | None, int | None]:
    """Synchronised or not, estimated and maximum error in µs; _UNKNOWN where the call is not allowed."""
    timex = _Timex()  # modes = 0: read only, needs no privilege
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):  # a C library without it
        return _UNKNOWN
    if state < 0:
        return _UNKNOWN
    synchronised = state != _TIME_ERROR and not timex.status & _STA_UNSYNC
    return synchronised, max(0, timex.esterror), max(0, timex.maxerror)
