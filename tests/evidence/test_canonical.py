from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from evidence.canonical import JSON, TOO_DEEP, canonical, first_difference, parse, parse_utc, plain, utc
from evidence.errors import CanonicalError

integers = st.integers(-(2**53) + 1, 2**53 - 1)
scalars = st.none() | st.booleans() | integers | st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_what_was_written_is_read_again(value: JSON) -> None:
    assert parse(canonical(value)) == value


@given(values)
def test_a_plain_json_reader_agrees(value: JSON) -> None:
    assert json.loads(canonical(value)) == value


@given(values, st.integers(0, 200), st.integers(0, 255))
def test_any_other_bytes_are_another_value_or_refused(value: JSON, position: int, byte: int) -> None:
    data = bytearray(canonical(value))
    position %= len(data)
    unchanged = data[position] == byte
    data[position] = byte
    try:
        read = parse(bytes(data))
    except CanonicalError:
        return
    assert canonical(read) == bytes(data)
    assert unchanged or json.dumps(read) != json.dumps(value)


@given(
    st.recursive(
        scalars,
        lambda inner: st.dictionaries(st.text('\x00\x1f\x7f/"\\aZ~\n\u2028é'), inner) | st.lists(inner),
    )
)
def test_the_quick_writer_writes_what_the_specification_does(value: JSON) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


def test_keys_are_sorted_by_utf_16_code_units() -> None:
    # RFC 8785 §3.2.3, the example with an emoji before a Hebrew presentation form
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(json.loads(canonical(dict.fromkeys(keys, 1))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_bytes_are_those_of_the_specification() -> None:
    value = {"string": '\u20ac$\u000f\nA\'B"\\\\"/', "literals": [None, True, False]}
    assert canonical(value) == (
        b'{"literals":[null,true,false],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.parametrize(
    ("value", "rule"),
    [(1.5, "float"), (2**53, "integer"), (-(2**53), "integer"), (b"x", "type"), ({1: 2}, "type")],
)
def test_writing_refuses_what_has_no_exact_form(value: object, rule: str) -> None:
    with pytest.raises(CanonicalError) as caught:
        canonical({"a": [value]} if rule != "type" else value)
    assert caught.value.rule == rule


def test_a_defect_is_placed_in_bytes_not_characters() -> None:
    with pytest.raises(CanonicalError) as caught:
        parse('{"短い":1,}'.encode())
    assert caught.value.offset == len('{"短い":1,'.encode())


@given(st.recursive(scalars | st.floats() | st.integers() | st.text(), st.lists, max_leaves=8))
def test_plain_brings_anything_into_canonical_form(value: object) -> None:
    assert parse(canonical(plain({"value": value}))) == plain({"value": value})


def test_plain_keeps_meaning_and_cuts_nothing() -> None:
    value = {1: 0.5, "p": Path("/x"), "big": 2**60, "set": {"b", "a"}, "lone": "\ud800x", "t": (True, None)}
    assert plain(value) == {
        "1": "0.5",
        "p": "/x",
        "big": "1152921504606846976",
        "set": ["a", "b"],
        "lone": "\ufffdx",
        "t": [True, None],
    }


def test_plain_survives_any_depth() -> None:
    deep: object = "end"
    for _ in range(5000):
        deep = {"a": [deep]}
    assert TOO_DEEP in canonical({"browser": {"value": plain(deep)}}).decode()


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9998, 1, 1)))  # noqa: DTZ001
def test_times_round_trip_to_the_millisecond(naive: datetime) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=9)))
    text = utc(moment)
    assert parse_utc(text) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert utc(parse_utc(text)) == text


@pytest.mark.parametrize(
    "text", ["2026-11-23T08:13:00Z", "2026-11-23T08:13:00.123+00:00", "2026-02-30T00:00:00.000Z", "x", ""]
)
def test_a_time_has_one_form(text: str) -> None:
    with pytest.raises(CanonicalError):
        parse_utc(text)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(CanonicalError):
        utc(datetime(2026, 1, 1))  # noqa: DTZ001
    assert utc(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"


@given(st.binary(), st.binary())
def test_the_first_difference_is_where_a_common_prefix_ends(one: bytes, other: bytes) -> None:
    offset = first_difference(one, other)
    if offset is None:
        assert one == other
    else:
        assert one[:offset] == other[:offset]
        assert one[offset : offset + 1] != other[offset : offset + 1]
