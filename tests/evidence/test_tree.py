from __future__ import annotations

import hashlib
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.tree import Frontier, leaf_hash, root_of

hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=70)


def naive(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1 read another way: pair up, level by level, an odd one rises."""
    if not leaves:
        return hashlib.sha256().digest()
    while len(leaves) > 1:
        pairs = [leaves[i : i + 2] for i in range(0, len(leaves), 2)]
        leaves = [hashlib.sha256(b"\x01" + b"".join(p)).digest() if len(p) == 2 else p[0] for p in pairs]
    return leaves[0]


@given(hashes)
def test_frontier_and_definition_agree_with_a_naive_tree(leaves: list[bytes]) -> None:
    frontier = Frontier()
    for size, leaf in enumerate(leaves):
        assert frontier.root() == naive(leaves[:size])
        frontier.push(leaf)
    assert frontier.root() == root_of(leaves) == naive(leaves)


@given(hashes, hashes)
def test_a_frontier_goes_on_where_it_was_written_down(before: list[bytes], after: list[bytes]) -> None:
    frontier = Frontier()
    for leaf in before:
        frontier.push(leaf)
    resumed = Frontier.from_json(frontier.as_json())
    for leaf in after:
        resumed.push(leaf)
    assert (resumed.size, resumed.root()) == (len(before + after), naive(before + after))


def test_known_answers_of_rfc_6962_implementations() -> None:
    # The reference tree of certificate-transparency (merkletree/merkle_tree_test.cc)
    leaves = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43"]
    roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    ]
    assert [root_of([leaf_hash(d) for d in leaves[:n]]).hex() for n in range(7)] == roots


def test_a_leaf_hash_is_made_by_hand_with_coreutils() -> None:
    entry = b'{"index":0}'
    made = subprocess.run(["sha256sum"], input=b"\x00" + entry, capture_output=True, check=True)
    assert made.stdout.split()[0].decode() == leaf_hash(entry).hex()


@pytest.mark.parametrize(
    "value",
    [
        {"size": 3, "hashes": ["00" * 32]},
        {"size": 1, "hashes": ["00"]},
        {"size": -1, "hashes": []},
        {"size": 0},
        {"size": 0, "hashes": [], "more": 1},
        [],
    ],
)
def test_an_edge_that_cannot_be_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Frontier.from_json(value)  # type: ignore[arg-type]


def test_a_leaf_is_a_hash() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Frontier().push(b"short")
