"""The log's key in a process of its own: who appends can neither fork the log nor roll it back, nor sign at all."""

from __future__ import annotations

import shutil
import signal
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import storage.signer
from console import doctor
from evidence.checkpoint import Checkpoint, checkpoint_key, parse_checkpoint
from evidence.errors import LedgerUnavailableError, UnreachableError, UsageError
from evidence.note import VerifierKey
from evidence.proof import consistency_path
from evidence.tree import leaf_hash, root_of
from evidence.witness import Submission
from storage.home import Home
from storage.http import post
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.settings import Settings
from storage.signer import LocalSigner, RemoteSigner, open_signer
from tests.storage.test_ledger import append
from tests.storage.witness_process import Service

Consistency = Callable[[int], list[bytes]]


class SignerProcess(Service):
    """`akashi ledger sign` with a home of its own."""

    def __init__(self, home: Path, listen: str = "") -> None:
        arguments = ["--listen", listen] if listen else []
        super().__init__("ledger", "sign", *arguments, AKASHI_HOME=str(home))
        self.home = Home(home)


@pytest.fixture
def signer(tmp_path: Path) -> Iterator[SignerProcess]:
    with SignerProcess(tmp_path / "signer") as running:
        yield running


@pytest.fixture
def keyless(home: Home, signer: SignerProcess) -> Keyring:
    """The keyring of a home that has the log's public key only."""
    (home.keys / "log.vkey").write_text(signer.told["vkey"] + "\n")
    return Keyring.open_or_create(home)


def tree(size: int, *, forked_at: int | None = None) -> list[bytes]:
    return [leaf_hash(b"%d %d" % (n, forked_at is not None and n >= forked_at)) for n in range(size)]


def asked(keyring: Keyring, leaves: list[bytes]) -> tuple[Checkpoint, Consistency]:
    def prove(old: int) -> list[bytes]:
        return consistency_path(
            old, len(leaves), lambda level, at: root_of(leaves[at << level : at + 1 << level])
        )

    return Checkpoint(keyring.origin, len(leaves), root_of(leaves)), prove


def test_a_home_without_the_logs_key_appends_and_its_signer_signs(
    home, store, signer, keyless, open_ledger
) -> None:
    assert not (home.keys / "log.key").exists()
    with pytest.raises(LedgerUnavailableError):
        _ = keyless.log
    ledger = Ledger(home, store, keyless, signer=RemoteSigner(keyless, signer.url))
    ledger.open()
    for _ in range(2):
        append(ledger)
    ledger.close()
    vkey = VerifierKey.parse(signer.told["vkey"])
    note = store.read(checkpoint_key(ledger_size(keyless)))
    assert parse_checkpoint(note, [vkey]).size == ledger_size(keyless) == 5
    theirs = Keyring(signer.home.keys).remembered()
    assert theirs == keyless.remembered()
    assert not (home.keys / "log.key").exists()


def test_while_the_signer_is_away_entries_stand_and_its_return_covers_them(
    tmp_path, home, store, signer, keyless
) -> None:
    ledger = Ledger(home, store, keyless, signer=RemoteSigner(keyless, signer.url))
    ledger.open()
    signer.kill()
    append(ledger)
    assert (ledger.size, ledger_size(keyless)) == (4, 3)
    with SignerProcess(tmp_path / "signer"):
        append(ledger)
    assert (ledger.size, ledger_size(keyless)) == (5, 5)
    ledger.close()


def test_a_signer_that_hangs_is_waited_for_once(home, store, signer, keyless, monkeypatch) -> None:
    ledger = Ledger(home, store, keyless, signer=RemoteSigner(keyless, signer.url))
    ledger.open()
    monkeypatch.setattr(storage.signer, "TIMEOUT", 0.8)
    signer.process.send_signal(signal.SIGSTOP)
    append(ledger)
    began = time.monotonic()
    append(ledger)
    assert time.monotonic() - began < 0.8
    signer.process.send_signal(signal.SIGCONT)
    monkeypatch.setattr(storage.signer, "_PAUSE", 0.0)
    append(ledger)
    assert (ledger.size, ledger_size(keyless)) == (6, 6)
    ledger.close()


def test_a_signer_that_cannot_write_its_memory_is_as_one_that_is_away(home, store, signer, keyless) -> None:
    ledger = Ledger(home, store, keyless, signer=RemoteSigner(keyless, signer.url))
    ledger.open()
    memory = signer.home.keys / "remembered.json"
    kept = memory.read_bytes()
    memory.write_bytes(b"half")
    append(ledger)
    assert (ledger.size, ledger_size(keyless)) == (4, 3)
    memory.write_bytes(kept)
    append(ledger)
    assert ledger_size(keyless) == 5
    ledger.close()


def ledger_size(keyring: Keyring) -> int:
    remembered = keyring.remembered()
    assert remembered is not None
    return remembered.size


def test_whoever_takes_over_the_machine_that_appends_can_neither_fork_nor_roll_back(signer, keyless) -> None:
    remote = RemoteSigner(keyless, signer.url)
    assert parse_checkpoint(remote.sign(*asked(keyless, tree(5))), keyless.verifiers).size == 5
    # The intruder forgets what was signed, or says so: the signer does not.
    assert keyless.remembered() is None
    for attack in (tree(5, forked_at=2), tree(9, forked_at=2)):
        with pytest.raises(LedgerUnavailableError, match="refuses to sign: 4"):
            remote.sign(*asked(keyless, attack))
    for size in (0, 4):
        with pytest.raises(LedgerUnavailableError, match="do not contain the 5"):
            remote.sign(*asked(keyless, tree(size)))
    again = remote.sign(*asked(keyless, tree(5)))
    assert again == remote.sign(*asked(keyless, tree(5)))  # a kill before the store had it is mended
    assert parse_checkpoint(remote.sign(*asked(keyless, tree(9))), keyless.verifiers).size == 9


def test_the_signers_memory_outlives_a_kill_and_one_home_has_one_signer(tmp_path, signer, keyless) -> None:
    RemoteSigner(keyless, signer.url).sign(*asked(keyless, tree(5)))
    with pytest.raises(AssertionError, match="runs on"):
        SignerProcess(tmp_path / "signer")
    signer.kill()
    with pytest.raises(UnreachableError, match="cannot be reached"):
        RemoteSigner(keyless, signer.url).sign(*asked(keyless, tree(6)))
    with SignerProcess(tmp_path / "signer") as again:  # over the socket that the dead one left
        assert again.url == signer.url
        with pytest.raises(LedgerUnavailableError, match="refuses to sign"):
            RemoteSigner(keyless, again.url).sign(*asked(keyless, tree(6, forked_at=0)))
        RemoteSigner(keyless, again.url).sign(*asked(keyless, tree(6)))
        assert again.stop() == 0
        assert not Path(again.url.removeprefix("unix:")).exists()


def test_its_socket_is_its_users_alone(signer) -> None:
    assert stat.S_IMODE(Path(signer.url.removeprefix("unix:")).stat().st_mode) == 0o600


def test_over_tcp_only_the_bearer_of_the_token_is_served(tmp_path, home) -> None:
    with SignerProcess(tmp_path / "signer", "127.0.0.1:0") as signer:
        (home.keys / "log.vkey").write_text(signer.told["vkey"])
        keyring = Keyring.open_or_create(home)
        settings = Settings(home=home, ledger_signer=signer.url)
        with pytest.raises(UsageError, match="signer-token"):
            open_signer(settings, keyring)
        for token in ("", "wrong", "wrong\N{LATIN SMALL LETTER E WITH ACUTE}"):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            status, _ = post(
                f"{signer.url}/sign",
                b"old 0\n\nx\n",
                content_type="text/plain",
                timeout=5,
                limit=99,
                allow_private=True,
                headers=headers,
            )
            assert status == 401
        token_file = tmp_path / "signer/signer-token"
        assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
        shutil.copy(token_file, home.root / "signer-token")
        (home.root / "signer-token").chmod(0o644)
        with pytest.raises(UsageError, match="read by others"):
            open_signer(settings, keyring)
        (home.root / "signer-token").chmod(0o600)
        note = open_signer(settings, keyring).sign(*asked(keyring, tree(3)))
        assert parse_checkpoint(note, keyring.verifiers).size == 3
        text = token_file.read_text().strip()
        assert text not in str([signer.line() for _ in range(4)])


@pytest.mark.parametrize(
    "where", ["http://signer.example:8182", "http://10.0.0.7:8182", "ftp://127.0.0.1", "x"]
)
def test_a_signer_to_which_the_token_would_go_in_the_clear_is_refused(home, where) -> None:
    with pytest.raises(UsageError):
        open_signer(Settings(home=home, ledger_signer=where), Keyring.open_or_create(home))


def test_what_is_no_request_of_this_log_is_not_signed(signer, keyless) -> None:
    good, _ = asked(keyless, tree(2))
    other = Checkpoint("other.example", 2, bytes(32))
    for body, status in (
        (b"", 400),
        (b"old 0\n\n\xff\n", 400),
        (Submission(0, (), other.body().encode()).encode(), 404),
        (Submission(0, (), good.body().encode() + b"extension\n").encode(), 404),
        (b"old 3\n\n" + good.body().encode(), 400),
        (Submission(0, (bytes(32),), good.body().encode()).encode(), 422),
    ):
        answer = post(f"{signer.url}:/sign", body, content_type="text/plain", timeout=5, limit=999)
        assert answer[0] == status, (body, answer)
    assert Keyring(signer.home.keys).remembered() is None


def test_a_signature_by_another_key_than_the_pinned_one_is_not_taken(tmp_path, home, signer) -> None:
    stranger = Keyring.open_or_create(
        Home(tmp_path / "stranger"), VerifierKey.parse(signer.told["vkey"]).name
    )
    (home.keys / "log.vkey").write_text(stranger.log.vkey)
    keyring = Keyring.open_or_create(home)
    with pytest.raises(LedgerUnavailableError, match="did not sign what it was asked to"):
        RemoteSigner(keyring, signer.url).sign(*asked(keyring, tree(2)))


def test_the_signer_of_a_home_refuses_what_its_memory_does_not_contain(home) -> None:
    keyring = Keyring.open_or_create(home)
    keyring.remember(5, root_of(tree(5)))
    local = LocalSigner(keyring)
    assert local.sign(*asked(keyring, tree(7)))
    for bad in (tree(7, forked_at=4), tree(5, forked_at=4), tree(4)):
        with pytest.raises(LedgerUnavailableError, match="do not contain the 5"):
            local.sign(*asked(keyring, bad))


def test_the_signers_home_is_the_one_with_the_key(home, keyless) -> None:
    with pytest.raises(AssertionError, match="not in"):
        SignerProcess(home.root)


def test_doctor_tells_which_entries_wait_for_a_signer_that_is_away(
    home, store, signer, keyless, monkeypatch
) -> None:
    monkeypatch.setattr(doctor, "open_store", lambda _: store)
    ledger = Ledger(home, store, keyless, signer=RemoteSigner(keyless, signer.url))
    ledger.open()
    signer.kill()
    append(ledger)
    ledger.close()
    told = [
        one for one in doctor._store(Settings(home=home, ledger_signer=signer.url)) if one.state == "note"
    ]
    assert [(one.subject, one.text) for one in told] == [
        ("ledger", "entries from 3 on are under no checkpoint yet")
    ]


def test_doctor_opens_a_log_whose_key_is_with_its_signer(home, store, signer, keyless, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "open_store", lambda _: store)
    settings = Settings(home=home, ledger_signer=signer.url)
    found = {finding.subject: finding for finding in doctor._store(settings)}
    assert found["ledger"].state == "ok"
    assert signer.told["vkey"] in found["ledger"].text
    assert Keyring(signer.home.keys).remembered() == keyless.remembered()
