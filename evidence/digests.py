"""SHA-256, SHA-512 and size of one run of bytes, taken in a single pass.

Two digests, so that the archive outlives the break of either (RFC 4998's concern).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

CHUNK: Final = 1 << 20
"""Bytes read at a time: large enough to be fast, small enough to keep memory flat."""


@dataclass(frozen=True, slots=True)
class Digests:
    """Lower-case hexadecimal SHA-256 and SHA-512, and the size in bytes."""

    sha256: str
    sha512: str
    size: int

    def as_json(self) -> dict[str, str | int]:
        """As it stands in manifests and ledger entries."""
        return asdict(self)


class Digester:
    """Feed bytes, then ask for their digests; asking twice is fine."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._sha512 = hashlib.sha512()
        self._size = 0

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes to all three."""
        self._sha256.update(data)
        self._sha512.update(data)
        self._size += len(data)

    def result(self) -> Digests:
        """The digests of everything fed so far."""
        return Digests(self._sha256.hexdigest(), self._sha512.hexdigest(), self._size)


def digest_bytes(data: bytes) -> Digests:
    """Digests of bytes in memory."""
    return digest_stream(BytesIO(data))


def digest_stream(stream: BinaryIO) -> Digests:
    """Digests of everything left in a stream, in constant memory."""
    digester = Digester()
    while chunk := stream.read(CHUNK):
        digester.update(chunk)
    return digester.result()


def digest_file(path: Path) -> Digests:
    """Digests of a file. Raises OSError if it cannot be read."""
    with path.open("rb") as stream:
        return digest_stream(stream)
