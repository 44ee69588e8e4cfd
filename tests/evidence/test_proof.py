"""Merkle proofs against RFC 6962's own recursion, its example, and every defect that an attacker can make."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.errors import ProofError
from evidence.proof import check_consistency, check_inclusion, consistency_path, inclusion_path
from evidence.tree import EMPTY_ROOT, leaf_hash

LEAVES = [leaf_hash(b"entry %d" % number) for number in range(600)]


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 §2.1, by the book."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """RFC 6962 §2.1.1, by the book."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """RFC 6962 §2.1.2, by the book."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def nodes_of(leaves: Sequence[bytes]) -> Callable[[int, int], bytes]:
    """Perfect subtrees of these leaves; one that reaches beyond them is a mistake of whoever asks."""

    def node(level: int, index: int) -> bytes:
        assert (index + 1) << level <= len(leaves), "no perfect subtree"
        return mth(leaves[index << level : (index + 1) << level])

    return node


@pytest.mark.parametrize("size", range(1, 71))
def test_every_inclusion_path_is_that_of_the_rfc_and_is_accepted_for_its_leaf_alone(size: int) -> None:
    leaves = LEAVES[:size]
    root = mth(leaves)
    for index in range(size):
        made = inclusion_path(index, size, nodes_of(leaves))
        assert made == path(index, leaves)
        check_inclusion(leaves[index], index, size, made, root)
        for other in {0, index - 1, index + 1, size - 1} & set(range(size)) - {index}:
            with pytest.raises(ProofError):
                check_inclusion(leaves[index], other, size, made, root)


@pytest.mark.parametrize("size", range(71))
def test_every_consistency_path_is_that_of_the_rfc_and_is_accepted_for_its_trees_alone(size: int) -> None:
    leaves = LEAVES[:size]
    root = mth(leaves)
    for old in range(size + 1):
        made = consistency_path(old, size, nodes_of(leaves))
        assert made == (subproof(old, leaves) if old else [])
        check_consistency(old, mth(leaves[:old]), size, root, made)
        with pytest.raises(ProofError):
            check_consistency(old, mth([*leaves[: max(old - 1, 0)], b"x" * 32]), size, root, made)
        for other in {old - 1, old + 1} & set(range(1, size + 1)):
            with pytest.raises(ProofError):
                check_consistency(other, mth(leaves[:old]), size, root, made)


@given(st.data())
def test_paths_of_larger_trees_are_those_of_the_rfc(data: st.DataObject) -> None:
    size = data.draw(st.integers(71, len(LEAVES)))
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    leaves = LEAVES[:size]
    root, node = mth(leaves), nodes_of(leaves)
    included, grown = inclusion_path(index, size, node), consistency_path(old, size, node)
    assert (included, grown) == (path(index, leaves), subproof(old, leaves))
    check_inclusion(leaves[index], index, size, included, root)
    check_consistency(old, mth(leaves[:old]), size, root, grown)


def test_the_example_of_rfc_6962() -> None:
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = mth([a, b]), mth([c, d]), mth([e, f])
    k, l = mth([a, b, c, d]), mth([e, f, j])  # noqa: E741 - the RFC's names
    node = nodes_of(LEAVES[:7])
    assert [inclusion_path(index, 7, node) for index in (0, 3, 4, 6)] == [
        [b, h, l],
        [c, g, l],
        [f, j, k],
        [i, k],
    ]
    assert [consistency_path(old, 7, node) for old in (3, 4, 6)] == [[c, d, g, l], [l], [i, j, k]]


ROOT = mth(LEAVES[:7])
SOUND = {"leaf": LEAVES[4], "index": 4, "size": 7, "path": path(4, LEAVES[:7]), "root": ROOT}
F, J, K = SOUND["path"]  # type: ignore[misc]
INCLUSION: dict[str, tuple[str, dict[str, Any]]] = {
    "another index": ("root", {"index": 5}),
    "an index in a tree where the path is shorter": ("path-length", {"index": 6}),
    "an index behind the tree": ("index", {"index": 7}),
    "a negative index": ("index", {"index": -1}),
    "a tree of nothing": ("index", {"index": 0, "size": 0, "path": [], "root": EMPTY_ROOT}),
    "size smaller than index": ("index", {"size": 4}),
    "a larger size": ("path-length", {"size": 9}),
    "path cut at the leaf": ("path-length", {"path": [J, K]}),
    "path cut at the root": ("path-length", {"path": [F, J]}),
    "no path": ("path-length", {"path": []}),
    "a hash more at the root": ("path-length", {"path": [F, J, K, ROOT]}),
    "a hash more at the leaf": ("path-length", {"path": [LEAVES[4], F, J, K]}),
    "hashes swapped": ("root", {"path": [J, F, K]}),
    "another hash": ("root", {"path": [F, J, LEAVES[0]]}),
    "a path upside down": ("root", {"path": [K, J, F]}),
    "a node passed off as a leaf": ("path-length", {"leaf": mth(LEAVES[4:6]), "path": [J, K]}),
    "a node as the leaf of a smaller tree": ("root", {"leaf": K, "index": 0, "size": 2, "path": [LEAVES[6]]}),
    "two hashes in one": ("hash", {"path": [F + J, K]}),
    "an empty hash": ("hash", {"path": [F, J, b""]}),
    "a root of 33 bytes": ("hash", {"root": ROOT + b"\0"}),
    "another root": ("root", {"root": mth(LEAVES[:8])}),
    "another leaf": ("root", {"leaf": LEAVES[5]}),
}


@pytest.mark.parametrize(("rule", "changes"), INCLUSION.values(), ids=INCLUSION)
def test_an_inclusion_proof_with_a_defect_is_refused(rule: str, changes: dict[str, Any]) -> None:
    check_inclusion(**SOUND)  # type: ignore[arg-type]
    with pytest.raises(ProofError) as caught:
        check_inclusion(**SOUND | changes)  # type: ignore[arg-type]
    assert caught.value.rule == rule


GREW = {
    "old_size": 3,
    "old_root": mth(LEAVES[:3]),
    "size": 7,
    "root": ROOT,
    "path": subproof(3, LEAVES[:7]),
}
C, D, G, L = GREW["path"]  # type: ignore[misc]
FORK = mth([LEAVES[0], LEAVES[9], *LEAVES[2:7]])
CONSISTENCY: dict[str, tuple[str, dict[str, Any]]] = {
    "the old tree is the larger": ("size", {"old_size": 8}),
    "a negative size": ("size", {"old_size": -1}),
    "another old size": ("path-length", {"old_size": 4}),
    "another old size with as long a path": ("root", {"old_size": 1, "path": [G, D, L]}),
    "another old root": ("old-root", {"old_root": mth(LEAVES[:4])}),
    "an old root that was never": ("old-root", {"old_root": mth([LEAVES[0], LEAVES[9], LEAVES[2]])}),
    "another root": ("root", {"root": mth(LEAVES[:8])}),
    "a root with an entry changed": ("root", {"root": FORK}),
    "a size with a shorter path": ("path-length", {"size": 4, "root": mth(LEAVES[:4])}),
    "path cut at the leaf": ("path-length", {"path": [D, G, L]}),
    "path cut at the root": ("path-length", {"path": [C, D, G]}),
    "no path": ("path-length", {"path": []}),
    "a hash more": ("path-length", {"path": [C, D, G, L, ROOT]}),
    "the old root itself before the path": ("path-length", {"path": [mth(LEAVES[:3]), C, D, G, L]}),
    "hashes swapped": ("old-root", {"path": [C, G, D, L]}),
    "the last hash changed": ("root", {"path": [C, D, G, K]}),
    "a short hash": ("hash", {"path": [C, D, G, L[:-1]]}),
    "same size, a path": ("path-length", {"old_size": 7, "old_root": ROOT}),
    "same size, another root": ("old-root", {"old_size": 7, "old_root": FORK, "path": []}),
    "from nothing, a path": ("path-length", {"old_size": 0, "old_root": EMPTY_ROOT}),
    "from nothing, a root": ("old-root", {"old_size": 0, "old_root": ROOT, "path": []}),
    "from nothing to nothing, a root": (
        "old-root",
        {"old_size": 0, "size": 0, "old_root": ROOT, "path": []},
    ),
    "from nothing to nothing, another root": (
        "root",
        {"old_size": 0, "size": 0, "old_root": EMPTY_ROOT, "path": []},
    ),
}


@pytest.mark.parametrize(("rule", "changes"), CONSISTENCY.values(), ids=CONSISTENCY)
def test_a_consistency_proof_with_a_defect_is_refused(rule: str, changes: dict[str, Any]) -> None:
    check_consistency(**GREW)  # type: ignore[arg-type]
    with pytest.raises(ProofError) as caught:
        check_consistency(**GREW | changes)  # type: ignore[arg-type]
    assert caught.value.rule == rule


def test_a_size_is_vouched_for_by_the_checkpoint_and_not_by_a_path() -> None:
    check_inclusion(**SOUND | {"size": 8})  # type: ignore[arg-type]
    check_consistency(**GREW | {"size": 8})  # type: ignore[arg-type]


def test_no_path_is_made_to_what_is_not_in_the_tree() -> None:
    node = nodes_of(LEAVES[:7])
    for index in (-1, 7):
        with pytest.raises(ProofError, match="no leaf"):
            inclusion_path(index, 7, node)
    for old in (-1, 8):
        with pytest.raises(ProofError, match="does not contain"):
            consistency_path(old, 7, node)


@given(st.integers(0, 599), st.integers(1, 600), st.lists(st.binary(min_size=32, max_size=32), max_size=12))
def test_no_made_up_path_is_believed(index: int, size: int, made_up: list[bytes]) -> None:
    with pytest.raises(ProofError):
        check_inclusion(b"x" * 32, index, size, made_up, mth(LEAVES[:size]))
