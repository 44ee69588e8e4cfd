"""Which lines of the segments are the log's own entries, and what happened to the others.

Every entry is vouched for by the next one's `prev`, the last by a trusted root. A line that breaks
its links was changed; a line that keeps them stands where it belongs, or was moved or doubled; an
index that no line holds was dropped. Where a link is broken, the one of the two is blamed that
is not vouched for, so that one changed byte gives one finding: with its line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evidence.audit_report import Finding
from evidence.entry import Entry
from evidence.segment import segment_key
from evidence.tree import Frontier


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One line where an entry belongs; `entry` is None if it cannot be read, `problem` then says why.

    A header that cannot be read is such a line too: it may have swallowed the entry behind it.
    `position` is the index that belongs here by the object's key and the line's number.
    """

    object: str
    offset: int
    length: int
    position: int
    leaf: str
    entry: Entry | None
    problem: str = ""
    rule: str = "entry-changed"

    @property
    def index(self) -> int:
        """The index that the entry claims, or that belongs here."""
        return self.entry.index if self.entry else self.position

    def finding(self, rule: str, detail: str) -> Finding:
        """A finding about this line."""
        return Finding(self.object, rule, detail, self.offset, self.length, entry=self.index)


@dataclass(slots=True)
class Chain:
    """The log as far as it is there."""

    slots: dict[int, Slot] = field(default_factory=dict)
    """One sound line for each index."""
    leaves: dict[int, str] = field(default_factory=dict)
    """Leaf hashes, also of a damaged entry where the next one vouches for it."""
    size: int = 0
    damaged: set[int] = field(default_factory=set)
    """Indices below `size` that no sound line holds."""
    findings: list[Finding] = field(default_factory=list)

    def roots(self, sizes: Iterable[int]) -> dict[int, bytes]:
        """The root at each size up to which every leaf hash is known."""
        return _roots(self.leaves, sizes)


def reconstruct(slots: Sequence[Slot], trusted: Mapping[int, bytes], extents: Mapping[str, range]) -> Chain:
    """The chain out of all lines, in the order of their objects' keys.

    `trusted` holds roots by size, `extents` the indices that each object's header announces.
    """
    links = _Links(slots)
    changed = {slot: slot.problem for slot in slots if slot.entry is None} | links.broken(trusted)
    changed |= _wrong_top([slot for slot in slots if slot not in changed], links, trusted)
    chain = Chain()
    _place([slot for slot in slots if slot not in changed], chain)
    chain.size = max([*trusted, *(index + 1 for index in chain.slots)], default=0)
    chain.damaged = set(range(chain.size)) - set(chain.slots)
    chain.findings += [slot.finding(slot.rule, why) for slot, why in changed.items()]
    _name_dropped(chain, _lost_to(changed, slots, chain), extents)
    chain.leaves = _leaves(chain.slots.values())
    return chain


class _Links:
    """Who vouches for whom: the entry of index + 1 whose `prev` is the leaf hash of this one."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = [slot for slot in slots if slot.entry]
        self._by_index: dict[int, list[Slot]] = defaultdict(list)
        for slot in self._slots:
            self._by_index[slot.index].append(slot)

    def behind(self, slot: Slot) -> list[Slot]:
        return self._by_index.get(slot.index + 1, [])

    def vouched(self, slot: Slot) -> bool:
        return any(_prev(next_) == slot.leaf for next_ in self.behind(slot))

    def follows(self, slot: Slot) -> bool:
        before = self._by_index.get(slot.index - 1, [])
        return any(_prev(slot) == previous.leaf for previous in before)

    def _at_the_end(self, slot: Slot, trusted: Mapping[int, bytes]) -> bool:
        """Whether an entry that none is behind is the last: by its link, or by a root over it."""
        size = slot.index + 1
        root = _roots(_leaves(self._slots), [size]).get(size) if size in trusted else None
        return self.follows(slot) or (root is not None and root == trusted[size])

    def broken(self, trusted: Mapping[int, bytes]) -> dict[Slot, str]:
        """Lines that are not the log's; a broken link to the very last entry is left to `_wrong_top`."""
        changed: dict[Slot, str] = {}
        for slot in self._slots:
            if self.vouched(slot):
                continue
            behind = self.behind(slot)
            rivals = self._by_index[slot.index]
            if any(self.vouched(other) for other in (*behind, *rivals)):
                changed[slot] = "not the entry that the next one vouches for"
            elif not behind and slot.index != slot.position and not self._at_the_end(slot, trusted):
                changed[slot] = f"claims to be entry {slot.index}, but follows nothing"
            for next_ in behind:
                if not self.vouched(next_) and self.behind(next_):
                    changed[next_] = "neither follows the entry before nor is vouched for by the next"
        return changed


def _wrong_top(sound: Sequence[Slot], links: _Links, trusted: Mapping[int, bytes]) -> dict[Slot, str]:
    """The last entry has no next one to vouch for it: trusted roots decide about it and the one before."""
    if not sound:
        return {}
    top = max(sound, key=lambda slot: slot.index)
    size, leaves = top.index + 1, _leaves(sound)
    before = [slot for slot in sound if slot.index == top.index - 1]
    if links.follows(top) or not before:
        # A root that differs although all smaller ones agree: only the top can have changed unseen.
        wrong = {at for at, root in _roots(leaves, trusted).items() if root != trusted[at]}
        return {top: "not the entry under the signed or remembered root"} if wrong == {size} else {}
    claimed = {**leaves, top.index - 1: _prev(top)}
    actual = {**leaves, top.index - 1: before[0].leaf}
    if _roots(claimed, [size]).get(size) == trusted.get(size, b""):
        return {before[0]: "not the entry that the next one vouches for"}
    if size in trusted or _roots(actual, [size - 1]).get(size - 1) == trusted.get(size - 1, b""):
        return {top: "does not follow the entry before"}
    return dict.fromkeys([before[0], top], "this entry or its neighbour changed: no root tells which")


def _place(sound: Sequence[Slot], chain: Chain) -> None:
    """One line an index: where it belongs if it stands there, else the first. The rest is doubled or moved."""
    for slot in sorted(sound, key=lambda slot: slot.index != slot.position):
        if slot.index in chain.slots:
            chain.findings.append(slot.finding("entry-duplicated", f"entry {slot.index} stands twice"))
        else:
            chain.slots[slot.index] = slot
    highest = -1
    for slot in sound:
        if chain.slots[slot.index] is not slot:
            continue
        if slot.index < highest:
            detail = f"entry {slot.index} stands behind entry {highest}"
            chain.findings.append(slot.finding("entry-reordered", detail))
        highest = max(highest, slot.index)


def _lost_to(changed: Mapping[Slot, str], slots: Sequence[Slot], chain: Chain) -> set[int]:
    """Indices that are not dropped: a changed line stands between the same two sound neighbours."""
    lost: set[int] = set()
    last, open_gap = -1, False
    for slot in slots:
        if slot in changed:
            open_gap = True
        elif chain.slots[slot.index] is slot:
            if open_gap:
                lost |= chain.damaged & set(range(last + 1, slot.index))
            last, open_gap = max(last, slot.index), False
    return lost | ({i for i in chain.damaged if i > last} if open_gap else set())


def _name_dropped(chain: Chain, lost: set[int], extents: Mapping[str, range]) -> None:
    for first, last in _runs(sorted(chain.damaged - lost)):
        what = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        key = next((key for key, extent in extents.items() if first in extent), segment_key(first))
        chain.findings.append(Finding(key, "entry-dropped", f"{what} missing", entry=first))


def _runs(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    start = 0
    for i, number in enumerate(numbers):
        if i + 1 == len(numbers) or numbers[i + 1] != number + 1:
            yield numbers[start], number
            start = i + 1


def _leaves(slots: Iterable[Slot]) -> dict[int, str]:
    held = list(slots)
    vouched = {slot.index - 1: _prev(slot) for slot in held if slot.index}
    return vouched | {slot.index: slot.leaf for slot in held}


def _roots(leaves: Mapping[int, str], sizes: Iterable[int]) -> dict[int, bytes]:
    wanted, frontier = set(sizes), Frontier()
    roots: dict[int, bytes] = {}
    while wanted:
        if frontier.size in wanted:
            wanted.remove(frontier.size)
            roots[frontier.size] = frontier.root()
        leaf = leaves.get(frontier.size)
        if leaf is None:
            break
        frontier.push(bytes.fromhex(leaf))
    return roots


def _prev(slot: Slot) -> str:
    return slot.entry.prev if slot.entry else ""
