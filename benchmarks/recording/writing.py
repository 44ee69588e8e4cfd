"""Writing video into a WARC: ours, warcio's default, and the floor of a copy and a SHA-256, per CPU second.

    python -m benchmarks.recording.writing ours|warcio|floor MEGABYTES      prints CPU seconds

What arrives is what a socket gives: pieces of 64 KiB; ours spools, hashes and writes them as for any
exchange. warcio does what `WARCWriter` does by default: gzip level 9 and its own two digests.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipelines.record.exchange import Exchange, Layer, Network
from pipelines.record.sink import WarcSink

_PIECE: Final = 1 << 16
_URL: Final = "http://posts.example/media/big.mp4"
_TYPE: Final = "video/mp4"


def pieces(megabytes: int) -> Iterator[bytes]:
    """Noise, as coded video is to a compressor."""
    noise = random.Random(7).randbytes(64 * _PIECE)  # noqa: S311
    for number in range(megabytes * 1_000_000 // _PIECE):
        at = (number * 40961) % (63 * _PIECE)
        yield noise[at : at + _PIECE]


def ours(folder: Path, megabytes: int) -> None:
    """As yt-dlp's and Chromium's taps do: body spool, then the sink."""
    size = megabytes * 1_000_000 // _PIECE * _PIECE
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {_TYPE}\r\nContent-Length: {size}\r\n\r\n".encode()
    sink = WarcSink(
        folder / "ours.warc.gz", capture_id="01KAR5Q8Z41X7JQ9D2N6V0H3GT", warcinfo={}, spool=folder
    )
    spool = sink.spool(head, content=True)
    for piece in pieces(megabytes):
        spool.write(piece)
    exchange = Exchange(
        client="yt-dlp", url=_URL, method="GET", started=datetime.now(UTC), layer=Layer.H1_BYTES,
        request_head=b"GET /media/big.mp4 HTTP/1.1\r\nHost: posts.example\r\n\r\n", request_body=None,
        response_head=head, response_body=spool.close(), network=Network(ip="127.0.0.1"),
    )  # fmt: skip
    sink.write_exchange(exchange)
    sink.close()


def warcio(folder: Path, megabytes: int) -> None:
    """A spool file, then warcio as its documentation has it."""
    spooled = folder / "body"
    with spooled.open("wb") as body:
        for piece in pieces(megabytes):
            body.write(piece)
    headers = [("Content-Type", _TYPE), ("Content-Length", str(spooled.stat().st_size))]
    with (folder / "warcio.warc.gz").open("wb") as out, spooled.open("rb") as body:
        writer = WARCWriter(out)
        told = StatusAndHeaders("200 OK", headers, protocol="HTTP/1.1")
        writer.write_record(writer.create_warc_record(_URL, "response", payload=body, http_headers=told))
        asked = StatusAndHeaders("GET /media/big.mp4 HTTP/1.1", [("Host", "posts.example")], is_http_request=True)
        writer.write_record(writer.create_warc_record(_URL, "request", payload=io.BytesIO(), http_headers=asked))
        out.flush()
        os.fsync(out.fileno())


def floor(folder: Path, megabytes: int) -> None:
    """The bytes into one file, and their SHA-256, in one pass."""
    digest = hashlib.sha256()
    with (folder / "copy").open("wb") as out:
        for piece in pieces(megabytes):
            digest.update(piece)
            out.write(piece)
        os.fsync(out.fileno())


def main() -> None:
    """Run one."""
    what, megabytes = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="akashi-bench-") as name:
        list(pieces(2))
        before = os.times()
        {"ours": ours, "warcio": warcio, "floor": floor}[what](Path(name), megabytes)
        after = os.times()
    print(after.user + after.system - before.user - before.system)


if __name__ == "__main__":
    main()
