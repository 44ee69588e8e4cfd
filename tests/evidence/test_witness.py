"""The witness's decisions: honest growth is always accepted, nothing else ever is."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.checkpoint import Checkpoint
from evidence.errors import NoteError
from evidence.note import SigningKey, sign_note
from evidence.proof import consistency_path
from evidence.tree import root_of
from evidence.witness import NOTHING, Decision, Submission, Tree, add_checkpoint, read_text
from tests.evidence.samples import LOG_KEY, ORIGIN

LOGS = {ORIGIN: [LOG_KEY.verifier]}


def leaves(size: int, *, forked_at: int | None = None) -> list[bytes]:
    """Leaf hashes of a log, or of another one that differs from an index on."""
    return [
        hashlib.sha256(b"%d %d" % (index, forked_at is not None and index >= forked_at)).digest()
        for index in range(size)
    ]


def note_of(tree: Sequence[bytes], origin: str = ORIGIN, key: SigningKey = LOG_KEY) -> bytes:
    return sign_note(Checkpoint(origin, len(tree), root_of(tree)).body(), [key])


def submission(old: int, tree: Sequence[bytes]) -> Submission:
    path = consistency_path(old, len(tree), lambda level, at: root_of(tree[at << level : at + 1 << level]))
    return Submission(old, tuple(path), note_of(tree))


def ask(data: Submission | bytes, held: Tree = NOTHING) -> Decision:
    return add_checkpoint(
        data if isinstance(data, bytes) else data.encode(), LOGS, {ORIGIN: held}.__getitem__
    )


def held(tree: Sequence[bytes]) -> Tree:
    return Tree(len(tree), root_of(tree))


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6).map(sorted))
def test_every_sequence_of_honest_growth_is_accepted(sizes: list[int]) -> None:
    state = NOTHING
    for size in sizes:
        tree = leaves(size)
        decision = ask(submission(state.size, tree), state)
        assert (decision.status, decision.contradicts) == (200, False)
        assert decision.text == Checkpoint(ORIGIN, size, root_of(tree)).body()
        assert decision.checkpoint is not None
        state = Tree(decision.checkpoint.size, decision.checkpoint.root)
        assert state == held(tree)


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 39), st.integers(0, 45))
@settings(max_examples=300, deadline=None)
def test_no_fork_is_ever_accepted_whatever_size_and_proof_it_claims(
    known: int, more: int, fork: int, old: int
) -> None:
    forked = leaves(known + more, forked_at=fork % known)
    state = held(leaves(known))
    honest = ask(submission(min(old, len(forked)), forked), state)
    assert honest.status in {409, 422}
    assert honest.contradicts == (honest.status == 422 or not more)
    borrowed = submission(known, leaves(known + more))._replace(note=note_of(forked))
    decision = ask(borrowed, state)
    assert (decision.status, decision.contradicts) == (422 if more else 409, True)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 39), st.integers(0, 45))
def test_no_rollback_is_ever_accepted(known: int, size: int, old: int) -> None:
    tree = leaves(min(size, known - 1))
    decision = ask(Submission(old, (), note_of(tree)), held(leaves(known)))
    assert decision.status == (400 if old > len(tree) else 409)
    assert decision.held == (None if old > len(tree) else known)


def test_the_size_that_is_held_is_told_so_that_a_client_can_start_from_there() -> None:
    decision = ask(submission(0, leaves(9)), held(leaves(5)))
    assert (decision.status, decision.held) == (409, 5)
    assert ask(submission(5, leaves(9)), held(leaves(5))).status == 200


def test_the_same_checkpoint_again_is_cosigned_again() -> None:
    assert ask(submission(5, leaves(5)), held(leaves(5))).status == 200


def test_another_root_of_the_size_that_is_held_is_evidence_whatever_the_old_size() -> None:
    forked = leaves(5, forked_at=2)
    for old, size in ((5, None), (0, 5)):
        decision = ask(submission(old, forked), held(leaves(5)))
        assert (decision.status, decision.held, decision.contradicts) == (409, size, True)


def test_origins_and_signatures_are_looked_at_before_the_tree() -> None:
    tree = leaves(5)
    stranger = SigningKey.from_seed("stranger.example", bytes(32))
    namesake = SigningKey.from_seed(ORIGIN, bytes(32))
    for note, status in (
        (note_of(tree, "stranger.example", stranger), 404),
        (note_of(tree, key=namesake), 403),
        (note_of(tree, key=stranger), 403),
        (note_of(tree).replace(b"\n5\n", b"\n4\n", 1), 403),
    ):
        decision = ask(Submission(0, (), note))
        assert (decision.status, decision.contradicts) == (status, False)
    unknown_too = note_of(tree) + stranger.sign_line("x\n").encode()
    assert ask(Submission(0, (), unknown_too)).status == 200


def test_a_foreign_log_may_have_extension_lines_and_larger_sizes() -> None:
    text = Checkpoint("foreign.example", 2**63 - 1, bytes(32)).body() + "extension 1\n"
    key = SigningKey.from_seed("foreign.example", bytes(32))
    request = Submission(0, (), sign_note(text, [key])).encode()
    decision = add_checkpoint(request, {key.name: [key.verifier]}, lambda _: NOTHING)
    assert (decision.status, decision.text) == (200, text)


def test_a_proof_where_none_belongs_is_refused() -> None:
    tree = leaves(5)
    assert ask(submission(0, tree)._replace(path=(bytes(32),))).status == 422
    assert ask(submission(5, tree)._replace(path=(bytes(32),)), held(tree)).status == 422
    assert ask(Submission(0, (), sign_note(Checkpoint(ORIGIN, 0, bytes(32)).body(), [LOG_KEY]))).status == 409


GOOD = submission(3, leaves(5)).encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[4:], id="no-old"),
        pytest.param(GOOD.replace(b"old 3", b"old 03"), id="leading-zero"),
        pytest.param(GOOD.replace(b"old 3", b"old -3"), id="negative"),
        pytest.param(GOOD.replace(b"old 3", b"old 3 "), id="space-behind"),
        pytest.param(GOOD.replace(b"old 3", b"old " + b"9" * 5000), id="5000-digits"),
        pytest.param(GOOD.replace(b"old 3\n", b"old 3\r\n"), id="crlf"),
        pytest.param(GOOD.replace(b"\n\n", b"\n", 1), id="no-empty-line"),
        pytest.param(GOOD.replace(b"\n\n", b"\nAAAA\n\n", 1), id="short-hash"),
        pytest.param(GOOD.replace(b"\n\n", b"\n%s=\n\n" % (b"A" * 42 + b"B"), 1), id="spare-bits"),
        pytest.param(GOOD.replace(b"\n\n", b"\n\xff\n\n", 1), id="not-ascii"),
        pytest.param(
            b"old 3\n" + (b"A" * 43 + b"=\n") * 64 + GOOD[GOOD.index(b"\n\n") + 1 :], id="64-hashes"
        ),
        pytest.param(GOOD[:-1], id="note-cut"),
        pytest.param(GOOD.replace(b"\n5\n", b"\n05\n"), id="size-with-leading-zero"),
        pytest.param(GOOD.replace(b"\n5\n", b"\n"), id="no-size"),
    ],
)
def test_what_is_no_request_is_400(data: bytes) -> None:
    assert ask(data, held(leaves(3))).status == 400


def test_63_hashes_are_read_and_the_request_round_trips() -> None:
    long = Submission(7, (bytes(32),) * 63, note_of(leaves(9)))
    assert Submission.decode(long.encode()) == long
    assert ask(long, held(leaves(7))).status == 422


def test_a_text_whose_root_has_a_second_form_is_no_checkpoint() -> None:
    with pytest.raises(NoteError):
        read_text(f"{ORIGIN}\n7\n{'A' * 42}B=\n")
