"""What a segment says, in few bytes: so it comes from another process, and so millions of entries are kept.

capture.started     index, type, subject, time
capture.completed   the same, the index of its start, and the prints of its objects' keys
key.added, …        the same, and the entry's bytes: what is few is kept whole
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from evidence.audit_prints import print_of
from evidence.entry import CLOSING, CRAWL_ENDED, Entry, chain
from evidence.errors import SegmentError
from evidence.segment import parse_segment

STARTS: Final = frozenset({"capture.started", "crawl.started"})
ENDS: Final = frozenset({*CLOSING, CRAWL_ENDED})


class Told(NamedTuple):
    """What is kept of an entry while millions pass.

    `started` is what an end names; `rest` of a start the print of its subject, of an end the prints of
    its objects' keys, of any other entry its bytes.
    """

    entry: int
    type: str
    subject: str
    time: str
    started: int
    rest: bytes


Reading: TypeAlias = tuple[int, str, str, bytes, list[tuple[int, str, str, str, int, bytes]]]
"""First index, `prev` of the first, leaf hash of the last (hex), all leaf hashes, and what its entries tell."""


def read_segment(key: bytes, job: tuple[int, bytes]) -> Reading | None:
    """One segment's bytes, read with every rule that it has within itself; None if one breaks."""
    first, data = job
    try:
        segment = parse_segment(data)
    except SegmentError:
        return None
    if segment.first != first:
        return None
    last = chain(segment.entries[-1].data)
    leaves = bytes.fromhex("".join(line.entry.prev for line in segment.entries[1:]) + last)
    told = [tell(line.entry, line.data, key)[:] for line in segment.entries]
    return first, segment.entries[0].entry.prev, last, leaves, told


def tell(entry: Entry, data: bytes, key: bytes) -> Told:
    """What is kept of an entry."""
    started, rest = -1, data
    if entry.type in STARTS:
        rest = print_of(entry.subject, key)
    elif entry.type in ENDS:
        started = entry.ended["started"]
        rest = b"".join(print_of(item["key"], key) for item in entry.ended["objects"])
    return Told(entry.index, entry.type, entry.subject, entry.time, started, rest)
