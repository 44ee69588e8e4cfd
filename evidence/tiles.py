r"""Where the tree and the entries lie for strangers (c2sp.org/tlog-tiles v0.1.0), and their bytes.

    tile/0/x001/x234/067          level 0, tile 1234067: 256 leaf hashes, 8192 bytes, nothing between
    tile/1/000.p/17               level 1: 17 hashes, each the root over a full tile of level 0
    tile/entries/x001/234         entries 315,904 to 316,159: length in 2 bytes, big-endian, and bytes
                                  01 5a  {"body":{…},"index":315904,…}  01 5a  {"body":…

A tree of 70,000 entries has 273 full tiles on level 0 and one of 112 hashes, on level 1 one full and
one of 17, on level 2 one of 1; its bundles are as its level 0. In the store all of it lies under
`ledger/`, beside `ledger/checkpoint`: that is the log's prefix. Nothing here is trusted, since a tile
holds no signature: it counts only as far as it leads to a checkpoint's root (evidence/proof.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from evidence.entry import MAX_ENTRY
from evidence.errors import ProofError
from evidence.tree import HASH_BYTES

PREFIX: Final = "ledger/"
"""What stands before every path below, and before `checkpoint`, in the store."""
WIDTH: Final = 256
"""Hashes in a full tile, entries in a full bundle."""
HEIGHT: Final = 8
"""Levels of the tree that a tile spans: 2 ** 8 == 256."""

_NAME: Final = re.compile(
    r"tile/(entries|[0-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


class Place(NamedTuple):
    """Which tile: `level` is None for an entry bundle."""

    level: int | None
    number: int
    width: int

    @property
    def path(self) -> str:
        """The path below the log's prefix."""
        name = f"{self.number % 1000:03d}"
        rest = self.number // 1000
        while rest:
            name, rest = f"x{rest % 1000:03d}/{name}", rest // 1000
        level = "entries" if self.level is None else self.level
        return f"tile/{level}/{name}" + (f".p/{self.width}" if self.width < WIDTH else "")


def tile_path(level: int, number: int, width: int = WIDTH) -> str:
    """`tile/<L>/<N>[.p/<W>]`."""
    return Place(level, number, width).path


def bundle_path(number: int, width: int = WIDTH) -> str:
    """`tile/entries/<N>[.p/<W>]`."""
    return Place(None, number, width).path


def parse_path(path: str) -> Place | None:
    """The tile or bundle of which this is the one path, else None."""
    matched = _NAME.fullmatch(path)
    if matched is None:
        return None
    level = None if matched[1] == "entries" else int(matched[1])
    place = Place(level, int(re.sub(r"[x/]", "", matched[2])), int(matched[3] or WIDTH))
    return place if place.path == path else None


def places(size: int, since: int = 0) -> Iterator[Place]:
    """The tiles that a tree of `size` has and one of `since` has not, lower levels first; bundles behind their tile."""
    for level in range(64):
        old, new = since >> HEIGHT * level, size >> HEIGHT * level
        if old == new:  # nor has any level above
            return
        for number in range(old // WIDTH, -(-new // WIDTH)):
            tile = Place(level, number, min(WIDTH, new - number * WIDTH))
            yield tile
            if level == 0:
                yield tile._replace(level=None)


def decode_tile(data: bytes, width: int = WIDTH) -> list[bytes]:
    """The `width` hashes of a tile, which are nothing but set behind one another. Raises ProofError (rule `tile`)."""
    if not 0 < width <= WIDTH or len(data) != width * HASH_BYTES:
        raise ProofError(f"{len(data)} bytes are no tile of {width} hashes", rule="tile")
    return [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """The bundle of 1 to 256 entries' bytes. Raises ProofError (rule `bundle`)."""
    if not 0 < len(entries) <= WIDTH or any(len(entry) > MAX_ENTRY for entry in entries):
        raise ProofError(f"{len(entries)} entries, each below 64 KiB, do not make a bundle", rule="bundle")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int = WIDTH) -> list[bytes]:
    """The `width` entries' bytes of a bundle. Raises ProofError (rule `bundle`)."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or at + 2 > len(data):
            raise ProofError("the bundle ends within an entry", rule="bundle", offset=at)
        entries.append(data[at + 2 : end])
        at = end
    if len(entries) != width or not 0 < width <= WIDTH:
        raise ProofError(f"a bundle of {len(entries)} entries, not {width}", rule="bundle")
    return entries
