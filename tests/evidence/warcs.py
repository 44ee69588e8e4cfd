"""WARC records written by hand, not by the recorder: the checks must not share its mistakes."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Final

DATE: Final = "2026-11-23T08:13:01.000000Z"
RESPONSE_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"


Pack = Callable[[bytes], bytes]


def record_id(number: int) -> str:
    return f"<urn:uuid:00000000-0000-4000-8000-{number:012x}>"


def deflated(content: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(content) + packer.flush()


def stored(content: bytes, block: int = 65535) -> bytes:
    parts = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    for start in range(0, len(content), block):
        piece = content[start : start + block]
        parts.append(struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF) + piece)
    trailer = struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    return b"".join([*parts, b"\x01\x00\x00\xff\xff", trailer])


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def headers_of(
    number: int,
    kind: str,
    block: bytes,
    *,
    uri: str = "",
    content_type: str = "",
    payload: bytes | None = None,
) -> list[tuple[str, str]]:
    fields = [
        ("WARC-Type", kind),
        ("WARC-Record-ID", record_id(number)),
        ("WARC-Date", DATE),
        ("WARC-Target-URI", uri),
        ("Content-Type", content_type),
        ("WARC-Block-Digest", sha256(block)),
        ("WARC-Payload-Digest", sha256(payload) if payload is not None else ""),
        ("Content-Length", str(len(block))),
    ]
    return [(name, value) for name, value in fields if value]


def content(fields: Sequence[tuple[str, str]], block: bytes, end: bytes = b"\r\n\r\n") -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return b"WARC/1.1\r\n" + lines.encode() + b"\r\n" + block + end


def resource(
    number: int, uri: str, block: bytes, content_type: str = "application/json", pack: Pack = deflated
) -> bytes:
    return pack(content(headers_of(number, "resource", block, uri=uri, content_type=content_type), block))


def response(number: int, uri: str, payload: bytes, head: bytes = RESPONSE_HEAD) -> bytes:
    block = head + payload
    fields = headers_of(
        number, "response", block, uri=uri, content_type="application/http; msgtype=response", payload=payload
    )
    return stored(content(fields, block), block=512)


def request(number: int, uri: str, pack: Pack = deflated) -> bytes:
    block = b"GET /v.mp4 HTTP/1.1\r\nHost: video.example\r\n\r\n"
    fields = headers_of(
        number, "request", block, uri=uri, content_type="application/http; msgtype=request", payload=b""
    )
    fields.insert(3, ("WARC-Concurrent-To", record_id(number - 1)))
    return pack(content(fields, block))


def warcinfo(pack: Pack = deflated) -> bytes:
    block = b"software: Akashi/0.1.0\r\nformat: WARC File Format 1.1\r\n"
    return pack(content(headers_of(1, "warcinfo", block, content_type="application/warc-fields"), block))
