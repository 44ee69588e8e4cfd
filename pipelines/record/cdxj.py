"""Which record answers for which request when a WARC is replayed, as CDXJ (webrecorder's form), sorted.

    org,example)/ 20261123081300 {"url":"https://example.org/","mime":"text/html","status":"200",
    "digest":"sha256:…","length":"420","offset":"911","filename":"….warc.gz"}

One row for each URL, and for a POST or PUT each body with it ("method" and "requestBody" then); HEAD,
OPTIONS and what else a replayer never asks for are left out. Where several answers came, the best is
filed: one that is there at all before a 304; the browser's HTML before anybody else's; a whole body before
a part; 200 before 206; what the browser got before what yt-dlp got; a success before an error; the first.
A redirect is whole, for nobody reads its body. Files of ours stand under their `urn:`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from warcio.archiveiterator import ArchiveIterator
from warcio.timeutils import iso_date_to_timestamp

from pipelines.record.heads import parse_head
from pipelines.record.index import read_at_most, read_head, read_index
from pipelines.record.post_query import BODY_MAX, METHODS, sent_query, with_query
from pipelines.record.surt import surt

_BROWSER: Final = "chromium"

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Row:
    """One line of the index; they sort as a replayer's search expects."""

    key: str
    moment: str
    """UTC as `yyyymmddhhmmss`."""
    fields: str
    """JSON, in ASCII."""
    url: str
    date: str
    """WARC-Date of the record."""

    def __str__(self) -> str:
        return f"{self.key} {self.moment} {self.fields}\n"


def replay_rows(warc: Path) -> list[Row]:
    """The rows of a WARC, sorted. Raises OSError."""
    lines = read_index(warc)
    requests = {line["to"]: line for line in lines if line["type"] == "request"}
    best: dict[tuple[str, str, str], tuple[Line, str]] = {}
    for line in lines:
        if line["type"] not in {"response", "resource"} or line.get("status", 200) < HTTPStatus.OK:
            continue
        request = requests.get(line["id"], {})
        method = request.get("method", "GET")
        if method not in {"GET", *METHODS}:
            continue
        query, body = sent_query(*_sent(warc, request)) if method in METHODS else ("", "")
        held = best.setdefault((line["uri"], method, body), (line, query))
        if _rank(line) < _rank(held[0]):
            best[line["uri"], method, body] = line, query
    return sorted(_row(warc.name, *asked, *answer) for asked, answer in best.items())


def _rank(line: Line) -> tuple[bool | int | str, ...]:
    """The smaller, the better."""
    status = line.get("status", HTTPStatus.OK)
    moved = 300 <= status < 400 and status != HTTPStatus.NOT_MODIFIED  # noqa: PLR2004  # RFC 9110 §15.4
    cut = not moved and ("truncated" in line or "part" in line)
    other = line.get("client") != _BROWSER
    return (
        status == HTTPStatus.NOT_MODIFIED,
        other and "html" in line["mime"],
        cut,
        status == HTTPStatus.PARTIAL_CONTENT,
        other,
        status != HTTPStatus.OK,
        line.get("range_start", 0),
        -line["size"] if cut else 0,
        line["date"],
    )


def _row(warc: str, url: str, method: str, body: str, line: Line, query: str) -> Row:
    fields = {
        "url": url,
        "mime": line["mime"].partition(";")[0],
        **({"status": str(line["status"])} if "status" in line else {}),
        "digest": f"sha256:{line.get('payload') or line['block']}",
        "length": str(line["length"]),
        "offset": str(line["offset"]),
        "filename": warc,
        **({"method": method, "requestBody": body} if method != "GET" else {}),
    }
    key = surt(url if method == "GET" else with_query(url, method, query))
    return Row(key, iso_date_to_timestamp(line["date"]), json.dumps(fields), url, line["date"])


def _sent(warc: Path, request: Line) -> tuple[str, bytes]:
    """Content-Type and body of a request, of a long one the beginning."""
    with warc.open("rb") as stream:
        stream.seek(request["offset"])
        raw = next(iter(ArchiveIterator(stream, no_record_parse=True))).raw_stream
        head = parse_head(read_head(raw))
        return head.get("content-type"), read_at_most(raw, BODY_MAX)
