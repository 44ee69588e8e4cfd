"""Keys that change: who may name the next one, what each was good for, and what a theft leaves standing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.errors import NoteError
from evidence.keys import KeyHistory, anchored
from evidence.note import SigningKey, VerifierKey
from tests.evidence import samples
from tests.evidence.archives import capture_id, started_body
from tests.evidence.key_logs import RECOVERY, THIEF, KeyLog, key

VECTORS = Path(__file__).parents[1] / "vectors"
K0, K1, K2 = samples.LOG_KEY, key(1), key(2)
SINCE = "2026-11-23T08:00:00.000Z"
BEFORE = "2026-11-23T07:59:59.999Z"


@pytest.fixture
def log() -> KeyLog:
    return KeyLog.opened()


def filled(log: KeyLog, count: int = 1) -> KeyLog:
    for _ in range(count):
        log.append("capture.started", capture_id(10 + len(log.entries)), started_body())
    return log


def history(
    log: KeyLog, *trusted: SigningKey, outside: Callable[[int], str | None] | None = None
) -> KeyHistory:
    return KeyHistory.of(log.decoded(), [one.verifier for one in trusted], outside)


def refusal(history: KeyHistory, note: bytes) -> str:
    with pytest.raises(NoteError) as caught:
        history.checkpoint(note)
    return caught.value.rule


def broken(log: KeyLog) -> list[tuple[int, str]]:
    return [(entry.index, error.rule) for entry, error in history(log).broken]


def test_from_any_key_that_is_trusted_all_of_the_logs_keys_are_reached(log: KeyLog) -> None:
    log.rotate("log", K0, K1)
    log.rotate("log", K1, K2)
    for trusted in (K0, K1, K2):
        known = history(log, trusted)
        assert all(known.trusts(one.verifier) for one in (K0, K1, K2))
        assert known.checkpoint(log.note(5, K2)).size == 5
        assert known.checkpoint(log.note(2, K0)).size == 2


def test_while_two_log_keys_are_active_either_or_both_sign(log: KeyLog) -> None:
    log.rotate("log", K0, K1)
    filled(log, 2)
    for keys in ((K0,), (K1,), (K0, K1), (K1, K0)):
        assert history(log, K0).checkpoint(log.note(5, *keys)).size == 5
    assert [life.vkey for life in history(log).active("log")] == [K1.vkey, K0.vkey]


def test_a_key_signs_nothing_before_it_was_named(log: KeyLog) -> None:
    log.rotate("log", K0, K1)
    assert refusal(history(log, K0), log.note(2, K1)) == "checkpoint-signer"
    assert history(log, K0).checkpoint(log.note(3, K1)).size == 3


def test_a_retired_key_signs_nothing_after_not_even_beside_a_good_one(log: KeyLog) -> None:
    log.rotate("log", K0, K1)
    at = log.retire("log", K0)
    filled(log, 2)
    known = history(log, K1)
    assert known.checkpoint(log.note(at, K0)).size == at
    for keys in ((K0,), (K0, K1), (K1, K0)):
        assert refusal(known, log.note(at + 1, *keys)) == "checkpoint-signer"
    assert known.checkpoint(log.note(at + 1, K1)).size == at + 1


def test_a_rotation_that_the_old_key_did_not_sign_changes_nothing(log: KeyLog) -> None:
    log.rotate("log", K0, THIEF, by=THIEF)
    assert broken(log) == [(2, "key-signature")]
    assert refusal(history(log, K0), log.note(3, THIEF)) == "unsigned"
    assert refusal(history(log), log.note(3, THIEF)) == "unsigned"


def test_a_recovery_key_counts_only_when_a_log_key_signed_it_in(log: KeyLog) -> None:
    log.recovery(by=THIEF)
    log.rotate("log", K0, THIEF, by=RECOVERY)
    assert broken(log) == [(2, "key-signature"), (3, "key-signature")]
    assert refusal(history(log, K0), log.note(4, THIEF)) == "unsigned"


def test_a_lost_log_key_is_followed_by_one_that_the_recovery_key_signs(log: KeyLog) -> None:
    log.recovery()
    log.rotate("log", K0, K1, by=RECOVERY)
    log.retire("log", K0)
    assert broken(log) == []
    for trusted in (K0, K1):
        assert history(log, trusted).checkpoint(log.note(5, K1)).size == 5
        assert history(log, trusted).checkpoint(log.note(3, K0)).size == 3


def test_a_retired_recovery_key_names_no_successor(log: KeyLog) -> None:
    log.recovery()
    log.retire("recovery", RECOVERY)
    log.rotate("log", K0, K1, by=RECOVERY)
    assert broken(log) == [(4, "key-signature")]


def test_of_a_log_that_a_stranger_opened_nothing_is_reached_though_it_names_our_key() -> None:
    """Attack 15: his own keys; and ours as the successor of his, which ours did not accept."""
    log = KeyLog()
    log.append("log.opened", samples.ORIGIN, {"origin": samples.ORIGIN, "vkey": THIEF.vkey})
    log.rotate("log", THIEF, K1)
    known = history(log, K0)
    assert not known.trusts(THIEF.verifier)
    assert refusal(known, log.note(2, THIEF)) == "unsigned"
    assert history(log).checkpoint(log.note(2, THIEF)).size == 2, "by its own word it is sound"


def test_a_namesake_of_the_log_is_a_stranger(log: KeyLog) -> None:
    assert refusal(history(log, K0), log.note(2, THIEF)) == "unsigned"
    assert history(log, K0).checkpoint(log.note(2, THIEF, K0)).size == 2


def test_what_a_stolen_key_signed_counts_if_others_show_it_to_be_older(log: KeyLog) -> None:
    """Attack 19: anchors bound the damage."""
    filled(log, 3)
    log.rotate("log", K0, K1)
    at = log.compromise("log", K0, SINCE)
    assert refusal(history(log, K1), log.note(4, K0)) == "key-compromised"
    bounded = history(log, K1, outside=anchored([(4, BEFORE), (6, SINCE), (4, SINCE)]))
    assert [bounded.checkpoint(log.note(size, K0)).size for size in (2, 3, 4)] == [2, 3, 4]
    assert refusal(bounded, log.note(5, K0)) == "key-compromised"
    assert bounded.checkpoint(log.note(6, K0, K1)).size == 6, "the next key saw it too"
    assert refusal(bounded, log.note(at + 1, K0)) == "checkpoint-signer"
    assert bounded.checkpoint(log.note(at + 1, K1)).size == at + 1


def test_a_stolen_key_names_no_successor_for_those_who_knew_only_it(log: KeyLog) -> None:
    log.rotate("log", K0, K1)
    log.compromise("log", K0, SINCE)
    assert not history(log, K0).trusts(K1.verifier)
    assert history(log, K1).trusts(K0.verifier)
    assert history(log, K0, outside=lambda size: BEFORE).trusts(K1.verifier)


def test_the_recovery_key_names_one_that_all_can_follow_unless_the_thief_signed_it_in(log: KeyLog) -> None:
    added = log.recovery()
    log.rotate("log", K0, K1, by=RECOVERY)
    log.compromise("log", K0, SINCE)
    assert not history(log, K0).trusts(K1.verifier), (
        "the thief could have signed in a recovery key of his own"
    )
    known = history(log, K0, outside=lambda size: BEFORE if size <= added + 1 else None)
    assert known.trusts(K1.verifier)


def test_collectors_are_good_from_their_entry_to_their_retirement(log: KeyLog) -> None:
    second = key(1, "/collector")
    at = log.rotate("collector", samples.COLLECTOR, second)
    end = log.retire("collector", samples.COLLECTOR)
    known = history(log)
    assert [life.vkey for life in known.active("collector", at - 1)] == [samples.COLLECTOR.vkey]
    assert [life.vkey for life in known.active("collector", at)] == [second.vkey, samples.COLLECTOR.vkey]
    assert [life.vkey for life in known.active("collector", end)] == [second.vkey]


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("key-again", lambda log: log.rotate("log", K0, SigningKey.from_seed(K0.name, samples.COLLECTOR.seed))),
        ("key-again", lambda log: log.append("key.added", K0.name, {"role": "collector", "vkey": K0.vkey})),
        ("key-again", lambda log: log.recovery(SigningKey.from_seed("r.invalid", K0.seed))),
        ("key-last", lambda log: log.retire("log", K0)),
        ("key-last", lambda log: log.retire("collector", samples.COLLECTOR)),
        ("key-last", lambda log: log.compromise("log", K0, SINCE)),
        ("key-unknown", lambda log: log.retire("log", K1)),
        ("key-unknown", lambda log: log.rotate("log", K1, K2)),
        ("key-unknown", lambda log: log.retire("recovery", samples.COLLECTOR)),
    ],
    ids=[
        "one-key-in-two-roles", "log-key-as-collector", "log-key-as-recovery-key-under-another-name",
        "last-log-key", "last-collector", "last-log-key-compromised", "never-added", "rotated-from-a-stranger",
        "in-another-role",
    ],
)  # fmt: skip
def test_what_contradicts_the_keys_before_it_changes_nothing(
    log: KeyLog, rule: str, change: Callable[[KeyLog], int]
) -> None:
    index = change(log)
    assert broken(log) == [(index, rule)]
    assert [life.vkey for life in history(log).active("log")] == [K0.vkey]


def test_a_key_that_was_retired_can_be_found_stolen_later_and_never_comes_back(log: KeyLog) -> None:
    log.rotate("log", K0, K1)
    at = log.retire("log", K0)
    log.compromise("log", K0, SINCE)
    log.rotate("log", K1, K0)
    life = history(log).find(K0.vkey)
    assert life is not None
    assert (life.until, life.since) == (at, SINCE)
    assert broken(log) == [(5, "key-again")]


STEPS = st.lists(st.sampled_from(["fill", "rotate", "recover", "retire", "collector"]), max_size=14)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.data())
def test_whatever_was_rotated_each_size_is_signed_by_exactly_the_keys_of_its_time(
    steps: list[str], data: st.DataObject
) -> None:
    log, active, collector = KeyLog.opened(), [K0], samples.COLLECTOR
    log.recovery()
    every, signing = [K0], {size: [K0] for size in range(1, 4)}
    for number, step in enumerate(steps, start=1):
        if step in {"rotate", "recover"}:
            new = key(number)
            log.rotate("log", active[-1], new, by=RECOVERY if step == "recover" else None)
            active, every = [*active, new], [*every, new]
        elif step == "retire" and len(active) > 1:
            log.retire("log", active.pop(0))
        elif step == "collector":
            new = key(number, "/collector")
            log.rotate("collector", collector, new)
            collector = new
        else:
            filled(log)
        signing[len(log.entries)] = list(active)
    known = history(log, data.draw(st.sampled_from(every)))
    assert known.broken == []
    for size, keys in signing.items():
        for one in every:
            if one in keys:
                assert known.checkpoint(log.note(size, one)).size == size
            else:
                assert refusal(known, log.note(size, one)) == "checkpoint-signer"
    assert [VerifierKey.parse(life.vkey) for life in known.active("log")] == [
        k.verifier for k in active[::-1]
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 5), st.booleans())
def test_behind_a_rotation_that_is_not_signed_nothing_is_reached_from_before(
    rotations: int, forged: int, recovering: bool
) -> None:
    forged %= rotations
    log, keys = KeyLog.opened(), [K0]
    log.recovery()
    for number in range(rotations):
        by = THIEF if number == forged else RECOVERY if recovering else None
        log.rotate("log", keys[-1], key(number + 1), by=by)
        keys.append(key(number + 1))
    known = history(log, K0)
    assert [known.trusts(one.verifier) for one in keys] == [number <= forged for number in range(len(keys))]


def test_a_rotation_is_verified_by_hand_over_the_bytes_that_are_documented() -> None:
    entry = json.loads((VECTORS / "entry/keys-04-key.rotated.json").read_bytes())
    body = entry["body"]
    said = f'{{"index":4,"new":"{body["new"]}","old":"{body["old"]}","origin":"{samples.ORIGIN}",'
    said += '"role":"log","type":"key.rotated"}'
    signed = f"DSSEv1 31 application/vnd.akashi.key+json {len(said)} {said}".encode()
    for name, vkey in (("signature", body["old"]), ("acceptance", body["new"])):
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(vkey.split("+", 2)[2])[1:])
        public.verify(base64.b64decode(body[name]["sig"]), signed)  # raises if it is not
