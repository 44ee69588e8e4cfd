from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.canonical import canonical, parse
from evidence.entry import _BODIES, _ENTRY, _SURE, ENTRY_TYPES, MAX_ENTRY, NO_PREVIOUS, Entry, chain
from evidence.errors import CheckFailedError, EntryError, SegmentError
from evidence.segment import MAX_ENTRIES, encode_segment, parse_segment, segment_key
from evidence.shape import require
from evidence.tree import leaf_hash
from tests.evidence.archives import Log, MemoryArchive, capture_id, crawl
from tests.evidence.samples import TIME
from tests.vectors.make import keys_in_use, log_with_custody, log_with_every_type

LOG = log_with_every_type()[0]
EVERY = [*LOG.entries]
(_crawled := Log()).open()
crawl(_crawled, MemoryArchive(), 13)
EVERY += _crawled.entries
EVERY += log_with_custody()[0].entries
EVERY += [(Path(__file__).parents[1] / "vectors/entry/anchor.tsr.json").read_bytes()]
EVERY += [data for name, data in keys_in_use().items() if name.startswith("entry/")]
hexadecimal = st.text("0123456789abcdef", min_size=64, max_size=64)
sha512 = st.text("0123456789abcdef", min_size=128, max_size=128)
digests = st.fixed_dictionaries({"sha256": hexadecimal, "sha512": sha512, "size": st.integers(0, 2**53 - 1)})


@given(st.integers(1, 10**12), hexadecimal.filter(lambda text: text != NO_PREVIOUS), digests)
def test_an_entry_round_trips(index: int, prev: str, request: dict[str, Any]) -> None:
    entry = Entry(index, prev, TIME, "capture.started", capture_id(10), {"request": request})
    assert Entry.decode(entry.encode()) == entry
    assert Entry.decode(entry.encode()).encode() == entry.encode()


@given(st.integers(0, len(LOG.entries) - 1), st.integers(0, 10_000), st.integers(1, 255))
def test_changed_bytes_are_refused_or_another_leaf(number: int, position: int, mask: int) -> None:
    data = bytearray(LOG.entries[number])
    data[position % len(data)] ^= mask
    try:
        entry = Entry.decode(bytes(data))
    except CheckFailedError:
        return
    assert entry.encode() == bytes(data)
    assert leaf_hash(bytes(data)) != leaf_hash(LOG.entries[number])


@pytest.mark.parametrize("kind", sorted(ENTRY_TYPES))
def test_what_is_told_at_a_glance_is_what_the_long_reading_lets_pass(kind: str) -> None:
    """Every byte of an entry, changed into bytes that mean something in JSON, cut out, or doubled."""
    data = next(data for data in EVERY if f'"{kind}"'.encode() in data)
    whole = _SURE.get(kind.encode())
    assert whole is None or whole.fullmatch(data)
    for position in range(len(data)):
        before, after = data[:position], data[position + 1 :]
        others = (
            *(bytes([c]) for c in b'"\\ ,:{}[]-+.019aAfzZI\n\x00\x7f\xc3'),
            b"",
            data[position : position + 1] * 2,
        )
        for changed in {before + other + after for other in others} - {data}:
            if whole is not None and whole.fullmatch(changed):
                document = parse(changed)
                require(document, _ENTRY, EntryError, rule="")
                assert isinstance(document, dict)
                require(document["body"], _BODIES[kind], EntryError, rule="")


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29T08:13:00.123Z",
        "2026-02-29T08:13:00.123Z",
        "2026-04-31T00:00:00.000Z",
        "0000-01-01T00:00:00.000Z",
    ],
)
def test_a_day_that_no_expression_can_tell_is_judged_by_the_calendar(text: str) -> None:
    data = LOG.entries[3].replace(TIME.encode(), text.encode())
    if text.startswith("2024"):
        assert Entry.decode(data).time == text
    else:
        with pytest.raises(EntryError):
            Entry.decode(data)


def test_the_chain_is_the_leaf_hash() -> None:
    assert chain(None) == NO_PREVIOUS
    for before, after in zip(LOG.entries, LOG.entries[1:], strict=False):
        assert json.loads(after)["prev"] == leaf_hash(before).hex()


def test_a_refusal_names_the_field() -> None:
    document = json.loads(LOG.entries[4])
    document["body"]["objects"][1]["size"] = "12"
    with pytest.raises(EntryError) as caught:
        Entry.decode(canonical(document))
    assert (caught.value.rule, caught.value.field) == ("entry-shape", "body.objects[1].size")


def test_an_entry_that_would_be_refused_is_not_made() -> None:
    objects = [
        {"key": f"captures/2026/11/23/{capture_id(10)}/{n:03}", "version": "", "sha256": "a" * 64}
        | {"sha512": "b" * 128, "size": 1}
        for n in range(260)
    ]
    objects.append(objects[0] | {"key": f"captures/2026/11/23/{capture_id(10)}/manifest.json"})
    body = json.loads(LOG.entries[4])["body"] | {"objects": objects}
    with pytest.raises(EntryError, match=str(MAX_ENTRY)):
        Entry(4, "a" * 64, TIME, "capture.completed", capture_id(10), body).encode()


@given(st.integers(1, len(LOG.entries)), st.integers(0, len(LOG.entries) - 1))
def test_a_segment_round_trips(count: int, first: int) -> None:
    entries = LOG.entries[first : first + count]
    data = encode_segment(entries)
    segment = parse_segment(data)
    assert (segment.first, [line.data for line in segment.entries]) == (first, entries)
    for line in segment.entries:
        assert data[line.offset : line.offset + line.length] == line.data + b"\n"
        assert line.entry == Entry.decode(line.data)


@given(st.integers(0, 100_000), st.integers(1, 255))
def test_a_changed_byte_of_a_segment_is_refused_but_for_its_last_entry(position: int, mask: int) -> None:
    data = bytearray(encode_segment(LOG.entries))
    position %= len(data)
    last = parse_segment(bytes(data)).entries[-1].offset
    data[position] ^= mask
    if position < last:
        with pytest.raises(SegmentError) as caught:
            parse_segment(bytes(data))
        assert caught.value.offset is not None
    # Only the next segment or a checkpoint can vouch for the last entry.


def test_a_segment_holds_what_a_tile_can_hold() -> None:
    with pytest.raises(SegmentError):
        encode_segment([])
    with pytest.raises(SegmentError, match=str(MAX_ENTRIES)):
        encode_segment([LOG.entries[0]] * (MAX_ENTRIES + 1))


def test_what_could_not_be_read_again_is_not_published() -> None:
    with pytest.raises(SegmentError):
        encode_segment([LOG.entries[1], LOG.entries[3]])


@given(st.integers(1, len(LOG.entries)), st.integers(0, len(LOG.entries) - 1), st.sets(st.integers(0, 20)))
def test_what_the_caller_has_encoded_gives_the_same_segment(count: int, first: int, known: set[int]) -> None:
    entries = LOG.entries[first : first + count]
    encoded = {data: Entry.decode(data) for index, data in enumerate(entries) if index in known}
    assert encode_segment(entries, encoded) == encode_segment(entries)


@pytest.mark.parametrize("order", [[1, 3], [2, 1], [1, 1], [1, 2, 4]], ids=str)
def test_what_the_caller_has_encoded_is_held_to_its_place_in_the_chain(order: list[int]) -> None:
    encoded = {data: Entry.decode(data) for data in LOG.entries}
    with pytest.raises(SegmentError) as told:
        encode_segment([LOG.entries[index] for index in order], encoded)
    assert told.value.rule == "segment-index"
    renumbered = dataclasses.replace(encoded[LOG.entries[3]], index=2)  # and its `prev` is that of entry 3
    with pytest.raises(SegmentError) as told:
        encode_segment([LOG.entries[1], renumbered.encode()], {**encoded, renumbered.encode(): renumbered})
    assert told.value.rule == "segment-chain"


def test_what_differs_by_a_byte_from_what_the_caller_has_encoded_is_read() -> None:
    encoded = {data: Entry.decode(data) for data in LOG.entries}
    with pytest.raises(SegmentError) as told:
        encode_segment([LOG.entries[1], LOG.entries[2] + b" "], encoded)
    assert told.value.rule == "segment-entry"


def test_segments_sort_by_their_first_entry() -> None:
    assert segment_key(12) == "ledger/segments/000000000012"
    assert sorted(map(segment_key, (100, 12, 9))) == [segment_key(n) for n in (9, 12, 100)]
