"""The index beside a WARC: where each record lies, one JSON line per record, in the file's order.

    {"id":"<urn:uuid:…>","offset":911,"length":420,"type":"response","uri":"https://example.org/",
     "date":"2026-11-23T08:13:00.123456Z","size":96,"block":"<sha256>",
     "client":"yt-dlp","layer":"h1-bytes","method":"GET","status":200,"mime":"video/mp4",
     "payload":"<sha256>","state":"as-received","content":"<sha256>","content_size":5,"range_start":0}

The second and third line stand in records of an exchange only; `content` only where it was digested.
The index is a convenience: a line that a kill tore or left out is made again from the WARC itself,
then without `client`, `layer`, `method`, `state` and `content`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from warcio.archiveiterator import ArchiveIterator

from pipelines.record.heads import parse_head


def index_path(warc: Path) -> Path:
    """`<warc>.index`."""
    return warc.with_name(warc.name + ".index")


def encode_line(line: Mapping[str, Any]) -> bytes:
    """One record's line, with its end."""
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"


def read_index(warc: Path) -> list[dict[str, Any]]:
    """A line for every record of `warc`, whose tail must be whole. Raises OSError."""
    path, size = index_path(warc), warc.stat().st_size
    written = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    lines = [json.loads(line) for line in written]
    lines = [line for line in lines if line["offset"] + line["length"] <= size]
    end = lines[-1]["offset"] + lines[-1]["length"] if lines else 0
    return [*lines, *_lines_from(warc, end)] if end < size else lines


def _lines_from(warc: Path, start: int) -> Iterator[dict[str, Any]]:
    """Lines of the records behind `start`, read from the WARC."""
    with warc.open("rb") as stream:
        stream.seek(start)
        records = ArchiveIterator(stream, no_record_parse=True)
        for record in records:
            header = record.rec_headers.get_header
            http = record.rec_type in {"request", "response"}
            head = parse_head(b"".join(_head_lines(record.raw_stream)) if http else b"")
            line = {
                "id": header("WARC-Record-ID"),
                "offset": records.get_record_offset(),
                "length": records.get_record_length(),
                "type": record.rec_type,
                "uri": header("WARC-Target-URI") or "",
                "date": header("WARC-Date"),
                "size": int(header("Content-Length")),
                "block": (header("WARC-Block-Digest") or "").removeprefix("sha256:"),
            }
            if http:
                payload = (header("WARC-Payload-Digest") or "").removeprefix("sha256:")
                line |= {"status": head.status, "mime": head.mime, "payload": payload}
            yield line


def _head_lines(stream: Any) -> Iterator[bytes]:
    while (line := stream.readline(1 << 16)) not in {b"", b"\r\n"}:
        yield line
