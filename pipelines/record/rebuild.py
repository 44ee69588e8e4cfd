"""Files out of a WARC: the content of one record, or a media file from the records that hold it.

A media file is the content of its records in order. After a record that was cut off, the next one
may begin earlier than the cut (a client resumes from what it had written, not from what had
arrived): then only so much of the first counts as the second's Content-Range says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from warcio.archiveiterator import ArchiveIterator

from evidence.errors import WarcError
from pipelines.record.decoding import ContentDecoder, UndecodableError
from pipelines.record.heads import Head, parse_head
from pipelines.record.index import HTTP, read_head, read_index

_READ: Final = 1 << 18

Line = Mapping[str, Any]


def write_body(warc: Path, record_id: str, path: Path) -> None:
    """Write the content of one record to `path`. Raises WarcError when it is not there, OSError."""
    rebuild_media(warc, [record_id], path)


def rebuild_media(warc: Path, record_ids: Sequence[str], path: Path) -> None:
    """Write a media file from its records to `path`; compare its digest then. Raises WarcError, OSError."""
    by_id = _by_id(warc)
    missing = [one for one in record_ids if one not in by_id]
    if missing:
        raise WarcError(f"{warc.name} has no record {missing[0]}", rule="record-named")
    lines = [by_id[one] for one in record_ids]
    with path.open("xb") as out:
        for line, keep in zip(lines, kept(lines), strict=True):
            out.writelines(content_of(warc, line, keep))


def kept(lines: Sequence[Line]) -> list[int | None]:
    """How many bytes of each record's content count; None: all of it."""
    sizes: list[int | None] = []
    for line, after in zip(lines, [*lines[1:], {}], strict=False):
        resumed = after.get("range_start")
        cut_back = line.get("truncated") and resumed is not None
        sizes.append(max(resumed - line.get("range_start", 0), 0) if cut_back else None)
    return sizes


def content_of(warc: Path, line: Line, keep: int | None = None) -> Iterator[bytes]:
    """The content of a record, or its first `keep` bytes, in pieces.

    Of an HTTP message it is the body without framing and codings, else the block. Raises WarcError, OSError.
    """
    with warc.open("rb") as stream:
        stream.seek(line["offset"])
        record = next(iter(ArchiveIterator(stream, no_record_parse=True)))
        raw = record.raw_stream
        decoder = ContentDecoder(parse_head(read_head(raw)) if record.rec_type in HTTP else Head(0, ()))
        left = sys.maxsize if keep is None else keep
        try:
            while left and (data := raw.read(_READ)):
                for piece in decoder.feed(data):
                    yield piece[:left]
                    left -= min(len(piece), left)
        except UndecodableError as error:
            raise WarcError(
                f"record {line['id']}: {error}", rule="content-coding", offset=line["offset"]
            ) from error


@lru_cache(maxsize=1)
def _by_id(warc: Path) -> dict[str, dict[str, Any]]:
    """A WARC at rest is read once for all files out of it."""
    return {line["id"]: line for line in read_index(warc)}
