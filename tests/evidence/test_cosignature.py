"""Cosignatures and policies: by foreign witnesses' own bytes, by code that shares nothing with ours, and by attack."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.checkpoint import Checkpoint
from evidence.cosignature import CosignerKey, cosign_line, cosignatures, cosigner_of
from evidence.errors import NoteError
from evidence.note import SigningKey, VerifierKey, open_note, sign_note
from evidence.policy import Policy
from tests.evidence.samples import LOG_KEY, ORIGIN
from tests.vectors.witnessing import NOTARY, POLICY, PRESS, TIME, UNIVERSITY, vkey

CHECKPOINT = Checkpoint(ORIGIN, 7, bytes(range(32)))
SIGNED = sign_note(CHECKPOINT.body(), [LOG_KEY])
WITNESSES = {"university": UNIVERSITY, "notary": NOTARY, "press": PRESS}

# A public checkpoint of a certificate log as four independent operators cosigned it, and a policy that names them.
FOREIGN = Path(__file__).with_name("foreign")


def cosigned(*keys: SigningKey, time: int = TIME) -> bytes:
    return SIGNED + "".join(cosign_line(key, CHECKPOINT.body(), time) for key in keys).encode()


def rules(quorum: str) -> Policy:
    return Policy.parse((POLICY.rpartition("quorum ")[0] + quorum).encode())


def test_a_checkpoint_that_four_foreign_witnesses_cosigned_meets_its_quorum() -> None:
    policy = Policy.parse((FOREIGN / "policy").read_bytes())
    note = (FOREIGN / "checkpoint").read_text("utf-8")
    judgement = policy.judge(note.encode())
    assert judgement.met
    assert {name: one.time for name, one in judgement.cosigned.items()} == dict.fromkeys(
        ("garden", "smartit", "remora", "stagemole"), 1_779_573_024
    )
    assert judgement.checkpoint.size == 1_432_088_532
    one_line_less = "".join(line for line in note.splitlines(keepends=True) if "remora" not in line)
    assert not policy.judge(one_line_less.encode()).met


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**63 - 1), st.integers(0, 10**12 - 1))
@settings(max_examples=40, deadline=None)
def test_a_cosignature_round_trips_and_plain_cryptography_verifies_it(
    seed: bytes, time: int, size: int
) -> None:
    key = SigningKey.from_seed("witness.example/w1", seed)
    text = Checkpoint(ORIGIN, size, bytes(32)).body()
    line = cosign_line(key, text, time)
    (one,) = cosignatures(sign_note(text, [LOG_KEY]) + line.encode(), [cosigner_of(key)])
    assert (one.time, one.line) == (time, line)
    blob = base64.b64decode(line.split(" ")[2])
    public = key.verifier.public
    assert blob[:4] == hashlib.sha256(b"witness.example/w1\n\x04" + public).digest()[:4]
    message = f"cosignature/v1\ntime {time}\n{text}".encode()
    Ed25519PublicKey.from_public_bytes(public).verify(blob[12:], message)
    assert CosignerKey.parse(one.key.vkey) == one.key


def test_a_witness_signature_never_stands_for_the_logs_nor_the_logs_for_a_witness() -> None:
    namesake = CosignerKey(ORIGIN, LOG_KEY.verifier.public)  # the same key and name, as a witness
    assert namesake != LOG_KEY.verifier
    assert cosignatures(SIGNED, [namesake]) == ()
    only = (CHECKPOINT.body() + "\n" + cosign_line(LOG_KEY, CHECKPOINT.body(), TIME)).encode()
    with pytest.raises(NoteError) as caught:
        open_note(only, [LOG_KEY.verifier])
    assert caught.value.rule == "unsigned"


def test_a_note_opens_with_its_witnesses_keys_as_with_any_other() -> None:
    keys: list[VerifierKey] = [LOG_KEY.verifier, cosigner_of(UNIVERSITY)]
    assert open_note(cosigned(UNIVERSITY), keys).verified == (ORIGIN, UNIVERSITY.name)


def test_unknown_cosigners_are_ignored_and_a_later_bound_is_only_held_where_given() -> None:
    late = cosigned(UNIVERSITY, time=4_102_444_800)
    assert cosignatures(late, [cosigner_of(NOTARY)], latest=TIME) == ()
    assert len(cosignatures(late, [cosigner_of(UNIVERSITY)])) == 1
    assert len(cosignatures(late, [cosigner_of(UNIVERSITY)], latest=4_102_444_800)) == 1


def test_the_policy_is_named_by_its_exact_bytes() -> None:
    assert Policy.parse(POLICY.encode()).sha256 == hashlib.sha256(POLICY.encode()).hexdigest()
    assert Policy.parse(POLICY.encode()).witnesses["university"].url == "https://university.example/w1"


@pytest.mark.parametrize("names", ["", "university", "university notary", "university notary press"])
@pytest.mark.parametrize(
    ("quorum", "need"),
    [
        ("quorum partners\n", lambda n: len(n) >= 2),
        ("quorum none\n", lambda n: True),
        ("quorum press\n", lambda n: "press" in n),
        ("witness w {w}\ngroup both all partners w\nquorum both\n", lambda n: False),
        ("witness w {w}\ngroup either any partners w\nquorum either\n", lambda n: len(n) >= 2),
    ],
    ids=["two-of-three", "none", "one", "all-nested", "any-nested"],
)
def test_a_quorum_is_met_by_exactly_the_sets_that_it_names(names: str, quorum: str, need) -> None:
    stranger = SigningKey.from_seed("w.example", bytes(32))
    judgement = rules(quorum.replace("{w}", vkey(stranger))).judge(
        cosigned(*(WITNESSES[name] for name in names.split()))
    )
    assert set(judgement.cosigned) == set(names.split())
    assert judgement.met == need(set(names.split()))


def test_a_quorum_that_is_not_met_is_refused_by_its_own_rule() -> None:
    assert rules("quorum partners\n").check(cosigned(UNIVERSITY, NOTARY)).met
    with pytest.raises(NoteError, match="'university'") as caught:
        rules("quorum partners\n").check(cosigned(UNIVERSITY))
    assert caught.value.rule == "quorum"


def test_a_colluding_key_outside_the_policy_counts_for_nothing() -> None:
    colluders = [SigningKey.from_seed(f"colluder.example/{n}", bytes([n]) * 32) for n in range(3)]
    colluders.append(SigningKey.from_seed(NOTARY.name, bytes([9]) * 32))  # under a known witness's name
    judgement = rules("quorum partners\n").judge(cosigned(UNIVERSITY, *colluders))
    assert (set(judgement.cosigned), judgement.met) == ({"university"}, False)


def test_a_checkpoint_of_no_log_of_the_policy_is_refused_however_many_witnesses_cosigned() -> None:
    another = SigningKey.from_seed(ORIGIN, bytes(32))
    text = CHECKPOINT.body()
    lines = "".join(cosign_line(key, text, TIME) for key in WITNESSES.values())
    with pytest.raises(NoteError) as caught:
        rules("quorum partners\n").judge(sign_note(text, [another]) + lines.encode())
    assert caught.value.rule == "unsigned"
    with pytest.raises(NoteError):  # keys that come from elsewhere do not add to the policy's logs
        rules("quorum partners\n").judge(sign_note(text, [another]), [another.verifier])
    without = Policy.parse(b"quorum none\n")
    assert without.judge(SIGNED, [LOG_KEY.verifier]).checkpoint == CHECKPOINT
    with pytest.raises(NoteError):
        without.judge(SIGNED)


def test_one_bad_cosignature_of_a_known_witness_condemns_the_note_though_the_quorum_is_met() -> None:
    bad = cosign_line(PRESS, Checkpoint(ORIGIN, 8, bytes(32)).body(), TIME).encode()
    with pytest.raises(NoteError) as caught:
        rules("quorum partners\n").judge(cosigned(UNIVERSITY, NOTARY) + bad)
    assert caught.value.rule == "cosignature"


def test_names_are_compared_as_octets() -> None:
    data = b"witness K\xff " + vkey(UNIVERSITY).encode() + b"\nquorum K\xff\n"
    assert Policy.parse(data).judge(cosigned(UNIVERSITY), [LOG_KEY.verifier]).met


def test_as_many_logs_witnesses_and_groups_as_the_specification_asks_for_are_read() -> None:
    keys = [SigningKey.from_seed(f"w{n}.example", bytes([n]) * 32) for n in range(1, 34)]
    lines = [f"log {key.vkey}" for key in keys] + [f"witness w{n} {vkey(key)}" for n, key in enumerate(keys)]
    lines += [f"group g{n} any {f'g{n - 1} ' * bool(n)}w{n}" for n in range(33)] + ["quorum g32", ""]
    policy = Policy.parse("\n".join(lines).encode())
    text = Checkpoint("w1.example", 7, bytes(32)).body()
    note = sign_note(text, [keys[0]]) + cosign_line(keys[0], text, TIME).encode()
    assert (len(policy.logs), len(policy.witnesses), len(policy.groups)) == (33, 33, 33)
    assert policy.judge(note).met
