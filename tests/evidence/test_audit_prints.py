"""Eight bytes for each of millions of texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evidence.audit_prints import Prints, new_key, print_of

KEY = new_key()
texts = st.lists(st.text("abcdefgh", max_size=3), max_size=60)


def prints_of(items: list[str]) -> Prints:
    prints = Prints()
    for item in items:
        prints.add(print_of(item, KEY))
    return prints


@given(texts, texts)
def test_prints_tell_apart_what_sets_do(one: list[str], other: list[str]) -> None:
    mine, theirs = prints_of(one), prints_of(other)
    assert mine.without(theirs) == {print_of(text, KEY) for text in set(one) - set(other)}
    assert mine.twice() == {print_of(text, KEY) for text in one if one.count(text) > 1}
    assert all((print_of(text, KEY) in mine) == (text in one) for text in other)


def test_many_prints_are_added_as_one_run_of_bytes_and_later_ones_count() -> None:
    prints = Prints()
    prints.add(print_of("a", KEY) + print_of("b", KEY))
    assert print_of("b", KEY) in prints
    prints.add(b"")
    prints.add(print_of("c", KEY))
    assert print_of("c", KEY) in prints
    assert print_of("d", KEY) not in prints


def test_nobody_can_make_two_texts_share_a_print_for_the_key_is_new_each_time() -> None:
    assert print_of("a", new_key()) != print_of("a", new_key())
