"""`.tlog-proof` files: one reading each, and no defect that passes."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.checkpoint import Checkpoint
from evidence.entry import Entry, chain
from evidence.errors import CheckFailedError, NoteError, ProofError
from evidence.note import SigningKey, sign_note
from evidence.proof import inclusion_path
from evidence.tlog_proof import TlogProof
from evidence.tree import leaf_hash, root_of
from tests.evidence import samples
from tests.evidence.archives import Log

KEYS = [samples.LOG_KEY.verifier]


def log_of(size: int) -> Log:
    log = Log()
    log.open()
    while len(log.entries) < size:
        body = {"request": {"sha256": "a" * 64, "sha512": "b" * 128, "size": len(log.entries)}}
        log.append("capture.started", samples.CAPTURE, body)
    return log


ENTRIES = log_of(7).entries
LEAVES = [leaf_hash(entry) for entry in ENTRIES]


def proof_of(index: int, *signers: SigningKey, extra: bytes = b"") -> TlogProof:
    checkpoint = Checkpoint(samples.ORIGIN, 7, root_of(LEAVES))
    note = sign_note(checkpoint.body(), signers or [samples.LOG_KEY])
    path = inclusion_path(index, 7, lambda level, at: root_of(LEAVES[at << level : at + 1 << level]))
    return TlogProof(index, tuple(path), note, extra)


def test_each_entry_is_proved_by_its_file() -> None:
    for index, entry in enumerate(ENTRIES):
        proof = TlogProof.decode(proof_of(index).encode())
        assert proof.check(entry, KEYS) == Checkpoint(samples.ORIGIN, 7, root_of(LEAVES))


def test_a_file_looks_as_the_specification_shows_it() -> None:
    proof = proof_of(4, extra=b"hello")
    lines = proof.encode().decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra aGVsbG8=", "index 4"]
    assert [base64.b64decode(line) for line in lines[3:6]] == list(proof.path)
    assert lines[6] == ""
    assert "\n".join(lines[7:]).encode() == proof.checkpoint


hashes = st.lists(st.binary(min_size=32, max_size=32), max_size=64)


@given(st.integers(0, 10**18), hashes, st.binary(min_size=1, max_size=200), st.binary(max_size=200))
def test_every_proof_is_read_as_it_was_written(
    index: int, path: list[bytes], checkpoint: bytes, extra: bytes
) -> None:
    proof = TlogProof(index, tuple(path), checkpoint, extra)
    assert TlogProof.decode(proof.encode()) == proof


@given(st.binary(max_size=60), st.integers(0, 200))
def test_bytes_have_one_reading_or_none(noise: bytes, at: int) -> None:
    good = proof_of(4, extra=b"hello").encode()
    data = good[:at] + noise + good[at + len(noise) :]
    try:
        proof = TlogProof.decode(data)
    except ProofError:
        return
    assert proof.encode() == data


GOOD = proof_of(4).encode()
FIRST = base64.b64encode(proof_of(4).path[0])
BAD: dict[str, tuple[str, bytes]] = {
    "another version": ("magic", GOOD.replace(b"@v1", b"@v2", 1)),
    "CRLF": ("magic", GOOD.replace(b"\n", b"\r\n")),
    "empty": ("magic", b""),
    "a byte order mark": ("magic", b"\xef\xbb\xbf" + GOOD),
    "no index": ("index-line", GOOD.replace(b"index 4\n", b"")),
    "an index with a leading zero": ("index-line", GOOD.replace(b"index 4", b"index 04")),
    "a negative index": ("index-line", GOOD.replace(b"index 4", b"index -4")),
    "an index in other digits": ("form", GOOD.replace(b"index 4", "index ٤".encode())),
    "a space behind the index": ("index-line", GOOD.replace(b"index 4", b"index 4 ")),
    "an index twice": ("path-line", GOOD.replace(b"index 4\n", b"index 4\nindex 4\n")),
    "extra behind the index": ("path-line", GOOD.replace(b"index 4\n", b"index 4\nextra aGk=\n")),
    "empty extra": ("extra", GOOD.replace(b"index 4", b"extra \nindex 4")),
    "extra with spare bits": ("extra", GOOD.replace(b"index 4", b"extra aGl=\nindex 4")),
    "extra and nothing else": ("index-line", b"c2sp.org/tlog-proof@v1\nextra aGk=\n\nx"),
    "a hash of 31 bytes": ("path-line", GOOD.replace(FIRST, base64.b64encode(b"x" * 31))),
    "a hash in url base64": ("path-line", GOOD.replace(FIRST, b"-" * 43 + b"=")),
    "a space behind a hash": ("path-line", GOOD.replace(FIRST, FIRST + b" ")),
    "65 hashes": ("path-line", GOOD.replace(FIRST, b"\n".join([FIRST] * 63))),
    "no checkpoint": ("form", GOOD.partition(b"\n\n")[0] + b"\n\n"),
    "no empty line": ("form", GOOD.replace(b"\n\n", b"\n")),
    "a megabyte of checkpoint": ("size", GOOD + b"x" * (1 << 20)),
}


@pytest.mark.parametrize(("rule", "data"), BAD.values(), ids=BAD)
def test_a_file_with_a_defect_is_refused(rule: str, data: bytes) -> None:
    with pytest.raises(ProofError) as caught:
        TlogProof.decode(data)
    assert caught.value.rule == rule


def renumbered(entry: bytes, index: int) -> bytes:
    said = Entry.decode(entry)
    return Entry(index, chain(ENTRIES[index - 1]), said.time, said.type, said.subject, said.body).encode()


STRANGER = SigningKey.from_seed(samples.ORIGIN, bytes(31) + b"\x07")
WRONG: dict[str, tuple[str, Callable[[TlogProof], TlogProof], bytes]] = {
    "of another entry": ("entry-index", lambda proof: proof, ENTRIES[5]),
    "another index said": (
        "entry-index",
        lambda proof: TlogProof(5, proof.path, proof.checkpoint),
        ENTRIES[4],
    ),
    "an entry changed": ("root", lambda proof: proof, ENTRIES[4].replace(b"a" * 64, b"c" * 64)),
    "moved to another place": (
        "root",
        lambda proof: TlogProof(5, proof.path, proof.checkpoint),
        renumbered(ENTRIES[4], 5),
    ),
    "no entry": ("json", lambda proof: proof, b""),
    "a newline behind the entry": ("canonical", lambda proof: proof, ENTRIES[4] + b"\n"),
    "a path cut": (
        "path-length",
        lambda proof: TlogProof(4, proof.path[1:], proof.checkpoint),
        ENTRIES[4],
    ),
    "another root signed": (
        "root",
        lambda proof: TlogProof(
            4, proof.path, sign_note(Checkpoint(samples.ORIGIN, 7, b"x" * 32).body(), [samples.LOG_KEY])
        ),
        ENTRIES[4],
    ),
    "a checkpoint of before the entry": (
        "index",
        lambda proof: TlogProof(
            4, proof.path, sign_note(Checkpoint(samples.ORIGIN, 4, b"x" * 32).body(), [samples.LOG_KEY])
        ),
        ENTRIES[4],
    ),
    "signed by another": ("unsigned", lambda _: proof_of(4, STRANGER), ENTRIES[4]),
    "a signature changed": (
        "signature",
        lambda proof: TlogProof(4, proof.path, proof.checkpoint.replace(b"\n7\n", b"\n8\n")),
        ENTRIES[4],
    ),
}


@pytest.mark.parametrize(("rule", "change", "entry"), WRONG.values(), ids=WRONG)
def test_a_proof_that_does_not_prove_the_entry_is_refused(
    rule: str, change: Callable[[TlogProof], TlogProof], entry: bytes
) -> None:
    with pytest.raises(CheckFailedError) as caught:
        change(proof_of(4)).check(entry, KEYS)
    assert caught.value.rule == rule, caught.value.detail


def test_a_policy_that_is_not_kept_refuses_the_proof() -> None:
    class Quorum:
        def check(self, note: bytes) -> None:
            assert note == proof_of(4).checkpoint
            raise NoteError("too few witnesses", rule="quorum")

    with pytest.raises(NoteError, match="too few"):
        proof_of(4).check(ENTRIES[4], KEYS, Quorum())
