"""Millions of texts that must be told apart, in 8 bytes each: a keyed hash stands for each of them.

Two texts share one by chance once in 2^64, and by nobody's design: the key is made for this audit alone.
Where it matters which text it was, whoever asks looks once more at those that share one.
"""

from __future__ import annotations

import secrets
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b
from itertools import pairwise
from typing import Final

PRINT_BYTES: Final = 8
_BUCKETS: Final = 16


def new_key() -> bytes:
    """A key for one audit."""
    return secrets.token_bytes(16)


def print_of(text: str, key: bytes) -> bytes:
    """The eight bytes that stand for a text."""
    return blake2b(text.encode(), digest_size=PRINT_BYTES, key=key).digest()


class Prints:
    """Prints, each as often as it was added; to be asked once all are there."""

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(_BUCKETS)]
        self._sorted = False

    def add(self, prints: bytes) -> None:
        """Add one print, or several set behind one another."""
        for number in memoryview(prints).cast("Q"):
            self._buckets[number % _BUCKETS].append(number)
        self._sorted = False

    def __contains__(self, one: bytes) -> bool:
        number = _number(one)
        self._sort()
        bucket = self._buckets[number % _BUCKETS]
        place = bisect_left(bucket, number)
        return place < len(bucket) and bucket[place] == number

    def twice(self) -> set[bytes]:
        """Those that were added more than once."""
        self._sort()
        found = (b for bucket in self._buckets for a, b in pairwise(bucket) if a == b)
        return _as_bytes(found)

    def without(self, others: Prints) -> set[bytes]:
        """Those that are not among the others."""
        pairs = zip(self._buckets, others._buckets, strict=True)
        return _as_bytes(number for own, other in pairs for number in set(own).difference(other))

    def _sort(self) -> None:
        if not self._sorted:
            self._buckets = [array("Q", sorted(bucket)) for bucket in self._buckets]
            self._sorted = True


def _number(one: bytes) -> int:
    return memoryview(one).cast("Q")[0]


def _as_bytes(numbers: Iterable[int]) -> set[bytes]:
    return {array("Q", [number]).tobytes() for number in numbers}
