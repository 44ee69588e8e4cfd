"""Which field of a canonical JSON document a byte belongs to: how a changed byte gets a name.

{"media":[{"bytes":17}],"v":1}
                   ^ offset 20 is in media[0].bytes
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_OPEN: Final = b"{["
_CLOSE: Final = b"}]"
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C


def field_at(document: bytes, offset: int) -> str:
    """The path of the innermost value that covers the byte, key and comma included; empty: outer braces.

    `document` must be canonical JSON (`canonical.parse` accepts it).
    """
    start, path = 0, ""
    while True:
        for name, key_start, value_start, end in _members(document, start):
            if key_start <= offset < end + (document[end : end + 1] == b","):
                path = f"{path}{name}" if name.startswith("[") else f"{path}.{name}".lstrip(".")
                if not value_start <= offset < end:
                    return path
                start = value_start
                break
        else:
            return path


def _members(document: bytes, start: int) -> Iterator[tuple[str, int, int, int]]:
    """(name, start with its key, start of the value, end) of each member of the container at `start`."""
    kind = document[start : start + 1]
    if kind not in (b"{", b"["):
        return
    position, number = start + 1, 0
    while document[position] not in _CLOSE:
        value_start, name = position, f"[{number}]"
        if kind == b"{":
            key_end = _end(document, position)
            name, value_start = document[position + 1 : key_end - 1].decode(), key_end + 1
        end = _end(document, value_start)
        yield name, position, value_start, end
        position, number = end + (document[end] == ord(",")), number + 1


def _end(document: bytes, start: int) -> int:
    """Where the value that starts at `start` ends."""
    if document[start] == _QUOTE:
        return _end_of_text(document, start)
    if document[start] not in _OPEN:
        position = start
        while position < len(document) and document[position] not in b",]}":
            position += 1
        return position
    depth, position = 0, start
    while True:
        byte = document[position]
        if byte == _QUOTE:
            position = _end_of_text(document, position)
            continue
        depth += (byte in _OPEN) - (byte in _CLOSE)
        position += 1
        if depth == 0:
            return position


def _end_of_text(document: bytes, start: int) -> int:
    position = start + 1
    while document[position] != _QUOTE:
        position += 2 if document[position] == _BACKSLASH else 1
    return position + 1
