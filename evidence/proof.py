r"""Merkle proofs: that an entry is in a tree, and that a tree only grew out of another (RFC 6962 §2.1.1, §2.1.2).

              root          size 7 (RFC 6962 §2.1.3), lower case leaf hashes:
             /    \
            k      l        leaf 4 (e) in 7:  [f, j, k]        from the leaf's sibling to the root's child
           / \    / \       tree 3 in 7:      [c, d, g, l]     from what ends the old tree
          g   h  i   j      tree 4 in 7:      [l]              k is the old tree's root, which is known
         / \ / \ / \ |
         a b c d e f j      the right edge rises as it is: j is no pair

    node(level, index) is the hash of the perfect subtree over leaves [index << level, (index + 1) << level)

Whoever makes a path brings `node`; whoever checks one needs nothing else. The checks are those of RFC
9162 §2.1.3.2 and §2.1.4.2, but the path's length follows from index and size and is compared first, so
that no hash can be left out, added or used twice. A size is not proved by a path (7 and 8 may share
one, j being taken for a pair): the checkpoint signs size and root together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from evidence.errors import ProofError
from evidence.tree import EMPTY_ROOT, HASH_BYTES, node_hash

Node: TypeAlias = Callable[[int, int], bytes]
"""Level and index of a perfect subtree that lies within the tree; its hash."""


def subtree(start: int, stop: int, node: Node) -> bytes:
    """Root over the leaves `start` … `stop - 1`, as §2.1 splits a tree: at least one, `start` aligned to them."""
    level = (stop - start - 1).bit_length()
    if stop - start == 1 << level:
        return node(level, start >> level)
    split = _split(start, stop)
    return node_hash(subtree(start, split, node), subtree(split, stop, node))


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of `size` leaves. Raises ProofError (rule `index`)."""
    _require(0 <= index < size, "index", f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        split = _split(start, stop)
        if index < split:
            path.append(subtree(split, stop, node))
            stop = split
        else:
            path.append(subtree(start, split, node))
            start = split
    return path[::-1]


def consistency_path(old: int, size: int, node: Node) -> list[bytes]:
    """The hashes that show the tree of `old` leaves within that of `size`; none for 0 and for `size` itself.

    Raises ProofError (rule `size`).
    """
    _require(0 <= old <= size, "size", f"a tree of {size} leaves does not contain one of {old}")
    if old == 0:
        return []
    path: list[bytes] = []
    start, stop = 0, size
    while old != stop:
        split = _split(start, stop)
        if old <= split:
            path.append(subtree(split, stop, node))
            stop = split
        else:
            path.append(subtree(start, split, node))
            start = split
    if start:  # else what is left is the old tree itself, whose root the checker has
        path.append(subtree(start, stop, node))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Leaf hash `leaf` is number `index` of the tree of `size` leaves with this root.

    Raises ProofError: `index` (none of this tree), `hash` (not 32 bytes), `path-length`, `root`.
    """
    _require(0 <= index < size, "index", f"a tree of {size} leaves has no leaf {index}")
    _require_hashes([leaf, root, *path])
    within, border = _way(index, size)
    _require_length(path, within + border)
    for level, sibling in enumerate(path):
        is_left = level >= within or index >> level & 1
        leaf = node_hash(sibling, leaf) if is_left else node_hash(leaf, sibling)
    _require(leaf == root, "root", f"entry {index} and its path do not give the root of {size} entries")


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """The tree of `size` leaves begins with the `old_size` leaves of the other.

    Raises ProofError: `size` (the old tree is the larger), `hash`, `path-length`, `old-root`, `root`.
    """
    _require(0 <= old_size <= size, "size", f"a tree of {size} leaves does not contain one of {old_size}")
    _require_hashes([old_root, root, *path])
    if old_size in {0, size}:
        _require_length(path, 0)
        is_old = old_root == (root if old_size else EMPTY_ROOT)
        _require(is_old, "old-root", f"this is not the root of the {old_size} entries before")
        _require(size > 0 or root == EMPTY_ROOT, "root", "this is not the root of no entries")
        return
    within, border = _way(old_size - 1, size)
    skipped = (old_size & -old_size).bit_length() - 1  # the perfect subtree that ends the old tree
    is_perfect = old_size == 1 << skipped
    _require_length(path, within - skipped + border + (not is_perfect))
    seed, *rest = [old_root, *path] if is_perfect else path
    old = new = seed
    for level, sibling in enumerate(rest, start=skipped):
        if level >= within or (old_size - 1) >> level & 1:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
        else:
            new = node_hash(new, sibling)
    _require(
        old == old_root, "old-root", f"the path does not lead to the root of the {old_size} entries before"
    )
    _require(new == root, "root", f"the path does not lead to the root of {size} entries")


def _split(start: int, stop: int) -> int:
    """Where RFC 6962 §2.1 splits: at the largest power of two below the number of leaves."""
    return start + (1 << (stop - start - 1).bit_length() - 1)


def _way(index: int, size: int) -> tuple[int, int]:
    """Hashes beside the way up from a leaf: until it meets the tree's right edge, and from there on."""
    within = (index ^ (size - 1)).bit_length()
    return within, (index >> within).bit_count()


def _require_hashes(hashes: Sequence[bytes]) -> None:
    for one in hashes:
        _require(len(one) == HASH_BYTES, "hash", f"a hash has {HASH_BYTES} bytes, not {len(one)}")


def _require_length(path: Sequence[bytes], length: int) -> None:
    _require(len(path) == length, "path-length", f"the path has {len(path)} hashes where {length} belong")


def _require(kept: bool, rule: str, detail: str) -> None:
    if not kept:
        raise ProofError(detail, rule=rule)
