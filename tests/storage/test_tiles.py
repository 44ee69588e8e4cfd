"""Tiles and bundles: written for every checkpoint, derived again after any loss, never written over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.digests import Digests, digest_bytes
from evidence.errors import LedgerUnavailableError, ObjectConflictError, ProofError, StoreUnavailableError
from evidence.proof import check_consistency, check_inclusion
from evidence.tiles import decode_bundle, parse_path, places
from evidence.tree import leaf_hash, node_hash, root_of
from storage.s3 import S3Store
from storage.tiles import Tiles
from tests.storage.faults import Fault

ENTRIES = [b'{"index":%d}' % number for number in range(70_001)]
LEAVES = list(map(leaf_hash, ENTRIES))


@dataclass
class MemoryStore:
    """Keeps the two promises that tiles need of a store: create-only, and the same bytes again are fine."""

    objects: dict[str, bytes] = field(default_factory=dict)
    reads: int = 0
    puts: int = 0
    fails: dict[int, Fault] = field(default_factory=dict)
    """By the number of a put: how it fails."""

    def put_once(self, key: str, source: bytes, digests: Digests, *, content_type: str) -> None:
        assert digests == digest_bytes(source)
        assert content_type == "application/octet-stream"
        self.puts += 1
        fault = self.fails.get(self.puts)
        if fault is not Fault.FAILED and self.objects.setdefault(key, source) != source:
            raise ObjectConflictError(key)
        if fault is not None:
            raise StoreUnavailableError(f"injected: {fault.value}")

    def read(self, key: str) -> bytes:
        self.reads += 1
        try:
            return self.objects[key]
        except KeyError:
            raise FileNotFoundError(key) from None


def entries(start: int, stop: int) -> list[bytes]:
    return ENTRIES[start:stop]


def tiles_over(store: MemoryStore) -> Tiles:
    return Tiles(store, entries)  # type: ignore[arg-type] # two of its methods


def publish(store: MemoryStore, size: int, since: int = 0) -> Tiles:
    tiles = tiles_over(store)
    tiles.publish(size, root_of(LEAVES[:size]), since)
    return tiles


def expected(size: int) -> Iterator[tuple[str, bytes]]:
    """Every tile and bundle of a tree, by the specification's own formula: MTH(D[(n * 256 + i) * 256**l : …])."""
    for place in places(size):
        first = place.number * 256
        if place.level is None:
            data = b"".join(
                len(entry).to_bytes(2, "big") + entry for entry in ENTRIES[first : first + place.width]
            )
        else:
            span = 256**place.level
            data = b"".join(
                root_of(LEAVES[at * span : (at + 1) * span]) for at in range(first, first + place.width)
            )
        yield f"ledger/{place.path}", data


def test_every_tile_of_three_levels_is_what_the_specification_says() -> None:
    store = MemoryStore()
    publish(store, 70_000)
    assert store.objects == dict(expected(70_000))


def test_what_is_there_already_is_neither_read_nor_written_again() -> None:
    store = MemoryStore()
    tiles = publish(store, 70_000)
    reads, puts = store.reads, store.puts
    tiles.publish(70_001, root_of(LEAVES[:70_001]), since=70_000)
    assert (store.reads - reads, store.puts - puts) == (0, 2)
    again = tiles_over(store)  # another process: the edge of the two upper levels, once
    again.publish(70_001, root_of(LEAVES[:70_001]), since=70_000)
    assert store.reads - reads == 2


runs = st.lists(
    st.tuples(
        st.integers(1, 700),  # entries that are appended
        st.none() | st.tuples(st.integers(1, 6), st.sampled_from(Fault)),  # which put fails, and how
        st.booleans(),  # whether the process dies of it
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(runs)
def test_append_crash_reload_compare(steps: list[tuple[int, tuple[int, Fault] | None, bool]]) -> None:
    store = MemoryStore()
    tiles, size, signed, sizes = tiles_over(store), 0, 0, list[int]()
    for more, failing, dies in steps:
        size += more
        store.fails = {store.puts + failing[0]: failing[1]} if failing else {}
        try:
            tiles.publish(size, root_of(LEAVES[:size]), since=signed)
        except StoreUnavailableError:
            assert failing is not None
            tiles = tiles_over(store) if dies else tiles
            continue  # no checkpoint of this size: the next publisher begins where the last one was
        signed = size
        sizes.append(size)
    for checkpoint in sizes:
        held = dict(expected(checkpoint))
        assert {key: store.objects.get(key) for key in held} == held
    for key, data in store.objects.items():  # what a crash left is as true as the rest
        place = parse_path(key.removeprefix("ledger/"))
        assert place is not None
        if place.level is None:
            start = place.number * 256
            assert decode_bundle(data, place.width) == ENTRIES[start : start + place.width]
    if sizes:
        prove_some(tiles_over(store), sizes)


def prove_some(tiles: Tiles, sizes: list[int]) -> None:
    size = sizes[-1]
    root = root_of(LEAVES[:size])
    for index in {0, size // 2, size - 1}:
        check_inclusion(LEAVES[index], index, size, tiles.inclusion(index, size), root)
    for old in sizes:
        check_consistency(old, root_of(LEAVES[:old]), size, root, tiles.consistency(old, size))


@pytest.mark.parametrize("lost", ["0/100", "1/000", "1/001.p/17", "2/000.p/1", "0/273.p/112"])
def test_a_tile_that_was_lost_is_made_again_by_the_proof_that_needs_it(lost: str) -> None:
    store = MemoryStore()
    publish(store, 70_000)
    del store.objects[f"ledger/tile/{lost}"]
    tiles, root = tiles_over(store), root_of(LEAVES[:70_000])
    for index in (0, 100 * 256, 69_999):
        check_inclusion(LEAVES[index], index, 70_000, tiles.inclusion(index, 70_000), root)
    assert store.objects == dict(expected(70_000))


def test_all_tiles_can_be_made_again() -> None:
    store = MemoryStore()
    publish(store, 70_000)
    store.objects.clear()
    publish(store, 70_000)
    assert store.objects == dict(expected(70_000))


def test_what_the_next_tile_is_built_on_is_made_again_if_it_was_lost() -> None:
    store = MemoryStore()
    publish(store, 600)
    del store.objects["ledger/tile/1/000.p/2"]
    publish(store, 800, since=600)
    assert store.objects == dict(expected(600)) | dict(expected(800))


def test_a_tile_is_made_again_from_entries_and_not_from_tiles_that_somebody_may_have_changed() -> None:
    store = MemoryStore()
    publish(store, 600)
    del store.objects["ledger/tile/1/000.p/2"]
    store.objects["ledger/tile/0/001"] = b"f" * 8192
    tiles_over(store).node(8, 1, 600)
    assert store.objects["ledger/tile/1/000.p/2"] == dict(expected(600))["ledger/tile/1/000.p/2"]


@pytest.mark.parametrize(
    ("changed", "forged", "since", "size"),
    [
        ("tile/0/000", b"f" * 8192, 0, 800),  # put there before ours
        ("tile/entries/001", b"\0\0" * 256, 0, 800),
        ("tile/0/002.p/188", b"f" * 32 * 188, 600, 700),
        ("tile/1/000.p/2", b"f" * 64, 600, 800),  # what the next tile of level 1 begins with
        ("tile/1/000.p/2", b"f", 600, 800),
    ],
    ids=["full", "bundle", "partial", "the edge above", "the edge above, cut"],
)
def test_a_tile_that_differs_is_an_alarm_and_is_not_written_over(
    changed: str, forged: bytes, since: int, size: int
) -> None:
    store = MemoryStore()
    publish(store, since)
    store.objects[f"ledger/{changed}"] = forged
    above = {key for key in store.objects if "tile/1/" in key}
    tiles = tiles_over(store)
    for _ in range(2):
        with pytest.raises(LedgerUnavailableError, match="not what the entries give") as caught:
            tiles.publish(size, root_of(LEAVES[:size]), since)
        assert "akashi ledger checkpoint --remake" in caught.value.next
    assert store.objects[f"ledger/{changed}"] == forged
    assert {key for key in store.objects if "tile/1/" in key} == above, "nothing was built on it"


def test_a_tile_of_another_length_is_an_alarm_for_proofs() -> None:
    store = MemoryStore()
    tiles = publish(store, 300)
    store.objects["ledger/tile/0/000"] += b"x"
    tiles = tiles_over(store)
    with pytest.raises(LedgerUnavailableError, match="ledger/tile/0/000 in the store"):
        tiles.inclusion(3, 300)


def test_no_node_beyond_the_tree_is_given() -> None:
    tiles = publish(MemoryStore(), 300)
    for level, index in ((0, 300), (8, 1), (9, 0), (0, -1)):
        with pytest.raises(ProofError):
            tiles.node(level, index, 300)


def test_entries_that_are_missing_here_are_not_passed_over() -> None:
    short = Tiles(MemoryStore(), lambda start, stop: ENTRIES[start : stop - 1])  # type: ignore[arg-type]
    with pytest.raises(LedgerUnavailableError, match="entries from 0 on are missing"):
        short.publish(10, root_of(LEAVES[:10]))


class UniformStore(MemoryStore):
    """The tiles of a log in which all entries are the same: any size without its work."""

    def read(self, key: str) -> bytes:
        self.reads += 1
        place = parse_path(key.removeprefix("ledger/"))
        assert place is not None
        assert place.level is not None
        return uniform(8 * place.level) * place.width


def uniform(level: int) -> bytes:
    node = leaf_hash(b"same")
    for _ in range(level):
        node = node_hash(node, node)
    return node


@pytest.mark.parametrize("index", [0, 9_999_999, 5_000_000, 3_141_592])
def test_a_proof_of_ten_million_entries_takes_five_small_objects_and_two_kilobytes(index: int) -> None:
    size, store = 10_000_000, UniformStore()
    root = frontier_root(size)
    began = time.perf_counter()
    path = tiles_over(store).inclusion(index, size)
    took = time.perf_counter() - began
    check_inclusion(leaf_hash(b"same"), index, size, path, root)
    assert store.reads <= 5
    assert len(path) <= 24
    assert took < 0.05, "without the store's own time"


def frontier_root(size: int) -> bytes:
    parts = [uniform(level) for level in range(size.bit_length()) if size >> level & 1]
    root = parts[0]
    for left in parts[1:]:
        root = node_hash(left, root)
    return root


def test_the_tiles_of_a_real_store_are_listed_read_and_refused_like_any_object(store: S3Store) -> None:
    tiles = Tiles(store, entries)
    tiles.publish(300, root_of(LEAVES[:300]))
    tiles.publish(515, root_of(LEAVES[:515]), since=300)
    found = {head.key: store.read(head.key) for head in store.list("ledger/tile/")}
    assert found == dict(expected(300)) | dict(expected(515))
    assert list(found) == sorted(found)
    cold = Tiles(store, entries)
    check_inclusion(LEAVES[4], 4, 515, cold.inclusion(4, 515), root_of(LEAVES[:515]))
    other = b"f" * 32 * 5
    store.put_once("ledger/tile/0/002.p/5", other, digest_bytes(other), content_type="text/plain")
    with pytest.raises(LedgerUnavailableError, match=r"ledger/tile/0/002.p/5 in the store is not what"):
        cold.publish(517, root_of(LEAVES[:517]), since=515)
    assert store.read("ledger/tile/0/002.p/5") == other
    assert len(store.versions("ledger/tile/0/002.p/5")) == 1
