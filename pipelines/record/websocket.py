"""What crossed a WebSocket, frame by frame, as lines of JSON (RFC 6455 §5.2; docs/formats/warc.md).

    {"time":"2026-11-23T08:13:00.123Z","from":"client","head":"818537fa213d","opcode":1,"final":true,"payload":"SGk="}

`head` are the frame's first bytes as they crossed, its mask in them; `payload` is unmasked, and deflated
where it came deflated (RFC 7692). Both give the frame's bytes back. Memory holds 64 KiB of a frame:
what goes on beyond has lines of its own, without `head`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from evidence.canonical import utc
from pipelines.record.exchange import Body, BodyState
from pipelines.record.spool import BodySpool

PIECE: Final = 1 << 16
"""Bytes of payload in one line; a multiple of the mask's four."""
_MASKED, _LENGTH, _FINAL, _OPCODE = 0x80, 0x7F, 0x80, 0x0F
_WIDTHS: Final = {126: 2, 127: 8}
_CLOSE: Final = 8


class Frames:
    """Takes the bytes of both sides and keeps them as lines in `spool`."""

    def __init__(self, spool: BodySpool) -> None:
        self._spool = spool
        self._sides = {"client": _Side(), "server": _Side()}
        self._last: datetime | None = None

    def take(self, sender: str, data: bytes | bytearray, moment: datetime) -> None:
        """Bytes that `sender` (client, server) sent. Raises OSError."""
        self._last = moment
        for line in self._sides[sender].take(data):
            self._write(sender, line)

    def close(self, why: str) -> Body:
        """The lines at rest: cut short by `why` unless one side has closed the WebSocket."""
        for sender, side in self._sides.items():
            if rest := side.rest():
                self._write(sender, rest)
        closed = any(side.closed for side in self._sides.values())
        return self._spool.close() if closed else self._spool.close(BodyState.TRUNCATED, why)

    def _write(self, sender: str, line: dict[str, Any]) -> None:
        stated = {"time": utc(self._last) if self._last else "", "from": sender, **line}
        self._spool.write(json.dumps(stated, separators=(",", ":")).encode("ascii") + b"\n")


class _Side:
    """The frames of one side, told apart."""

    def __init__(self) -> None:
        self.closed = False
        self._buffer = bytearray()
        self._begun: dict[str, Any] = {}
        self._mask = b""
        self._left = -1
        """Payload of the frame that is still to come; -1 before its head."""

    def take(self, data: bytes | bytearray) -> Iterator[dict[str, Any]]:
        """The lines that `data` completes."""
        self._buffer += data
        while self._left >= 0 or self._begin():
            if len(self._buffer) < min(self._left, PIECE):
                return
            yield self._piece(min(self._left, PIECE))

    def rest(self) -> dict[str, Any]:
        """A line for the bytes of a frame, or of its head, that never became whole; empty when there are none."""
        if self._left < 0:
            return {"head": self._buffer.hex()} if self._buffer else {}
        return self._piece(len(self._buffer))

    def _begin(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:  # noqa: PLR2004  # flags and length
            return False
        width = _WIDTHS.get(buffer[1] & _LENGTH, 0)
        end = 2 + width + (4 if buffer[1] & _MASKED else 0)
        if len(buffer) < end:
            return False
        head = bytes(buffer[:end])
        del buffer[:end]
        self._left = int.from_bytes(head[2 : 2 + width], "big") if width else head[1] & _LENGTH
        self._mask = head[2 + width :]
        opcode = head[0] & _OPCODE
        self.closed |= opcode == _CLOSE
        self._begun = {"head": head.hex(), "opcode": opcode, "final": bool(head[0] & _FINAL)}
        return True

    def _piece(self, size: int) -> dict[str, Any]:
        payload = bytes(self._buffer[:size])
        del self._buffer[:size]
        if self._mask:
            mask = (self._mask * (size // 4 + 1))[:size]
            payload = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
        line, self._begun = self._begun, {}
        self._left -= size
        self._left = self._left or -1
        return {**line, "payload": base64.b64encode(payload).decode("ascii")}
