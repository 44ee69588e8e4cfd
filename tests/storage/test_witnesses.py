"""Our ledger and its witnesses: real store, real processes on loopback; what is kept, told, and what attacks meet."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console import doctor
from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key
from evidence.cosignature import cosign_line, cosignature_key, cosigner_of
from evidence.digests import digest_bytes
from evidence.errors import NoteError, PolicyError, UsageError
from evidence.note import SignatureLine, SigningKey, sign_note
from evidence.policy import Policy
from evidence.proof import consistency_path
from evidence.tree import leaf_hash, root_of
from evidence.witness import Submission
from storage.archive import Archive
from storage.catalogue import Catalogue
from storage.home import Home
from storage.http_server import Answer, Server
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.settings import Settings
from storage.witnesses import cosign, cosign_at_end, load_policy
from tests.storage.samples import new_store
from tests.storage.test_ledger import append
from tests.storage.witness_process import WitnessProcess

WAY_OUT = SigningKey.from_seed("nowhere.example", bytes(range(32)))
Play = Callable[[Answer], str]


@pytest.fixture
def archive(home, store, open_ledger) -> Iterator[Archive]:
    catalogue = Catalogue(home)
    settings = Settings(home=home, ledger_allow_private=True)
    yield Archive(settings, store, Keyring.open_or_create(home), open_ledger(), catalogue)
    catalogue.close()


@pytest.fixture(scope="module")
def untouched(endpoint, tmp_path_factory) -> Iterator[Archive]:
    """An archive that no witness cosigns: one for all the answers that are none."""
    home, store = Home(tmp_path_factory.mktemp("home")).make(), new_store(endpoint)
    keyring = Keyring.open_or_create(home)
    ledger, catalogue = Ledger(home, store, keyring), Catalogue(home)
    ledger.open()
    yield Archive(Settings(home=home, ledger_allow_private=True), store, keyring, ledger, catalogue)
    ledger.close()
    catalogue.close()


@pytest.fixture
def witness(archive: Archive, tmp_path: Path) -> Iterator[WitnessProcess]:
    with WitnessProcess(tmp_path / "w", archive.keyring.log.vkey, name="witness.example/w1") as running:
        yield running


@pytest.fixture
def play() -> Iterator[Play]:
    """Serves one answer to whatever is asked: a witness as an attacker would have it."""
    servers: list[Server] = []

    def start(answer: Answer) -> str:
        server = Server("127.0.0.1:0", lambda *_: answer, lambda _: None, limit=1 << 20)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server.address

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def policy(archive: Archive, *witnesses: tuple[str, str, str], quorum: str = "all") -> Policy:
    lines = [f"log {archive.keyring.log.vkey}"]
    lines += [f"witness {' '.join(words)}" for words in witnesses]
    lines += [f"group g {quorum} {' '.join(name for name, *_ in witnesses)}", "quorum g", ""]
    return Policy.parse("\n".join(lines).encode())


def of(witness: WitnessProcess, name: str = "w1") -> tuple[str, str, str]:
    return name, witness.key.vkey, witness.url


def newest(archive: Archive) -> tuple[int, bytes]:
    size = archive.keyring.remembered().size
    return size, archive.store.read(checkpoint_key(size))


def test_what_a_witness_cosigned_is_stored_once_and_stands_below_the_pointer(archive, witness) -> None:
    trust = policy(archive, of(witness))
    size, note = newest(archive)
    outcomes, judgement = cosign(archive, trust)
    assert [(one.name, one.state, one.detail) for one in outcomes] == [("w1", "cosigned", "now")]
    assert judgement.met
    line = archive.store.read(cosignature_key(size, witness.key))
    assert archive.store.read(POINTER) == note + line
    assert trust.check(note + line).cosigned["w1"].line.encode() == line
    assert cosign(archive, trust).outcomes[0][1:3] == ("cosigned", "already")
    assert archive.store.read(cosignature_key(size, witness.key)) == line
    append(archive.ledger)
    assert archive.store.read(POINTER) == newest(archive)[1]
    assert cosign(archive, trust).outcomes[0].detail == "now"
    assert newest(archive)[0] > size
    assert [witness.line()["status"] for _ in range(3)] == [200, 409, 200]


def test_one_that_cannot_be_reached_holds_nothing_up_and_is_asked_by_the_next_run(
    archive, witness, play, tmp_path
) -> None:
    with WitnessProcess(tmp_path / "v", archive.keyring.log.vkey) as other:
        trust = policy(
            archive, of(witness), of(other, "w2"), ("silent", cosigner_of(WAY_OUT).vkey, ""), quorum="2"
        )
        other.kill()
        began = time.monotonic()
        outcomes, judgement = cosign(archive, trust, seconds=2)
        assert time.monotonic() - began < 5
    assert [(one.name, one.state) for one in outcomes] == [("w1", "cosigned"), ("w2", "unreachable")]
    assert (judgement.met, set(judgement.cosigned)) == (False, {"w1"})
    listen = other.url.removeprefix("http://")
    with WitnessProcess(tmp_path / "v", archive.keyring.log.vkey, listen=listen):
        outcomes, judgement = cosign(archive, trust)
    assert [(one.name, one.detail) for one in outcomes] == [("w1", "already"), ("w2", "now")]
    assert judgement.met


def test_private_addresses_are_asked_only_where_they_are_allowed(archive, witness) -> None:
    archive.settings = replace(archive.settings, ledger_allow_private=False)
    (outcome,) = cosign(archive, policy(archive, of(witness))).outcomes
    assert (outcome.state, "loopback" in outcome.detail) == ("unreachable", True)


def test_a_rollback_after_export_is_an_alarm(archive, witness, home, reopen, open_ledger, tmp_path) -> None:
    # The keeper's machine is put back to an earlier day, store and all; the witness remembers.
    trust = policy(archive, of(witness))
    before, _ = newest(archive)
    append(archive.ledger)
    append(archive.ledger)
    assert cosign(archive, trust).judgement.met
    later, _ = newest(archive)
    rolled_back = _Without(archive.store, later)
    archive.keyring = _Remembering(archive.keyring, before, archive.store.read(checkpoint_key(before)))
    archive.store = rolled_back
    (outcome,), judgement = cosign(archive, trust)
    assert (outcome.state, judgement.met) == ("alarm", False)
    assert outcome.detail == f"it has seen our log at size {later}; here it ends at {before}"
    archive.settings = replace(archive.settings, ledger_policy=str(tmp_path / "policy"))
    _write(tmp_path / "policy", archive, witness)
    assert cosign_at_end(archive).startswith("ALARM, a witness contradicts the ledger: w1: it has seen")


def test_a_size_that_another_run_had_cosigned_meanwhile_is_no_alarm(archive, witness) -> None:
    trust = policy(archive, of(witness))
    before, note = newest(archive)
    append(archive.ledger)
    assert cosign(archive, trust).judgement.met
    archive.keyring = _Remembering(archive.keyring, before, note)
    (outcome,), _ = cosign(archive, trust)
    assert (outcome.state, "another run" in outcome.detail) == ("refused", True)


def test_a_fork_that_the_logs_own_key_signed_is_refused_and_both_sides_are_kept(
    archive, witness, tmp_path
) -> None:
    trust = policy(archive, of(witness))
    assert cosign(archive, trust).judgement.met
    size, _ = newest(archive)
    forged = [leaf_hash(b"%d" % index) for index in range(size + 1)]
    root = root_of(forged)
    path = consistency_path(size, size + 1, lambda level, at: root_of(forged[at << level : at + 1 << level]))
    key = archive.keyring.log
    note = sign_note(Checkpoint(key.name, size + 1, root).body(), [key])
    assert witness.submit(Submission(size, tuple(path), note).encode())[0] == 422
    same = sign_note(Checkpoint(key.name, size, root_of(forged[:size])).body(), [key])
    assert witness.submit(Submission(size, (), same).encode())[0] == 409
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / "w").glob("*/*.request"))
    assert kept == sorted([str(size), str(size + 1)])


def test_a_witness_that_was_shown_a_fork_first_makes_an_alarm_of_the_true_log(archive, witness) -> None:
    key = archive.keyring.log
    size, _ = newest(archive)
    fork = sign_note(Checkpoint(key.name, size, bytes(32)).body(), [key])
    assert witness.submit(Submission(0, (), fork).encode())[0] == 200
    (outcome,), judgement = cosign(archive, policy(archive, of(witness)))
    assert (outcome.state, judgement.met) == ("alarm", False)
    append(archive.ledger)
    (outcome,), judgement = cosign(archive, policy(archive, of(witness)))
    assert (outcome.state, "422" in outcome.detail) == ("alarm", True)


@pytest.mark.parametrize(
    ("answer", "state", "why"),
    [
        pytest.param(lambda line: Answer(200, b"", ""), "refused", "did not cosign", id="nothing"),
        pytest.param(lambda line: Answer(200, b"<html>", ""), "refused", "newline", id="html"),
        pytest.param(
            lambda line: Answer(200, line("other"), ""), "refused", "did not cosign", id="by-another"
        ),
        pytest.param(lambda line: Answer(200, line("late"), ""), "refused", "from now", id="of-the-future"),
        pytest.param(lambda line: Answer(200, line("back-dated"), ""), "refused", "verify", id="back-dated"),
        pytest.param(lambda line: Answer(200, line("good") * 2, ""), "refused", "twice", id="twice"),
        pytest.param(lambda line: Answer(307, b"", ""), "refused", "307", id="redirect"),
        pytest.param(lambda line: Answer(500, b"\xff\n\x1b[2J", ""), "refused", "500", id="server-error"),
        pytest.param(lambda line: Answer(404, b"unknown\n", ""), "refused", "404", id="unknown-log"),
        pytest.param(lambda line: Answer(200, b"x" * (1 << 21), ""), "unreachable", "exceeds", id="endless"),
        pytest.param(lambda line: Answer(409, b"0\n", ""), "alarm", "409", id="size-that-was-sent"),
        pytest.param(lambda line: Answer(409, b"9" * 19 + b"\n", ""), "alarm", "has seen", id="size-ahead"),
        pytest.param(lambda line: Answer(409, b"no\n", ""), "alarm", "409", id="conflict"),
        pytest.param(lambda line: Answer(422, b"no\n", ""), "alarm", "422", id="unprocessable"),
    ],
)
def test_whatever_a_witness_answers_only_its_own_cosignature_is_kept(
    untouched, play, answer, state, why
) -> None:
    archive = untouched
    key = SigningKey.from_seed("witness.example/x", bytes(range(32)))
    size, note = newest(archive)
    text, now = note.decode().partition("\n\n")[0] + "\n", int(time.time())

    def line(kind: str) -> bytes:
        good = cosign_line(key, text, now)
        blob = base64.b64decode(good.split(" ")[2])
        return {
            "good": good,
            "other": cosign_line(WAY_OUT, text, now),
            "late": cosign_line(key, text, now + 3600),
            "back-dated": str(
                SignatureLine(key.name, blob[:4], (now - 86400).to_bytes(8, "big") + blob[12:])
            ),
        }[kind].encode()

    trust = policy(archive, ("x", cosigner_of(key).vkey, play(answer(line))))
    (outcome,), judgement = cosign(archive, trust)
    assert (outcome.state, why in outcome.detail, judgement.met) == (state, True, False), outcome.detail
    assert "\x1b" not in outcome.detail
    assert archive.store.head(cosignature_key(size, cosigner_of(key))) is None
    assert archive.store.read(POINTER) == note


def test_a_line_that_was_changed_in_the_store_is_an_alarm_and_counts_for_nothing(archive, witness) -> None:
    size, _ = newest(archive)
    data = cosign_line(SigningKey.from_seed(witness.key.name, bytes(32)), "x\n", 1).encode()
    archive.store.put_once(
        cosignature_key(size, witness.key), data, digest_bytes(data), content_type="text/plain"
    )
    (outcome,), judgement = cosign(archive, policy(archive, of(witness)))
    assert (outcome.state, "is in the store, but" in outcome.detail, judgement.met) == ("alarm", True, False)


def test_a_pointer_that_was_changed_is_mended_and_one_that_leads_further_is_left(archive, witness) -> None:
    trust = policy(archive, of(witness))
    archive.store.replace(POINTER, b"rubbish")
    assert cosign(archive, trust).judgement.met
    size, note = newest(archive)
    assert archive.store.read(POINTER) == note + archive.store.read(cosignature_key(size, witness.key))
    append(archive.ledger)
    ahead = archive.store.read(POINTER)
    archive.keyring = _Remembering(archive.keyring, size, note)
    cosign(archive, trust)
    assert archive.store.read(POINTER) == ahead


def test_a_policy_of_another_log_is_told_and_a_missing_or_bad_one_too(untouched, tmp_path) -> None:
    archive = untouched
    foreign = Policy.parse(f"log {WAY_OUT.vkey}\nquorum none\n".encode())
    with pytest.raises(UsageError, match="does not name our log") as caught:
        cosign(archive, foreign)
    assert archive.keyring.log.vkey in caught.value.next
    assert load_policy(archive.settings) is None
    with pytest.raises(UsageError, match="ledger_policy"):
        load_policy(replace(archive.settings, ledger_policy=str(tmp_path / "none")))
    (tmp_path / "bad").write_text("quorum x\n")
    with pytest.raises(PolicyError, match="line 1"):
        load_policy(replace(archive.settings, ledger_policy=str(tmp_path / "bad")))
    with pytest.raises(UsageError, match="http"):
        cosign(archive, policy(archive, ("x", cosigner_of(WAY_OUT).vkey, "file:///etc/passwd")))


def test_doctor_tells_whether_the_quorum_is_met_and_what_to_do_if_not(
    archive, witness, tmp_path, monkeypatch
) -> None:
    def told() -> tuple[str, str]:
        (finding,) = doctor._witnesses(archive.settings)
        return finding.state, finding.next

    monkeypatch.setattr(doctor.Archive, "open", lambda _: archive)
    assert told() == ("note", "set ledger_policy (docs/witness.md), then akashi ledger witness")
    _write(tmp_path / "policy", archive, witness)
    archive.settings = replace(archive.settings, ledger_policy=str(tmp_path / "policy"))
    assert told() == ("note", "akashi ledger witness")
    assert cosign_at_end(archive) == ""
    assert told() == ("ok", "")


def test_the_end_of_a_run_says_nothing_when_all_is_well_and_one_line_when_it_is_not(
    archive, witness, tmp_path
) -> None:
    assert cosign_at_end(archive) == ""
    _write(tmp_path / "policy", archive, witness)
    archive.settings = replace(archive.settings, ledger_policy=str(tmp_path / "policy"))
    assert cosign_at_end(archive) == ""
    assert cosign(archive, load_policy(archive.settings)).outcomes[0].detail == "already"
    append(archive.ledger)
    witness.kill()
    line = cosign_at_end(archive)
    assert line.startswith("the ledger waits for witnesses: w1: ")
    assert line.endswith("next: akashi ledger witness")


def test_a_colluding_witness_that_the_policy_does_not_name_counts_for_nothing(
    archive, witness, tmp_path
) -> None:
    with WitnessProcess(tmp_path / "c", archive.keyring.log.vkey, name="witness.example/w1") as colluder:
        trust = policy(archive, ("w1", witness.key.vkey, colluder.url))  # it answers in the other's place
        (outcome,), judgement = cosign(archive, trust)
    assert (outcome.state, judgement.met) == ("refused", False)
    _, note = newest(archive)
    line = cosign_line(
        SigningKey.from_seed("c.example", bytes(32)), note.decode().partition("\n\n")[0] + "\n", 1
    )
    with pytest.raises(NoteError) as caught:
        trust.check(note + line.encode())
    assert caught.value.rule == "quorum"


def _write(path: Path, archive: Archive, witness: WitnessProcess) -> None:
    path.write_text(f"log {archive.keyring.log.vkey}\nwitness {' '.join(of(witness))}\nquorum w1\n")


class _Without:
    """The store as it was before a checkpoint (a fault, named as such)."""

    def __init__(self, store: Any, size: int) -> None:
        self._store, self._size = store, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def head(self, key: str) -> Any:
        return None if key == checkpoint_key(self._size) else self._store.head(key)


class _Remembering:
    """The keyring as it was at a checkpoint (a fault, named as such)."""

    def __init__(self, keyring: Keyring, size: int, note: bytes) -> None:
        self._keyring = keyring
        self._root = base64.b64decode(note.split(b"\n")[2])
        self._size = size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._keyring, name)

    def remembered(self) -> Any:
        return replace(self._keyring.remembered(), size=self._size, root=self._root)
