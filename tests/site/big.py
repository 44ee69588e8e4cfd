r"""A real MP4 of any size, made while it is sent: no disk, and any range can be made again.

    | a small real clip (ftyp, moov, mdat) | size64 "free" | noise … |

A `free` box (ISO/IEC 14496-12 §8.1.2) is ignored by every player and prober. The noise is pseudo-random
and does not repeat: each block of 1 MiB begins with its own number, so that a piece out of place shows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

BLOCK: Final = 1 << 20
_HEADER: Final = 16
_NOISE: Final = random.Random(20261123).randbytes(BLOCK)  # noqa: S311
MIN_PADDING: Final = _HEADER


class PaddedMp4:
    """`clip` followed by one `free` box, `size` bytes in all. Raises ValueError when that is too few."""

    def __init__(self, clip: bytes, size: int) -> None:
        if size < len(clip) + MIN_PADDING:
            raise ValueError(f"{size} bytes do not hold the clip of {len(clip)} bytes and a free box")
        self.size = size
        padding = size - len(clip)
        self._front = clip + (1).to_bytes(4, "big") + b"free" + padding.to_bytes(8, "big")

    def read(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes start ≤ n < end, in pieces of at most 1 MiB."""
        front = len(self._front)
        if start < front:
            yield memoryview(self._front)[start : min(end, front)]
        at = max(start, front)
        while at < end:
            number, offset = divmod(at - front, BLOCK)
            take = min(BLOCK - offset, end - at)
            block = number.to_bytes(8, "big") + _NOISE[8:]
            yield memoryview(block)[offset : offset + take]
            at += take
