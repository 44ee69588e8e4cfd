"""The witness that a partner runs, asked over loopback: by the specification, by attackers, and after kills."""

from __future__ import annotations

import http.client
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from console.ledger_witness import command
from evidence.checkpoint import Checkpoint
from evidence.cosignature import CosignerKey, cosignatures
from evidence.errors import LedgerUnavailableError, UsageError
from evidence.note import SigningKey, sign_note
from evidence.witness import Submission
from storage.witness_server import MAX_REQUEST, Witness
from tests.evidence.samples import LOG_KEY, ORIGIN
from tests.evidence.test_witness import held, leaves, note_of, submission
from tests.storage.witness_process import WitnessProcess

OTHER = SigningKey.from_seed("other.example/log", bytes(range(7, 39)))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[WitnessProcess]:
    with WitnessProcess(tmp_path / "witness", LOG_KEY.vkey, OTHER.vkey, name="witness.example/w1") as witness:
        yield witness


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    made = Witness(tmp_path / "w", [LOG_KEY.verifier], name="witness.example/w2", clock=lambda: 1_800_000_000)
    yield made
    made.close()


def test_a_partner_runs_it_and_it_cosigns_growth_and_nothing_else(running: WitnessProcess) -> None:
    before = int(time.time())
    for old, size in ((0, 3), (3, 3), (3, 8)):
        request = submission(old, leaves(size))
        status, body = running.submit(request.encode())
        assert status == 200
        (one,) = cosignatures(request.note + body, [running.key])
        assert before <= one.time <= time.time()
        told = running.line()
        assert (told["peer"], told["path"], told["status"]) == ("127.0.0.1", "/add-checkpoint", 200)
        assert told["detail"] == f"{ORIGIN} {size}: size {size} continues {old}"
    assert running.submit(submission(3, leaves(9)).encode()) == (409, b"8\n")
    assert running.submit(submission(2, leaves(5)).encode()) == (409, b"8\n")
    fork = leaves(9, forked_at=4)
    status, body = running.submit(submission(8, fork).encode())
    assert (status, body.startswith(b"from 8 to 9")) == (422, True)
    text = Checkpoint(OTHER.name, 4, bytes(32)).body()
    assert running.submit(Submission(0, (), sign_note(text, [OTHER])).encode())[0] == 200
    stranger = SigningKey.from_seed("stranger.example", bytes(32))
    assert running.submit(Submission(0, (), note_of(leaves(1), stranger.name, stranger)).encode())[0] == 404
    assert running.submit(Submission(0, (), note_of(leaves(1), ORIGIN, stranger)).encode())[0] == 403
    assert running.submit(b"old x\n")[0] == 400
    assert running.submit(submission(8, leaves(9)).encode(), "/")[0] == 404
    assert [running.line()["status"] for _ in range(8)] == [409, 409, 422, 200, 404, 403, 400, 404]


def test_the_size_it_holds_is_told_in_the_type_of_the_specification_over_one_kept_connection(
    running: WitnessProcess,
) -> None:
    connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=5)
    for _ in range(2):
        connection.request("POST", "/add-checkpoint", submission(1, leaves(5)).encode())
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Content-Type"]) == (409, "text/x.tlog.size")
        assert answer.read().strip().isdigit()
    connection.close()


def test_what_is_no_request_is_capped_and_the_witness_lives_on(running: WitnessProcess) -> None:
    host, port = running.url.removeprefix("http://").split(":")
    for sent, status in (
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_REQUEST + 1), b"413"),
        (b"POST /add-checkpoint HTTP/1.1\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %s\r\n\r\n" % (b"9" * 5000), b"411"),
        (b"POST /add-checkpoint HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"GET /add-checkpoint HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nA" + b"a" * 70_000 + b"\r\n\r\n", b"431"),
        (b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", b"400"),
    ):
        with socket.create_connection((host, int(port)), 5) as peer:
            peer.sendall(sent)
            answer = peer.makefile("rb").read()
        assert status in answer, sent
    with socket.create_connection((host, int(port)), 5) as peer:
        peer.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 9\r\n\r\nold")  # and is gone
    assert running.submit(b"", "/")[0] == 404


def test_sigterm_ends_it_cleanly_and_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with WitnessProcess(tmp_path, LOG_KEY.vkey) as witness:
        assert witness.submit(submission(0, leaves(5)).encode())[0] == 200
        witness.kill()
    with WitnessProcess(tmp_path, LOG_KEY.vkey) as again:
        assert again.key == witness.key
        assert again.submit(submission(0, leaves(5, forked_at=0)).encode()) == (409, b"5\n")
        assert again.submit(submission(5, leaves(6)).encode())[0] == 200
        assert again.stop() == 0


def test_the_command_prints_its_key_and_refuses_what_it_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path / "w")]
    for arguments, text in (
        ([*state, "--key-only", "--name", "a b"], "--name"),
        ([*state, "--key-only", "--name", "w.example"], ""),
        ([*state, "--key-only", "--name", "other.example"], "is 'w.example'"),
        (state, "--listen"),
        ([*state, "--listen", "nowhere", "--log", LOG_KEY.vkey], "no place to listen"),
        ([*state, "--listen", "127.0.0.1:0", "--log", "x"], "--log x"),
        (["--key-only"], "--state"),
    ):
        with pytest.raises(UsageError, match=text) if text else nullcontext():
            command.main(arguments, standalone_mode=False)
    assert CosignerKey.parse(capsys.readouterr().out.strip()).name == "w.example"


def test_the_key_is_private_and_is_never_made_anew_beside_a_memory(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "w", [LOG_KEY.verifier])
    assert stat.S_IMODE((tmp_path / "w/witness.key").stat().st_mode) == 0o600
    assert witness.add_checkpoint(submission(0, leaves(2)).encode()).status == 200
    with pytest.raises(UsageError, match="runs on"):
        Witness(tmp_path / "w", [LOG_KEY.verifier])
    witness.close()
    (tmp_path / "w/witness.key").rename(tmp_path / "lost")
    with pytest.raises(LedgerUnavailableError, match="missing"):
        Witness(tmp_path / "w", [LOG_KEY.verifier])
    (tmp_path / "lost").rename(tmp_path / "w/witness.key")
    (tmp_path / "w/witness.key").chmod(0o644)
    with pytest.raises(UsageError, match="read by others"):
        Witness(tmp_path / "w", [LOG_KEY.verifier])


def test_both_sides_of_a_fork_are_kept_once_and_the_tree_that_was_cosigned_stays(
    tmp_path: Path, witness: Witness
) -> None:
    tree = leaves(5)
    assert witness.add_checkpoint(submission(0, tree).encode()).status == 200
    fork, longer = note_of(leaves(5, forked_at=1)), note_of(leaves(7, forked_at=1))
    for _ in range(2):
        assert witness.add_checkpoint(Submission(5, (), fork).encode()).status == 409
        assert witness.add_checkpoint(Submission(5, (bytes(32),), longer).encode()).status == 422
    more = SigningKey.from_seed("noise.example", bytes(32)).sign_line("x\n").encode()
    assert witness.add_checkpoint(Submission(5, (), fork + more).encode()).status == 409
    (folder,) = (path for path in (tmp_path / "w").iterdir() if path.is_dir())
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert kept.pop("held") == note_of(tree)
    assert sorted(name.split("-")[0] + "." + name.split(".")[1] for name in kept) == [
        *("5.held", "5.request"),
        *("7.held", "7.request"),
    ]
    for name, data in kept.items():
        assert (
            data == note_of(tree) if name.endswith("held") else Submission.decode(data).note in {fork, longer}
        )
    assert witness.add_checkpoint(submission(5, leaves(6)).encode()).status == 200


def test_a_bad_proof_where_nothing_is_held_contradicts_nothing_and_is_answered(
    tmp_path: Path, witness: Witness
) -> None:
    answer = witness.add_checkpoint(Submission(0, (bytes(32),), note_of(leaves(5))).encode())
    assert answer.status == 422
    assert "evidence" not in answer.detail
    assert witness.add_checkpoint(submission(0, leaves(5)).encode()).status == 200


def test_evidence_whose_writing_failed_is_written_when_it_comes_again(
    tmp_path: Path, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    tree, fork = leaves(5), Submission(5, (), note_of(leaves(5, forked_at=1))).encode()
    witness.add_checkpoint(submission(0, tree).encode())
    with monkeypatch.context() as patch:
        patch.setattr("storage.witness_server.write_private", full)
        with pytest.raises(OSError, match="No space"):
            witness.add_checkpoint(fork)
    assert witness.add_checkpoint(fork).status == 409
    kept = {path.suffix: path.read_bytes() for path in (tmp_path / "w").glob("*/5-*")}
    assert kept == {".held": note_of(tree), ".request": fork}


@pytest.mark.parametrize(("size", "status"), [(0, 409), (3, 422)])
def test_before_anything_is_held_a_bad_proof_is_no_contradiction(
    tmp_path: Path, witness: Witness, size: int, status: int
) -> None:
    checkpoint = Checkpoint(ORIGIN, size, bytes(32))
    note = sign_note(checkpoint.body(), [LOG_KEY])
    assert witness.add_checkpoint(Submission(0, (bytes(32),), note).encode()).status == status
    assert not list((tmp_path / "w").glob("*/*"))


def test_a_request_that_nobody_of_the_log_signed_leaves_nothing_behind(
    tmp_path: Path, witness: Witness
) -> None:
    stranger = SigningKey.from_seed(ORIGIN, bytes(32))
    assert witness.add_checkpoint(Submission(0, (), note_of(leaves(3), key=stranger)).encode()).status == 403
    assert witness.add_checkpoint(b"rubbish").status == 400
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["witness.key", "witness.lock"]


def test_a_damaged_memory_is_never_taken_for_none(tmp_path: Path, witness: Witness) -> None:
    witness.add_checkpoint(submission(0, leaves(5)).encode())
    (path,) = (tmp_path / "w").glob("*/held")
    path.write_bytes(b"")
    with pytest.raises(LedgerUnavailableError, match="damaged"):
        witness.add_checkpoint(submission(0, leaves(9)).encode())


def test_a_tree_is_on_disk_before_its_cosignature_leaves(
    witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    witness.add_checkpoint(submission(0, leaves(5)).encode())
    with monkeypatch.context() as patch:
        patch.setattr("storage.witness_server.write_private", full)
        with pytest.raises(OSError, match="No space"):
            witness.add_checkpoint(submission(5, leaves(6)).encode())
    assert witness._held(ORIGIN) == held(leaves(5))


def test_of_many_at_once_each_cosigned_tree_continues_the_one_before(witness: Witness) -> None:
    trees = {size: leaves(size) for size in range(1, 30)}
    answers: list[tuple[int, int]] = []

    def grow(old: int, size: int) -> None:
        answers.append((witness.add_checkpoint(submission(old, trees[size]).encode()).status, size))

    witness.add_checkpoint(submission(0, trees[1]).encode())
    threads = [threading.Thread(target=grow, args=(1, size)) for size in range(2, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [size for status, size in answers if status == 200]
    assert len(won) == 1
    assert {status for status, _ in answers} == {200, 409}
    assert witness._held(ORIGIN) == held(trees[won[0]])


def test_the_time_is_the_witness_clocks(witness: Witness) -> None:
    request = submission(0, leaves(5))
    (one,) = cosignatures(request.note + witness.add_checkpoint(request.encode()).body, [witness.key])
    assert (one.time, one.key.name) == (1_800_000_000, "witness.example/w2")


def test_an_answer_that_fails_is_503_and_names_no_file_to_the_peer(tmp_path: Path) -> None:
    with WitnessProcess(tmp_path, LOG_KEY.vkey) as witness:
        assert witness.submit(submission(0, leaves(5)).encode())[0] == 200
        (path,) = tmp_path.glob("*/held")
        path.write_bytes(b"x")
        assert witness.submit(submission(5, leaves(6)).encode()) == (503, b"not now\n")
        assert witness.line()["status"] == 200
        assert "damaged" in witness.line()["detail"]
