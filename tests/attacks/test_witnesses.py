"""Attacks with the log's own key, before its witnesses: rows 5, 7, 8, 22 and 26 of docs/threat-model.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from evidence.audit_report import LIMITS
from evidence.checkpoint import Checkpoint
from evidence.cosignature import cosign_line, cosigner_of
from evidence.errors import NoteError
from evidence.note import SigningKey, sign_note
from evidence.policy import Policy
from evidence.proof import consistency_path
from evidence.tree import leaf_hash, root_of
from evidence.witness import NOTHING, Decision, Submission, Tree, add_checkpoint
from tests.attacks.keeper import with_entry
from tests.evidence import samples
from tests.evidence.archives import Log, build

EARLIER = "2020-01-01T00:00:00.000Z"


def leaves(entries: Sequence[bytes]) -> list[bytes]:
    return [leaf_hash(entry) for entry in entries]


def submission(old: int, entries: Sequence[bytes], proof_of: Sequence[bytes] = ()) -> Submission:
    """What the keeper sends: a checkpoint of these entries, and a proof, at worst one of other entries."""
    tree, proven = leaves(entries), leaves(proof_of or entries)
    path = consistency_path(
        old, len(proven), lambda level, at: root_of(proven[at << level : at + 1 << level])
    )
    note = sign_note(Checkpoint(samples.ORIGIN, len(tree), root_of(tree)).body(), [samples.LOG_KEY])
    return Submission(old, tuple(path), note)


@dataclass
class Witness:
    """Keeps the largest tree that it cosigned, as `akashi ledger witness` does."""

    key: SigningKey
    held: Tree = NOTHING

    def ask(self, sent: Submission) -> Decision:
        logs = {samples.ORIGIN: [samples.LOG_KEY.verifier]}
        decision = add_checkpoint(sent.encode(), logs, lambda origin: self.held)
        if decision.checkpoint is not None and decision.status == 200:
            self.held = Tree(decision.checkpoint.size, decision.checkpoint.root)
        return decision


def witness(number: int) -> Witness:
    return Witness(SigningKey.from_seed(f"witness.example/{number}", bytes([number] * 32)))


@pytest.fixture
def log() -> Log:
    return build()[1]


@pytest.fixture
def seen(log: Log) -> Witness:
    """A witness that cosigned the log's five first entries."""
    one = witness(1)
    assert one.ask(submission(0, log.entries[:5])).status == 200
    return one


@pytest.mark.parametrize("claimed", [0, 3, 5])
@pytest.mark.parametrize("borrowed", [False, True], ids=["own-proof", "borrowed-proof"])
def test_05_rewritten_history_signed_anew_is_not_cosigned(
    log: Log, seen: Witness, claimed: int, borrowed: bool
) -> None:
    forged = with_entry(log, 2, time=EARLIER)
    sent = submission(claimed, forged, log.entries if borrowed else forged)
    assert seen.ask(sent).status in {409, 422}


def test_07_a_log_that_lost_its_tail_is_not_cosigned(log: Log, seen: Witness) -> None:
    assert seen.ask(submission(3, log.entries[:4])).status == 409


def test_08_the_second_of_two_histories_is_refused_and_is_proof_of_the_fraud(log: Log, seen: Witness) -> None:
    decision = seen.ask(submission(5, with_entry(log, 3, time=EARLIER)[:5]))
    assert decision.status == 409
    assert decision.contradicts


def test_22_some_witnesses_collude_but_not_those_of_the_other_side(log: Log) -> None:
    bought, court = [witness(1), witness(2)], witness(3)
    names = [*bought, court]
    for one in names:
        assert one.ask(submission(0, log.entries[:5])).status == 200
    forged = with_entry(log, 2, time=EARLIER)
    sent = submission(5, forged)
    text = sent.note.decode().partition("\n\n")[0] + "\n"
    cosigned = sent.note + "".join(cosign_line(one.key, text, 1_800_000_000) for one in bought).encode()
    assert court.ask(sent).status == 422
    assert _policy(names, 2).check(cosigned).met, "two of three is what the two can give"
    with pytest.raises(NoteError) as caught:
        _policy(names, 3).check(cosigned)
    assert caught.value.rule == "quorum"
    over_the_true_tree = submission(0, log.entries[:5]).note.decode().partition("\n\n")[0] + "\n"
    moved = cosign_line(court.key, over_the_true_tree, 1_800_000_000).encode()
    with pytest.raises(NoteError) as caught:
        _policy(names, 3).check(cosigned + moved)
    assert caught.value.rule == "cosignature"


def test_22_that_all_of_them_collude_is_told_as_not_proved() -> None:
    assert "witnesses" in LIMITS["collusion"]


def _policy(witnesses: Sequence[Witness], quorum: int) -> Policy:
    names = [f"w{number}" for number, _ in enumerate(witnesses)]
    lines = [f"log {samples.LOG_KEY.vkey}"]
    lines += [
        f"witness {name} {cosigner_of(one.key).vkey}" for name, one in zip(names, witnesses, strict=True)
    ]
    lines += [f"group all-sides {quorum} {' '.join(names)}", "quorum all-sides", ""]
    return Policy.parse("\n".join(lines).encode())


def test_26_of_two_sequencers_at_once_only_one_is_signed_for(log: Log, seen: Witness) -> None:
    """The signer keeps the witness's rule: the second tree of one size is not signed."""
    ours, theirs = log.entries[:6], with_entry(log, 5, time=EARLIER)[:6]
    assert seen.ask(submission(5, ours)).status == 200
    assert seen.ask(submission(5, theirs)).status == 409
    assert seen.ask(submission(6, [*theirs, log.entries[6]])).status == 422
