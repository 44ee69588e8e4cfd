"""Files out of a WARC: the content of one record, or a media file from the records that hold it.

A media file is the content of its records in order. After a record that was cut off, the next one
may begin earlier than the cut (a client resumes from what it had written, not from what had
arrived): then only so much of the first counts as the second's Content-Range says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

from warcio.archiveiterator import ArchiveIterator

from evidence.errors import WarcError
from pipelines.record.decoding import ContentDecoder, UndecodableError
from pipelines.record.heads import parse_head
from pipelines.record.index import read_index

_READ: Final = 1 << 18
_HEAD_MAX: Final = 1 << 20

Line = Mapping[str, Any]


def write_body(warc: Path, record_id: str, path: Path) -> None:
    """Write the content of one record to `path`. Raises WarcError when it is not there, OSError."""
    _write(path, content_of(warc, _lines(warc, [record_id])[0]))


def rebuild_media(warc: Path, record_ids: Sequence[str], path: Path) -> None:
    """Write a media file from its records to `path`; compare its digest then. Raises WarcError, OSError."""
    lines = _lines(warc, record_ids)
    contents = (
        content_of(warc, line) if keep is None else first_bytes(content_of(warc, line), keep)
        for line, keep in zip(lines, kept(lines), strict=True)
    )
    _write(path, chain.from_iterable(contents))


def kept(lines: Sequence[Line]) -> list[int | None]:
    """How many bytes of each record's content count; None: all of it."""
    sizes: list[int | None] = []
    for number, line in enumerate(lines):
        after = lines[number + 1] if number + 1 < len(lines) else {}
        resumed = after.get("range_start")
        cut_back = line.get("truncated") and resumed is not None
        sizes.append(max(resumed - line.get("range_start", 0), 0) if cut_back else None)
    return sizes


def content_of(warc: Path, line: Line) -> Iterator[bytes]:
    """The content of a record: of an HTTP message its body without framing and codings, else its block.

    A body that does not follow its stated coding comes as it is stored. Raises WarcError, OSError.
    """
    with warc.open("rb") as stream:
        stream.seek(line["offset"])
        record = next(iter(ArchiveIterator(stream, no_record_parse=True)), None)
        if record is None or record.rec_headers.get_header("WARC-Record-ID") != line["id"]:
            raise WarcError(f"no record {line['id']}", rule="record-at-offset", offset=line["offset"])
        if record.rec_type not in {"request", "response"}:
            yield from _pieces(record.raw_stream)
            return
        decoder = ContentDecoder(parse_head(_head(record.raw_stream)))
        try:
            for piece in _pieces(record.raw_stream):
                yield from decoder.feed(piece)
        except UndecodableError as error:
            raise WarcError(
                f"record {line['id']}: {error}", rule="content-coding", offset=line["offset"]
            ) from error


def first_bytes(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The first `size` bytes, in pieces."""
    while size > 0 and (piece := next(pieces, b"")):
        yield piece[:size]
        size -= len(piece)


def _lines(warc: Path, record_ids: Sequence[str]) -> list[Line]:
    stat = warc.stat()
    by_id = _by_id(warc, stat.st_mtime_ns, stat.st_size)
    missing = [one for one in record_ids if one not in by_id]
    if missing:
        raise WarcError(f"{warc.name} has no record {missing[0]}", rule="record-named")
    return [by_id[one] for one in record_ids]


@lru_cache(maxsize=4)
def _by_id(warc: Path, _changed: int, _size: int) -> dict[str, dict[str, Any]]:
    return {line["id"]: line for line in read_index(warc)}


def _head(stream: Any) -> bytes:
    lines = bytearray()
    while (line := stream.readline(_HEAD_MAX)) not in {b"", b"\r\n", b"\n"} and len(lines) < _HEAD_MAX:
        lines += line
    return bytes(lines)


def _pieces(stream: Any) -> Iterator[bytes]:
    while data := stream.read(_READ):
        yield data


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    with path.open("xb") as out:
        out.writelines(pieces)
