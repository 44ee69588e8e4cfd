"""Which lines of the segments are the log's own entries, and what became of the others.

An entry is vouched for by the next one's `prev`, the last one by a trusted root. So the log is walked
from its last entry down: a line that nothing vouches for was changed, or stands twice; an index
without a line was changed where such a line stands in its place, else dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from evidence.audit_report import Finding
from evidence.entry import Entry
from evidence.segment import segment_key
from evidence.tree import Frontier


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One line, or a header that cannot be read, since it may have swallowed the entry behind it.

    `position` is the index that belongs here by the object's key and the line's number; `problem`
    says why `entry` could not be read.
    """

    object: str
    offset: int
    length: int
    position: int
    leaf: str
    entry: Entry | None
    problem: str = ""

    @property
    def end(self) -> int:
        """The offset behind the line's last byte, its newline not counted."""
        return self.offset + self.length - 1

    def finding(self, rule: str, detail: str) -> Finding:
        """A finding about this line."""
        index = self.entry.index if self.entry else self.position
        return Finding(self.object, rule, detail, self.offset, self.length, entry=index)


@dataclass(slots=True)
class Chain:
    """The log from `base` up to `size`: for each index its sound line, if there is one.

    `leaves` also holds the hash of a damaged entry, where the next one vouches for it.
    """

    size: int
    base: int = 0
    slots: dict[int, Slot] = field(default_factory=dict)
    leaves: dict[int, str] = field(default_factory=dict)

    def roots(self, sizes: Iterable[int], before: Frontier) -> dict[int, bytes]:
        """The root at each size up to which every leaf hash is known; `before` is the tree up to `base`."""
        wanted, frontier, roots = set(sizes), before.copy(), dict[int, bytes]()
        while wanted:
            if frontier.size in wanted:
                wanted.remove(frontier.size)
                roots[frontier.size] = frontier.root()
            if frontier.size not in self.leaves:
                break
            frontier.push(bytes.fromhex(self.leaves[frontier.size]))
        return roots


Above: TypeAlias = tuple[int, str]
_Claim: TypeAlias = tuple[Slot, Entry]
_Claims: TypeAlias = Mapping[int, Sequence[_Claim]]


def reconstruct(
    slots: Sequence[Slot],
    trusted: Mapping[int, bytes],
    before: Frontier | None,
    base: int,
    above: Above | None,
) -> Chain:
    """The chain out of all lines from index `base` on; `trusted` holds roots by size.

    Where entries follow, `above` is the first one's index and `prev` (empty: not known), and the walk begins there.
    Else it begins at the last line beyond the trusted size that is in its place, else at a line that
    claims to be the trusted size's last entry, else that entry is lost. The first walk that no trusted
    root contradicts counts; where every one is contradicted, history was written anew. `before` is the
    tree over the first `base` entries, None where it is not known, and no root can be had.
    """
    claims: defaultdict[int, list[_Claim]] = defaultdict(list)
    most = max([base, *trusted, *(slot.position for slot in slots)]) + len(slots)
    for slot in slots:
        if slot.entry and slot.entry.index <= most:  # nobody's claim makes the walk endless
            claims[slot.entry.index].append((slot, slot.entry))
    if above is not None:
        return _walk(claims, base, *above)
    size = max([base, *trusted])
    in_place = (
        (slot, entry)
        for index in sorted(claims, reverse=True)
        for slot, entry in claims[index]
        if index in {slot.position, *(before.index + 1 for before in _before(entry, claims))}
    )
    start = next(in_place, None)
    starts = [start] if start and start[1].index >= size else []
    chains: list[Chain] = []
    for claim in (*starts, *claims.get(size - 1, ()), None):
        end = (claim[1].index + 1, claim[0].leaf) if claim else (size, "")
        chains.append(_walk(claims, base, *end, lost=claim is None))
        roots = chains[-1].roots(trusted, before) if before else {}
        if all(root == trusted[at] for at, root in roots.items()):
            return chains[-1]
    return chains[0]


def _before(entry: Entry, claims: _Claims) -> list[Entry]:
    return [other for slot, other in claims.get(entry.index - 1, ()) if slot.leaf == entry.prev]


def _walk(claims: _Claims, base: int, size: int, wanted: str, *, lost: bool = False) -> Chain:
    """From the last entry below `size` down, whose leaf is `wanted`; `lost`: no line of it is left."""
    chain = Chain(size, base)
    for index in range(size - (2 if lost else 1), base - 1, -1):
        found = [claim for claim in claims.get(index, ()) if wanted in {"", claim[0].leaf}]
        if wanted:
            chain.leaves[index] = wanted
        if found:
            slot, entry = min(found, key=lambda claim: claim[0].position != index)
            chain.slots[index], chain.leaves[index] = slot, slot.leaf
        wanted = entry.prev if found else ""
    return chain


def judge(
    slots: Sequence[Slot], chain: Chain, extents: Mapping[str, range], stands: Callable[[Entry, str], bool]
) -> Iterator[Finding]:
    """What became of every line and every index; `extents`: the indices that each object announces.

    `stands` tells whether an entry beyond the chain, and its leaf hash, stand in their place in the log.
    """
    kept = {slot.leaf: slot for slot in chain.slots.values()}
    highest, strange = chain.base - 1, list[Slot]()
    for slot in slots:
        own = kept.get(slot.leaf)
        beyond = slot.entry and not chain.base <= slot.entry.index < chain.size
        if own is None and beyond and slot.entry and stands(slot.entry, slot.leaf):
            yield slot.finding("entry-duplicated", f"entry {slot.entry.index} stands twice")
        elif own is None or own.entry is None:
            strange.append(slot)
        elif own is not slot:
            yield slot.finding("entry-duplicated", f"entry {own.entry.index} stands twice")
        else:
            index = own.entry.index
            yield from _between(highest, index, strange, chain, extents)
            if index < highest:
                yield slot.finding("entry-reordered", f"entry {index} stands behind entry {highest}")
            highest, strange = max(highest, index), []
    yield from _between(highest, chain.size, strange, chain, extents)


def _between(
    before: int, behind: int, strange: Sequence[Slot], chain: Chain, extents: Mapping[str, range]
) -> Iterator[Finding]:
    """Strange lines between two sound ones; without any, the entries that are missing there were dropped."""
    missing = next((index for index in range(before + 1, behind) if index not in chain.slots), None)
    for key, group in groupby(strange, lambda slot: slot.object):
        first, *rest = group  # neighbours become one: a byte that turns newline splits a line
        end = rest[-1].offset + rest[-1].length if rest else first.offset + first.length
        detail = first.problem or "not the entry that the next one, or the root, vouches for"
        rule = "entry-changed" if first.offset else "segment-header"
        entry = first.position if missing is None else missing
        yield Finding(key, rule, detail, first.offset, end - first.offset, entry=entry)
    if missing is not None and not strange:
        last = next(index for index in range(behind - 1, before, -1) if index not in chain.slots)
        what = f"entry {missing} is" if missing == last else f"entries {missing} to {last} are"
        key = next((key for key, extent in extents.items() if missing in extent), segment_key(missing))
        yield Finding(key, "entry-dropped", f"{what} missing", entry=missing)
