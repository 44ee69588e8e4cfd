"""The index beside a WARC: where each record lies, one JSON line per record, in the file's order.

    {"id":"<urn:uuid:…>","offset":911,"length":420,"type":"response","uri":"https://example.org/",
     "date":"2026-11-23T08:13:00.123456Z","size":96,"block":"<sha256>","status":200,"mime":"video/mp4",
     "payload":"<sha256>","range_start":0,"truncated":"disconnect",
     "client":"yt-dlp","layer":"h1-bytes","method":"GET","state":"as-received","content":"<sha256>","content_size":5}

What an exchange alone has stands there only; `range_start` where a 206 answer states it, `to` in a
request names its response. The index is a convenience: lines that a kill tore or left out, or all
of them, are made again from the WARC itself, without the last row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from warcio.archiveiterator import ArchiveIterator
from warcio.timeutils import iso_date_to_timestamp

from pipelines.record.heads import Head, parse_head

INDEXED: Final = {"WARC-Truncated": "truncated", "WARC-Concurrent-To": "to"}
"""Record headers of an exchange that its index line states, and under which key."""
_HTTP: Final = frozenset({"request", "response"})


def index_path(warc: Path) -> Path:
    """`<warc>.index`."""
    return warc.with_name(warc.name + ".index")


def encode_line(line: Mapping[str, Any]) -> bytes:
    """One record's line, with its end."""
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"


def facts_of_head(head: Head) -> dict[str, Any]:
    """What an index line states of an HTTP head."""
    facts: dict[str, Any] = {"status": head.status, "mime": head.mime}
    return facts if head.range_start is None else {**facts, "range_start": head.range_start}


def read_index(warc: Path) -> list[dict[str, Any]]:
    """A line for every record of `warc`, whose tail must be whole. Raises OSError."""
    path, size = index_path(warc), warc.stat().st_size
    written = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    lines = [json.loads(line) for line in written]
    lines = [line for line in lines if line["offset"] + line["length"] <= size]
    end = lines[-1]["offset"] + lines[-1]["length"] if lines else 0
    return [*lines, *_lines_from(warc, end)] if end < size else lines


def cdxj_of(warc: Path) -> str:
    """The index as CDXJ (webrecorder's form), sorted; answers to anything but GET are left out.

        org,example)/ 20261123081300 {"url":"https://example.org/","mime":"text/html","status":"200",
        "digest":"sha256:…","length":"420","offset":"911","filename":"….warc.gz"}

    Raises OSError.
    """
    lines = read_index(warc)
    other = {line["to"] for line in lines if line.get("to") and line.get("method") != "GET"}
    rows = []
    for line in lines:
        if line["type"] not in {"response", "resource"} or line["id"] in other:
            continue
        fields = {
            "url": line["uri"],
            "mime": line["mime"],
            **({"status": str(line["status"])} if "status" in line else {}),
            "digest": f"sha256:{line.get('payload') or line['block']}",
            "length": str(line["length"]),
            "offset": str(line["offset"]),
            "filename": warc.name,
        }
        moment = iso_date_to_timestamp(line["date"])
        rows.append(f"{_sort_key(line['uri'])} {moment} {json.dumps(fields, ensure_ascii=False)}\n")
    return "".join(sorted(rows))


def _lines_from(warc: Path, start: int) -> Iterator[dict[str, Any]]:
    """Lines of the records behind `start`, read from the WARC."""
    with warc.open("rb") as stream:
        stream.seek(start)
        records = ArchiveIterator(stream, no_record_parse=True)
        for record in records:
            header = record.rec_headers.get_header
            raw = b"".join(_head_lines(record.raw_stream)) if record.rec_type in _HTTP else b""
            line = {
                "id": header("WARC-Record-ID"),
                "offset": records.get_record_offset(),
                "length": records.get_record_length(),
                "type": record.rec_type,
                "uri": header("WARC-Target-URI") or "",
                "date": header("WARC-Date"),
                "size": int(header("Content-Length")),
                "block": _hex(header("WARC-Block-Digest")),
            }
            if record.rec_type in _HTTP:
                line |= {**facts_of_head(parse_head(raw)), "payload": _hex(header("WARC-Payload-Digest"))}
            else:
                line["mime"] = header("Content-Type")
            if record.rec_type == "request":
                line |= {
                    "method": raw.partition(b" ")[0].decode("latin-1"),
                    "to": header("WARC-Concurrent-To"),
                }
            if header("WARC-Truncated"):
                line["truncated"] = header("WARC-Truncated")
            yield line


def _head_lines(stream: Any) -> Iterator[bytes]:
    while (line := stream.readline(1 << 16)) not in {b"", b"\r\n", b"\n"}:
        yield line


def _hex(labelled: str | None) -> str:
    return (labelled or "").removeprefix("sha256:")


def _sort_key(uri: str) -> str:
    """The URI with its host turned round (SURT), so that a domain's pages stand together."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port
    except ValueError:
        return uri.lower()
    if not host:
        return uri.lower()
    turned = ",".join(reversed(host.removeprefix("www.").split("."))) + (f":{port}" if port else "")
    query = "&".join(sorted(parts.query.split("&")))
    return f"{turned}){parts.path or '/'}{'?' if query else ''}{query}".lower()
