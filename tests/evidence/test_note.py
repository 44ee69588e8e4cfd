"""Notes, checkpoints and DSSE, checked against code that shares nothing with ours."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.checkpoint import Checkpoint, checkpoint_key, parse_checkpoint
from evidence.dsse import pae, sign, verify
from evidence.errors import NoteError, SignatureError
from evidence.note import SigningKey, VerifierKey, open_note, sign_note
from tests.evidence.samples import COLLECTOR, LOG_KEY, ORIGIN

names = st.text(
    st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1, max_size=20
).filter(lambda name: not any(c.isspace() or c == "+" for c in name))
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=80).map(
    lambda text: text + "\n"
)
sizes = st.integers(0, 10**12 - 1)


@given(names, st.binary(min_size=32, max_size=32))
def test_a_vkey_round_trips(name: str, seed: bytes) -> None:
    key = SigningKey.from_seed(name, seed)
    assert VerifierKey.parse(key.vkey) == key.verifier


@given(texts, st.lists(names, min_size=1, max_size=3, unique=True))
@settings(max_examples=50)
def test_a_note_round_trips_under_every_key_alone(text: str, signers: list[str]) -> None:
    keys = [SigningKey.from_seed(name, hashlib.sha256(name.encode()).digest()) for name in signers]
    note = sign_note(text, keys)
    assert open_note(note, [key.verifier for key in keys]).verified == tuple(signers)
    for key in keys:
        assert open_note(note, [key.verifier]).text == text


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_of_a_checkpoint_is_refused(position: int, mask: int) -> None:
    note = bytearray(sign_note(Checkpoint(ORIGIN, 7, bytes(range(32))).body(), [LOG_KEY]))
    note[position % len(note)] ^= mask
    with pytest.raises(NoteError):
        parse_checkpoint(bytes(note), [LOG_KEY.verifier])


@given(sizes, st.binary(min_size=32, max_size=32))
def test_a_checkpoint_round_trips(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert parse_checkpoint(sign_note(checkpoint.body(), [LOG_KEY]), [LOG_KEY.verifier]) == checkpoint


def test_the_key_id_is_that_of_the_specification() -> None:
    preimage = ORIGIN.encode() + b"\n\x01" + LOG_KEY.verifier.public
    assert LOG_KEY.vkey.split("+")[1] == hashlib.sha256(preimage).hexdigest()[:8]


def test_foreign_vectors_open() -> None:
    # The example of golang.org/x/mod/sumdb/note, whose format C2SP took over
    vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    line = (
        "\N{EM DASH} PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert open_note(f"{text}\n{line}".encode(), [VerifierKey.parse(vkey)]).text == text


def test_plain_cryptography_verifies_a_checkpoint() -> None:
    note = sign_note(Checkpoint(ORIGIN, 7, bytes(32)).body(), [LOG_KEY]).decode()
    text, _, line = note.partition("\n\n")
    blob = base64.b64decode(line.split(" ")[2])
    key = base64.b64decode(LOG_KEY.vkey.split("+", 2)[2])
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(blob[4:], (text + "\n").encode())


def test_openssl_verifies_a_checkpoint_and_a_dsse_signature(tmp_path: Path) -> None:
    note = sign_note(Checkpoint(ORIGIN, 7, bytes(32)).body(), [LOG_KEY])
    text, _, line = note.partition(b"\n\n")
    manifest = b'{"v":1}'
    encoded = b"DSSEv1 36 application/vnd.akashi.manifest+json 7 " + manifest
    assert pae(manifest) == encoded
    for key, message, signature in (
        (LOG_KEY, text + b"\n", base64.b64decode(line.split(b" ")[2])[4:]),
        (COLLECTOR, encoded, base64.b64decode(sign(manifest, COLLECTOR)["sig"])),
    ):
        public = Ed25519PublicKey.from_public_bytes(key.verifier.public)
        form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        (tmp_path / "key.pem").write_bytes(public.public_bytes(*form))
        (tmp_path / "message").write_bytes(message)
        (tmp_path / "signature").write_bytes(signature)
        command = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in message -sigfile signature"
        done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (tmp_path / "message").write_bytes(message + b" ")
        assert subprocess.run(command.split(), cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_unknown_signatures_are_ignored_and_a_bad_known_one_condemns() -> None:
    text = "a\n"
    stranger = SigningKey.from_seed("stranger.invalid", bytes(32))
    note = sign_note(text, [stranger, LOG_KEY])
    assert open_note(note, [LOG_KEY.verifier]).verified == (ORIGIN,)
    bad = note.decode().replace(stranger.sign_line(text), stranger.sign_line("b\n")).encode()
    assert open_note(bad, [LOG_KEY.verifier]).verified == (ORIGIN,)
    with pytest.raises(NoteError) as caught:
        open_note(bad, [LOG_KEY.verifier, stranger.verifier])
    assert caught.value.rule == "signature"


def test_a_note_with_too_many_signatures_or_bytes_is_refused() -> None:
    line = LOG_KEY.sign_line("a\n")
    for rule, data in (("signatures", "a\n\n" + line * 65), ("size", "a" * (1 << 20) + "\n\n" + line)):
        with pytest.raises(NoteError) as caught:
            open_note(data.encode(), [LOG_KEY.verifier])
        assert caught.value.rule == rule


@pytest.mark.parametrize("text", ["", "no newline", "a\r\n", "a\tb\n"])
def test_a_text_that_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(NoteError):
        sign_note(text, [LOG_KEY])


def test_secrets_stay_out_of_sight() -> None:
    shown = f"{LOG_KEY!r} {LOG_KEY.verifier!r} {LOG_KEY.vkey}"
    assert LOG_KEY.seed.hex() not in shown
    assert base64.b64encode(LOG_KEY.seed).decode()[:40] not in shown
    assert repr(LOG_KEY.seed) not in shown


def test_checkpoints_sort_by_size() -> None:
    assert sorted(map(checkpoint_key, (10, 9, 100))) == [
        checkpoint_key(9),
        checkpoint_key(10),
        checkpoint_key(100),
    ]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_signature_holds_for_its_bytes_alone(one: bytes, other: bytes) -> None:
    signature = sign(one, COLLECTOR)
    assert verify(one, signature, [LOG_KEY.verifier, COLLECTOR.verifier]) == COLLECTOR.verifier
    if one != other:
        with pytest.raises(SignatureError) as caught:
            verify(other, signature, [COLLECTOR.verifier])
        assert caught.value.rule == "signature"


def test_dsse_says_which_rule_broke() -> None:
    signature = sign(b"x", COLLECTOR)
    with pytest.raises(SignatureError) as caught:
        verify(b"x", signature, [LOG_KEY.verifier])
    assert caught.value.rule == "signature-key"
    for sig in ("", "AAAA", signature["sig"] + "\n", signature["sig"].replace("=", "")):
        with pytest.raises(SignatureError) as caught:
            verify(b"x", {**signature, "sig": sig}, [COLLECTOR.verifier])
        assert caught.value.rule == "signature-form"
