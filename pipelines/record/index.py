"""The index beside a WARC: where each record lies, one JSON line per record, in the file's order.

    {"id":"<urn:uuid:…>","offset":911,"length":420,"type":"response","uri":"https://example.org/",
     "date":"2026-11-23T08:13:00.123456Z","size":96,"block":"<sha256>","status":200,"mime":"video/mp4",
     "payload":"<sha256>","range_start":0,"truncated":"disconnect",
     "client":"yt-dlp","layer":"h1-bytes","state":"as-received","content":"<sha256>","content_size":5}

What an exchange alone has stands there only; `range_start` where a 206 answer states it, and `part` if
it is not the whole; a request has `method`, and in `to` its response, as have the facts beside them. The
index is a convenience: lines that a kill tore or left out, or all of them, are made again from the WARC
itself, without what the last row has of contents and of a request's body.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from warcio.archiveiterator import ArchiveIterator

from pipelines.record.heads import END, parse_head

HTTP: Final = frozenset({"request", "response"})
_FACTS_MAX: Final = 1 << 24


def index_path(warc: Path) -> Path:
    """`<warc>.index`."""
    return warc.with_name(warc.name + ".index")


def encode_line(line: Mapping[str, Any]) -> bytes:
    """One record's line, with its end."""
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"


def line_of(record: Any, offset: int, length: int, head: bytes) -> dict[str, Any]:
    """What a record's line states by its WARC header, and by its HTTP `head` where it has one."""
    stated = {name.lower(): value for name, value in record.rec_headers.headers}
    line = {
        "id": stated["warc-record-id"],
        "offset": offset,
        "length": length,
        "type": record.rec_type,
        "uri": stated.get("warc-target-uri", ""),
        "date": stated["warc-date"],
        "size": int(stated["content-length"]),
        "block": stated["warc-block-digest"].removeprefix("sha256:"),
        "mime": stated["content-type"],
    }
    if record.rec_type in HTTP:
        parsed = parse_head(head)
        line |= {"status": parsed.status, "mime": parsed.mime}
        line["payload"] = stated["warc-payload-digest"].removeprefix("sha256:")
        if parsed.range_start is not None:
            line["range_start"] = parsed.range_start
        if parsed.is_part:
            line["part"] = True
    if record.rec_type == "request":
        line["method"] = head.partition(b" ")[0].decode("latin-1")
    if record.rec_type in {"request", "metadata"}:
        line["to"] = stated.get("warc-concurrent-to")
    if "warc-truncated" in stated:
        line["truncated"] = stated["warc-truncated"]
    return line


def read_index(warc: Path) -> list[dict[str, Any]]:
    """A line for every record of `warc`, whose tail must be whole. Raises OSError."""
    path, size = index_path(warc), warc.stat().st_size
    written = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    lines = [line for line in _sound(written) if line["offset"] + line["length"] <= size]
    end = lines[-1]["offset"] + lines[-1]["length"] if lines else 0
    return [*lines, *_lines_from(warc, end)] if end < size else lines


def _sound(written: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The lines up to the first that a kill, or a loss of power, left unreadable."""
    with suppress(ValueError):
        yield from map(json.loads, written)


def _lines_from(warc: Path, start: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    under_way: dict[str, dict[str, Any]] = {}
    with warc.open("rb") as stream:
        stream.seek(start)
        records = ArchiveIterator(stream, no_record_parse=True)
        for record in records:
            head = read_head(record.raw_stream) if record.rec_type in HTTP else b""
            facts = _facts_in(record)
            line = line_of(record, records.get_record_offset(), records.get_record_length(), head)
            lines.append(line)
            if record.rec_type == "response":
                under_way = {line["id"]: line}
            elif facts and line["to"] in under_way:
                state = {"client": facts["client"], "layer": facts["layer"], "state": facts["body"]["state"]}
                under_way[line["to"]] |= state
    return lines


def _facts_in(record: Any) -> dict[str, Any]:
    """The network facts, if it is they that the record holds (docs/formats/warc.md)."""
    stated = record.rec_headers.get_header
    if (record.rec_type, stated("Content-Type")) != ("metadata", "application/json"):
        return {}
    if int(stated("Content-Length")) > _FACTS_MAX:
        return {}
    facts: dict[str, Any] = json.loads(read_at_most(record.raw_stream, _FACTS_MAX))
    return facts if "layer" in facts else {}


def read_at_most(stream: Any, size: int) -> bytes:
    """A block's next `size` bytes, fewer only where it ends."""
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def read_head(stream: Any) -> bytes:
    """The HTTP head at which a record's block begins."""
    head = b""
    while not head.endswith(END) and (line := stream.readline(1 << 16)):
        head += line
    return head
