"""ULIDs (github.com/ulid/spec): 48 bits of time in ms, 80 random bits, Crockford base 32.

One looks like this:

    01KAR5Q8Z4  1X7JQ9D2N6V0H3GT
    |time 10|   |randomness 16 |
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PATTERN: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def new_ulid(now: datetime | None = None) -> str:
    """A new identifier; sorts by its time of making, to the millisecond (`now` or the system's UTC)."""
    moment = now or datetime.now(UTC)
    number = int(moment.timestamp() * 1000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_ulid(text: str) -> bool:
    """Whether the text is one ULID, in upper case."""
    return _PATTERN.fullmatch(text) is not None
