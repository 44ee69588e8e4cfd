"""Writing video into a WARC, by CPU time: ours, warcio's default, and a copy with its SHA-256.

    python -m benchmarks.recording.writing floor|ours|tapped|warcio MEGABYTES      prints {"cpu": seconds}

The body is noise, as coded video is to a compressor, and lies in a file. `ours` and `warcio` do the
same: one response record with block and payload digest, one request record, fsync.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from pipelines.record.exchange import Body, Exchange, Network
from pipelines.record.sink import WarcSink

_PIECE: Final = 1 << 16
_URL: Final = "http://posts.example/media/big.mp4"
_TYPE: Final = "video/mp4"


def ours(folder: Path, spooled: Path) -> None:
    """A body at rest into a response record with both digests, as the sink writes every exchange."""
    path = folder / "ours.warc.gz"
    sink = _sink(path)
    sink.write_exchange(_exchange(Body(spooled.stat().st_size, path=spooled)))
    with path.open("rb") as out:
        os.fsync(out.fileno())


def tapped(folder: Path, spooled: Path) -> None:
    """All that a capture does with a video's bytes.

    Spool and digests as they arrive in pieces, the record, SHA-256 and SHA-512 of the WARC itself.
    """
    sink = _sink(folder / "tapped.warc.gz")
    size = spooled.stat().st_size
    spool = sink.spool(_head(size), content=True)
    with spooled.open("rb") as body:
        while piece := body.read(_PIECE):
            spool.write(piece)
    sink.write_exchange(_exchange(spool.close()))
    sink.close()


def _sink(path: Path) -> WarcSink:
    return WarcSink(path, capture_id="01KAR5Q8Z41X7JQ9D2N6V0H3GT", warcinfo={}, spool=path.parent)


def _head(size: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {_TYPE}\r\nContent-Length: {size}\r\n\r\n".encode()


def _exchange(body: Body) -> Exchange:
    return Exchange(
        client="yt-dlp", url=_URL, method="GET", started=datetime.now(UTC),
        request_head=b"GET /media/big.mp4 HTTP/1.1\r\nHost: posts.example\r\n\r\n",
        response_head=_head(body.size), response_body=body, network=Network(ip="127.0.0.1"),
    )  # fmt: skip


def warcio(folder: Path, spooled: Path) -> None:
    """The same into the same records by warcio's `WARCWriter` as it is: gzip level 9, SHA-1 twice."""
    headers = [("Content-Type", _TYPE), ("Content-Length", str(spooled.stat().st_size))]
    with (folder / "warcio.warc.gz").open("wb") as out, spooled.open("rb") as body:
        writer = WARCWriter(out)
        told = StatusAndHeaders("200 OK", headers, protocol="HTTP/1.1")
        writer.write_record(writer.create_warc_record(_URL, "response", payload=body, http_headers=told))
        asked = StatusAndHeaders(
            "GET /media/big.mp4 HTTP/1.1", [("Host", "posts.example")], is_http_request=True
        )
        writer.write_record(
            writer.create_warc_record(_URL, "request", payload=io.BytesIO(), http_headers=asked)
        )
        out.flush()
        os.fsync(out.fileno())


def floor(folder: Path, spooled: Path) -> None:
    """What `cp` and `sha256sum` do, in one pass."""
    digest = hashlib.sha256()
    with (folder / "copy").open("wb", buffering=0) as out, spooled.open("rb", buffering=0) as body:
        while piece := body.read(_PIECE):
            digest.update(piece)
            out.write(piece)
        os.fsync(out.fileno())


def main() -> None:
    """Run one."""
    what, megabytes = sys.argv[1], int(sys.argv[2])
    runs = {"floor": floor, "ours": ours, "tapped": tapped, "warcio": warcio}
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="akashi-bench-") as name:
        folder = Path(name)
        spooled = folder / "body"
        spooled.write_bytes(random.Random(7).randbytes(megabytes * 1_000_000))  # noqa: S311
        before = os.times()
        runs[what](folder, spooled)
        after = os.times()
    print(json.dumps({"cpu": after.user + after.system - before.user - before.system}))


if __name__ == "__main__":
    main()
