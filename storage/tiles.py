"""The tree and the entries as strangers read them (evidence/tiles.py): written before each checkpoint, read for proofs.

    publish   ledger/tile/0/…, ledger/tile/entries/…   from the entries alone, the partial ones too
              ledger/tile/1/…, …                       once they are seen to give the checkpoint's root

Only what a tree has that the last one had not is made, and all of it is derived: whatever is missing
is made again from the entries, by the next publisher, by a proof that needs it, or by `akashi ledger
checkpoint --remake`. A tile that is there and differs is an alarm, and is never written over.

Partial bundles are written too, as the specification wants: without them a stranger saw nothing of a
log of less than 256 entries, and of no log its newest. What that costs: a capture's two entries have
1.5 kB, and at a checkpoint for each they leave 0.2 MB of partial bundles and 8 kB of partial tiles (128
captures, 25 MB and 1 MB), beside the megabytes of a video; a run that signs once for 256 entries or more
leaves next to nothing. The full tile holds what the partial ones do: they may go when their lock has run out.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import Final

from evidence.digests import digest_bytes
from evidence.errors import LedgerUnavailableError, ObjectConflictError, ProofError
from evidence.proof import consistency_path, inclusion_path, subtree
from evidence.tiles import HEIGHT, PREFIX, WIDTH, Place, decode_tile, encode_bundle, places
from evidence.tree import leaf_hash, root_of
from storage.objects import ObjectStore

_BINARY: Final = "application/octet-stream"
_AT_ONCE: Final = 8
"""Puts under way: one takes 7 to 20 ms, most of it waiting for the store's disk."""
_WAITING: Final = 64
"""Puts handed over and not done: bounds the memory of a long log that is made again."""
_CACHED: Final = 64
"""Tiles held in memory, of 8 KiB at most."""

log = logging.getLogger(__name__)


class Tiles:
    """The tiles of one log in one store. Threads may share it.

    `entries` gives the bytes of the published entries `start` … `stop - 1`.
    """

    def __init__(self, store: ObjectStore, entries: Callable[[int, int], Iterable[bytes]]) -> None:
        self._store = store
        self._entries = entries
        self._cached: OrderedDict[Place, bytes] = OrderedDict()
        self._lock = Lock()

    def publish(self, size: int, root: bytes, since: int = 0) -> None:
        """Store what a tree of `size`, with this root, has and one of `since`, which is stored, has not.

        Raises StoreUnavailableError (call it again), LedgerUnavailableError if what the store holds
        is not what the entries give.
        """
        upper: list[tuple[Place, bytes]] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                self._put_all(pool, self._lower(size, since, upper))
                self._require_root(size, root)
                self._put_all(pool, upper)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                with self._lock:  # what was read may be what was wrong
                    self._cached.clear()
                raise

    def node(self, level: int, index: int, size: int) -> bytes:
        """Hash of the perfect subtree over leaves [index << level, (index + 1) << level) of a published tree.

        Raises ProofError if it reaches beyond `size`, StoreUnavailableError, LedgerUnavailableError.
        """
        if not 0 <= index < size >> level:
            raise ProofError(f"a tree of {size} leaves has no node {index} on level {level}", rule="index")
        above, below = divmod(level, HEIGHT)
        number, offset = divmod(index << below, WIDTH)
        width = min(WIDTH, (size >> HEIGHT * above) - number * WIDTH)
        return root_of(self._hashes(Place(above, number, width))[offset : offset + (1 << below)])

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The path from entry `index` to the root of `size`. Raises as `node` does."""
        return inclusion_path(index, size, partial(self.node, size=size))

    def consistency(self, old: int, size: int) -> list[bytes]:
        """The path that shows the tree of `old` within that of `size`. Raises as `node` does."""
        return consistency_path(old, size, partial(self.node, size=size))

    def _require_root(self, size: int, root: bytes) -> None:
        if size and subtree(0, size, partial(self.node, size=size)) != root:
            raise _differs(f"{PREFIX}tile/")

    def _lower(
        self, size: int, since: int, upper: list[tuple[Place, bytes]]
    ) -> Iterator[tuple[Place, bytes]]:
        """Level 0 and the bundles, out of the entries; then the levels above into `upper`."""
        roots: dict[Place, bytes] = {}
        entries: list[bytes] = []
        for place in places(size, since):
            if place.level is None:
                yield place, encode_bundle(entries)
                continue
            if place.level == 0:
                entries = self._read(place)
                hashes = list(map(leaf_hash, entries))
            else:
                hashes = self._grown(place, since, roots)
            if place.width == WIDTH:
                roots[place] = root_of(hashes)
            data = b"".join(hashes)
            self._keep(place, data)
            if place.level == 0:
                yield place, data
            else:
                upper.append((place, data))

    def _grown(self, place: Place, since: int, roots: Mapping[Place, bytes]) -> list[bytes]:
        """The hashes of a tile above level 0: those that were there, and the root of each tile below that became full."""
        level, first = place.level or 0, place.number * WIDTH
        old = max(0, (since >> HEIGHT * level) - first)
        kept = self._hashes(place._replace(width=old)) if old else []
        return kept + [roots[Place(level - 1, first + at, WIDTH)] for at in range(old, place.width)]

    def _derived(self, place: Place) -> list[bytes]:
        """The hashes of any tile out of nothing but the entries, however many it spans."""
        if not place.level:
            return list(map(leaf_hash, self._read(place)))
        first = place.number * WIDTH
        below = (Place(place.level - 1, first + at, WIDTH) for at in range(place.width))
        return [root_of(self._derived(tile)) for tile in below]

    def _read(self, place: Place) -> list[bytes]:
        """The entries below a tile of level 0."""
        start = place.number * WIDTH
        entries = list(self._entries(start, start + place.width))
        if len(entries) != place.width:
            raise LedgerUnavailableError(f"entries from {start} on are missing", next="run `akashi audit`")
        return entries

    def _hashes(self, place: Place) -> list[bytes]:
        """The hashes of a stored tile; one that is not there is made again."""
        with self._lock:
            data = self._cached.get(place)
        if data is None:
            try:
                data = self._store.read(PREFIX + place.path)
            except FileNotFoundError as error:
                log.warning("%s was not in the store and is made again", error)
                data = b"".join(self._derived(place))
                self._put(place, data)
        self._keep(place, data)
        try:
            return decode_tile(data, place.width)
        except ProofError as error:
            raise _differs(PREFIX + place.path) from error

    def _keep(self, place: Place, data: bytes) -> None:
        with self._lock:
            self._cached[place] = data
            self._cached.move_to_end(place)
            if len(self._cached) > _CACHED:
                self._cached.popitem(last=False)

    def _put_all(self, pool: ThreadPoolExecutor, made: Iterable[tuple[Place, bytes]]) -> None:
        waiting: deque[Future[None]] = deque()
        for place, data in made:
            waiting.append(pool.submit(self._put, place, data))
            if len(waiting) >= _WAITING:
                waiting.popleft().result()
        for put in waiting:
            put.result()

    def _put(self, place: Place, data: bytes) -> None:
        key = PREFIX + place.path
        try:
            self._store.put_once(key, data, digest_bytes(data), content_type=_BINARY)
        except ObjectConflictError as error:
            raise _differs(key) from error


def _differs(what: str) -> LedgerUnavailableError:
    return LedgerUnavailableError(
        f"{what} in the store is not what the entries give: it was changed",
        next="nothing was written over; `akashi audit` names what differs; remove it, then"
        " `akashi ledger checkpoint --remake`",
    )
