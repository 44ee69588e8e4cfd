"""Tying a file to encrypted segments: HLS under AES-128-CBC (RFC 8216 section 4.3.2.4), its keys recorded too.

A segment fits where its bytes, decrypted with a recorded key, stand in the file. In CBC only the first
block of 16 bytes depends on the initialisation vector, so that one is not compared: any bytes would
be right under some vector.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pipelines.record.rebuild import content_of

_BLOCK: Final = 16
_WINDOW: Final = 64
"""Segments before and behind the expected one that are tried."""

Line = Mapping[str, Any]


def decrypted(stream: BinaryIO, warc: Path, answers: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """(segments in the file's order, keys used) if they fill the file, else two empty lists. Raises OSError."""
    size = os.fstat(stream.fileno()).st_size
    keys = [(line, b"".join(content_of(warc, line))) for line in answers if line["content_size"] == _BLOCK]
    left = [line for line in answers if line["content_size"] % _BLOCK == 0 and not line.get("truncated")]
    used: list[Line] = []
    with_keys: dict[str, Line] = {}
    at = 0
    while keys and at < size:
        for line, (named, key) in ((line, one) for line in left[:_WINDOW] for one in keys):
            length = _fits(stream, at, content_of(warc, line), key)
            if length:
                used.append(line)
                left.remove(line)
                with_keys[named["id"]] = named
                at += length
                break
        else:
            return [], []
    return used, list(with_keys.values())


def _fits(stream: BinaryIO, at: int, content: Iterator[bytes], key: bytes) -> int:
    """How many bytes of the file from `at` on are the content, decrypted and without its padding; 0 if not."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(_BLOCK))).decryptor()
    stream.seek(at)
    length, held = 0, b""
    for piece in content:
        plain = held + decryptor.update(piece)
        plain, held = plain[:-_BLOCK], plain[-_BLOCK:]  # the padding is in the last block
        if stream.read(len(plain))[0 if length else _BLOCK :] != plain[0 if length else _BLOCK :]:
            return 0
        length += len(plain)
    padding = held[-1] if held else 0
    last = held[: _BLOCK - padding]
    fits = 1 <= padding <= _BLOCK < length and stream.read(len(last)) == last
    return length + len(last) if fits else 0
