"""Where tiles and bundles lie, and their bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.errors import ProofError
from evidence.tiles import (
    Place,
    bundle_path,
    decode_bundle,
    decode_tile,
    encode_bundle,
    parse_path,
    places,
    tile_path,
)


def test_paths_are_those_of_the_specification() -> None:
    assert tile_path(0, 1234067) == "tile/0/x001/x234/067"
    assert tile_path(1, 0, 17) == "tile/1/000.p/17"
    assert tile_path(63, 999) == "tile/63/999"
    assert tile_path(0, 1000) == "tile/0/x001/000"
    assert bundle_path(273, 112) == "tile/entries/273.p/112"


levels = st.none() | st.integers(0, 63)


@given(levels, st.integers(0, 10**12), st.integers(1, 256))
def test_a_path_is_read_as_the_place_it_was_made_of(level: int | None, number: int, width: int) -> None:
    place = Place(level, number, width)
    assert parse_path(place.path) == place


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/08",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "tile/bundles/000",
        "tiles/0/000",
        "/tile/0/000",
    ],
)
def test_what_is_no_path_of_the_specification_is_not_read(path: str) -> None:
    assert parse_path(path) is None


def test_the_tree_of_the_specification_s_example() -> None:
    """70,000 entries: "273 full level 0 tiles, one partial …, one partial level 2 tile of width 1"."""
    found = list(places(70_000))
    assert [place for place in found if place.level == 0] == [
        *(Place(0, number, 256) for number in range(273)),
        Place(0, 273, 112),
    ]
    assert [place.path for place in found if place.level not in {0, None}] == [
        "tile/1/000",
        "tile/1/001.p/17",
        "tile/2/000.p/1",
    ]
    assert [place for place in found if place.level is None] == [
        place._replace(level=None) for place in found if place.level == 0
    ]
    assert [place.path for place in places(256)] == ["tile/0/000", "tile/entries/000", "tile/1/000.p/1"]
    assert list(places(0)) == []


@given(st.integers(0, 200_000), st.integers(0, 1000))
def test_what_a_larger_tree_adds_is_all_that_it_has_and_the_smaller_had_not(size: int, more: int) -> None:
    added = list(places(size + more, size))
    assert set(added) == set(places(size + more)) - set(places(size))
    assert len(added) == len(set(added))


@given(st.lists(st.binary(max_size=65535), min_size=1, max_size=256))
def test_a_bundle_gives_the_entries_it_was_made_of(entries: list[bytes]) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries)) == entries
    assert len(data) == sum(map(len, entries)) + 2 * len(entries)


@pytest.mark.parametrize(
    ("data", "width"),
    [
        (b"\x00\x03abc", 2),
        (b"\x00\x03abc\x00\x00", 1),
        (b"\x00\x03ab", 1),
        (b"\x00\x03abc\x00", 2),
        (b"", 0),
        (b"\x00\x00" * 257, 257),
    ],
    ids=["an entry less", "an entry more", "cut in an entry", "cut in a length", "nothing", "more than 256"],
)
def test_a_bundle_with_a_defect_is_refused(data: bytes, width: int) -> None:
    with pytest.raises(ProofError) as caught:
        decode_bundle(data, width)
    assert caught.value.rule == "bundle"


@pytest.mark.parametrize("entries", [[], [b""] * 257, [b"x" * 65536]], ids=["none", "257", "64 KiB"])
def test_what_no_bundle_can_hold_is_refused(entries: list[bytes]) -> None:
    with pytest.raises(ProofError):
        encode_bundle(entries)


def test_a_tile_is_its_hashes_and_nothing_between() -> None:
    data = bytes(range(96))
    assert decode_tile(data, 3) == [data[:32], data[32:64], data[64:]]
    for width in (0, 2, 4, 257):
        with pytest.raises(ProofError):
            decode_tile(data, width)
    with pytest.raises(ProofError):
        decode_tile(data[:-1], 3)
