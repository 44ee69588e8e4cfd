"""The server's side of a WebSocket (RFC 6455, RFC 7692), just enough for the pages that use it."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterator

from tests.site.messages import Request
from tests.site.wire import Wire

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_FIN, _RSV1 = 0x80, 0x40


def frame(opcode: int, payload: bytes, *, fin: bool = True, deflated: bool = False) -> bytes:
    """An unmasked frame."""
    first = opcode | (_FIN if fin else 0) | (_RSV1 if deflated else 0)
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def frames(wire: Wire) -> Iterator[tuple[int, bytes]]:
    """(opcode, payload) of each of the client's frames, until it closes the connection."""
    buffer = bytearray()
    while data := wire.receive_frames():
        buffer += data
        while (parsed := _take(buffer)) is not None:
            yield parsed


def _take(buffer: bytearray) -> tuple[int, bytes] | None:
    if len(buffer) < 2:
        return None
    size, at = buffer[1] & 0x7F, 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size, at = int.from_bytes(buffer[2 : 2 + width], "big"), 2 + width
    if len(buffer) < at + 4 + size:
        return None
    key = bytes(buffer[at : at + 4])
    payload = bytes(byte ^ key[n % 4] for n, byte in enumerate(buffer[at + 4 : at + 4 + size]))
    opcode = buffer[0] & 0x0F
    del buffer[: at + 4 + size]
    return opcode, payload


def accept(wire: Wire, request: Request, *, deflate: bool = False) -> None:
    """Shake hands."""
    key = request.header("Sec-WebSocket-Key").encode()
    answer = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324  # RFC 6455 §4.2.2
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + answer,
    ]
    if deflate:
        rules = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        lines.append(b"Sec-WebSocket-Extensions: " + rules)
    wire.head(*lines)


def deflated(payload: bytes) -> bytes:
    """A message's payload by RFC 7692 §7.2.1."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def talk(wire: Wire) -> None:
    """Ping, text in fragments, a large binary message; echoes until the client says `bye`, then closes."""
    wire.send_frames(frame(PING, b"are you there"))
    wire.send_frames(frame(TEXT, "こん".encode(), fin=False) + frame(PING, b"between"))
    wire.send_frames(frame(CONTINUATION, "にちは".encode()))
    wire.send_frames(frame(BINARY, bytes(range(256)) * 1024))
    for opcode, payload in frames(wire):
        if opcode == CLOSE:  # the answer to ours
            wire.end()
        elif opcode == TEXT and payload == b"bye":
            wire.send_frames(frame(CLOSE, b"\x03\xe8and thanks"))
        elif opcode in {TEXT, BINARY}:
            wire.send_frames(frame(opcode, payload))
    wire.end()


def talk_deflated(wire: Wire) -> None:
    """Compressed both ways: greets, then answers each message until the client closes."""
    wire.send_frames(frame(TEXT, deflated("縮む縮む縮む".encode()), deflated=True))
    for opcode, payload in frames(wire):
        if opcode == CLOSE:
            wire.send_frames(frame(CLOSE, payload))
            wire.end()
        wire.send_frames(frame(opcode, payload, deflated=True))
    wire.end()


def talk_on(wire: Wire) -> None:
    """Says something for as long as the client is there (20 s at most)."""
    for n in range(100):
        wire.send_frames(frame(TEXT, b"tick %d" % n))
        if wire.receive_frames(wait=0.2) is not None:  # it leaves
            break
    wire.end()
