"""Keys that follow one another over a real store: overlap, ends, loss, theft, and a kill at every step."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evidence.audit import Expectations, audit
from evidence.canonical import utc
from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key
from evidence.digests import digest_bytes
from evidence.errors import LedgerFencedError, LedgerUnavailableError, NoteError, UsageError
from evidence.key_entry import sign_body
from evidence.note import SigningKey, open_note, sign_note
from evidence.tree import leaf_hash, root_of
from storage import rotation
from storage.backup import backup, restore
from storage.home import Home
from storage.keyring import Keyring, read_key
from storage.ledger import Ledger
from storage.s3 import S3Store
from tests.storage.test_ledger import append

Opener = Callable[..., Ledger]
Command = Callable[[Ledger, Keyring], Any]


def signers(store: S3Store, size: int, keys: list[SigningKey]) -> list[str]:
    """Which of these keys signed the stored checkpoint, by vkey."""
    found = []
    for key in keys:
        with suppress(NoteError):
            open_note(store.read(checkpoint_key(size)), [key.verifier])
            found.append(key.vkey)
    return found


def findings(store: S3Store, home: Home) -> list[tuple[str, str]]:
    report = audit(store, Keyring.open_or_create(home).expectations())
    return [(found.object, found.rule) for found in report.findings]


def active(ledger: Ledger, role: str) -> list[str]:
    return [life.vkey for life in ledger.keys().active(role)]


def now() -> str:
    return utc(datetime.now(UTC))


def test_old_and_new_sign_every_checkpoint_until_the_old_is_retired(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    old = keyring.log
    assert rotation.rotate(ledger, keyring, "log") == keyring.log.verifier
    new = keyring.log
    assert (new.name, old.name, ledger.size) == (keyring.origin, keyring.origin, 4)
    assert signers(store, 4, [old, new]) == [old.vkey], "the new one signs once its entry is in the store"
    append(ledger)
    assert signers(store, 5, [old, new]) == [old.vkey, new.vkey]
    rotation.retire(ledger, keyring, old.vkey)
    assert signers(store, 6, [old, new]) == [new.vkey]
    assert sorted(path.name for path in home.keys.glob("*.key")) == ["collector.key", "log.key"]
    append(open_ledger())
    for expected in (keyring.expectations(), Expectations((old.verifier,)), Expectations()):
        assert audit(store, expected).findings == []


def test_another_process_that_holds_the_log_open_signs_as_the_keys_are_now(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    other, ledger, keyring = open_ledger(), open_ledger(), Keyring.open_or_create(home)
    old = keyring.log
    rotation.rotate(ledger, keyring, "log")
    append(other)
    assert signers(store, 5, [old, keyring.log]) == [old.vkey, keyring.log.vkey]
    rotation.retire(ledger, keyring, old.vkey)
    append(other)
    assert signers(store, 7, [old, keyring.log]) == [keyring.log.vkey]
    assert findings(store, home) == []


def test_a_collector_is_followed_too(open_ledger: Opener, store: S3Store, home: Home) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    old = keyring.collector
    new = rotation.rotate(ledger, keyring, "collector")
    assert (keyring.collector.verifier, new.name) == (new, old.name)
    assert active(ledger, "collector") == [new.vkey, old.vkey]
    rotation.retire(ledger, keyring, old.vkey)
    assert active(open_ledger(), "collector") == [new.vkey]
    assert findings(store, home) == []


def test_what_is_in_use_or_unknown_is_not_retired(open_ledger: Opener, home: Home) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    for vkey, said in (
        (keyring.log.vkey, "in use"),
        (keyring.collector.vkey, "in use"),
        (SigningKey.generate("x.invalid").vkey, "no key of this log"),
        ("nonsense", "is no vkey"),
    ):
        with pytest.raises(UsageError, match=said):
            rotation.retire(ledger, keyring, vkey)
    assert ledger.size == 3


def test_a_stolen_log_key_is_followed_first_and_then_signs_no_more(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    stolen, since = keyring.log, now()
    life = rotation.compromised(ledger, keyring, stolen.vkey, since)
    assert (life.since, life.until, ledger.size) == (since, 4, 5)
    assert active(ledger, "log") == [keyring.log.vkey] != [stolen.vkey]
    assert (
        rotation.compromised(ledger, keyring, stolen.vkey, since) == ledger.keys().find(stolen.vkey) or True
    )
    assert ledger.size == 5, "entered once"
    report = audit(store, keyring.expectations())
    assert report.findings == []
    doubted = [note for note in report.notes if "compromised since" in note]
    assert [note.split()[0] for note in doubted] == [checkpoint_key(3), checkpoint_key(4)]


def test_a_checkpoint_that_the_thief_signs_afterwards_is_found(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    """Attack 19, and a checkpoint by a retired key."""
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    stolen = keyring.log
    rotation.compromised(ledger, keyring, stolen.vkey, now())
    forged = sign_note(Checkpoint(keyring.origin, 7, b"f" * 32).body(), [stolen])
    store.put_once(checkpoint_key(7), forged, digest_bytes(forged), content_type="text/plain")
    assert findings(store, home) == [(checkpoint_key(7), "checkpoint-signer")]


def test_a_lost_log_key_is_recovered_and_the_log_goes_on(
    open_ledger: Opener, store: S3Store, home: Home, tmp_path: Path
) -> None:
    """Attack 20."""
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    lost, out = keyring.log, tmp_path / "recovery.key"
    made = rotation.make_recovery(ledger, keyring, out)
    assert (out.stat().st_mode & 0o777, read_key(out).verifier) == (0o600, made)
    assert not [
        path
        for path in home.keys.iterdir()
        if path.is_file() and read_key(out).seed.hex() in path.read_text()
    ]
    (home.keys / "log.key").unlink()
    with pytest.raises(LedgerUnavailableError, match=r"log\.key is missing") as told:
        Keyring.open_or_create(home)
    assert "akashi ledger keys recover" in told.value.next
    recovering = Keyring.recovering(home, keyring.origin)
    new = rotation.recover(open_ledger(start=False, keyring=recovering), recovering, read_key(out))
    assert signers(store, 5, [lost, recovering.log]) == [new.vkey]
    ledger = open_ledger()
    append(ledger)
    rotation.retire(ledger, Keyring.open_or_create(home), lost.vkey)
    for expected in (Keyring.open_or_create(home).expectations(), Expectations((lost.verifier,))):
        assert audit(store, expected).findings == []


def test_with_the_whole_home_lost_the_recovery_key_is_enough(
    open_ledger: Opener, store: S3Store, home: Home, tmp_path: Path
) -> None:
    ledger, out = open_ledger(), tmp_path / "recovery.key"
    rotation.make_recovery(ledger, Keyring.open_or_create(home), out)
    append(ledger)
    other = Home(tmp_path / "other")
    keyring = Keyring.recovering(other, read_key(out).name.removesuffix("/recovery"))
    rotation.recover(open_ledger(other, start=False, keyring=keyring), keyring, read_key(out))
    ledger = open_ledger(other)
    append(ledger)
    assert len(active(ledger, "collector")) == 2, "the lost one is to be retired by a person"
    assert findings(store, other) == []


def test_making_a_recovery_key_and_recovering_finish_when_they_were_killed_and_are_repeated(
    open_ledger: Opener, store: S3Store, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, keyring, out = open_ledger(), Keyring.open_or_create(home), tmp_path / "recovery.key"
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "append", killed)
        with pytest.raises(Killed):
            rotation.make_recovery(ledger, keyring, out)
    assert active(ledger, "recovery") == []
    made = rotation.make_recovery(ledger, keyring, out)
    assert rotation.make_recovery(ledger, keyring, out) == made
    assert (active(ledger, "recovery"), ledger.size) == ([made.vkey], 4)
    (home.keys / "log.key").unlink()
    for target, name in ((Ledger, "append"), (Keyring, "remember"), (Keyring, "install")):
        recovering = Keyring.recovering(home, keyring.origin)
        opened = open_ledger(start=False, keyring=recovering)
        with monkeypatch.context() as patched:
            patched.setattr(target, name, killed)
            with pytest.raises(Killed):
                rotation.recover(opened, recovering, read_key(out))
    recovering = Keyring.recovering(home, keyring.origin)
    rotation.recover(open_ledger(start=False, keyring=recovering), recovering, read_key(out))
    append(open_ledger())
    assert len(active(ledger, "log")) == 2, "no third key was made"
    assert findings(store, home) == []


def test_a_strangers_recovery_key_recovers_nothing(open_ledger: Opener, home: Home) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    stranger = SigningKey.generate(f"{keyring.origin}/recovery")
    with pytest.raises(UsageError, match="is no recovery key"):
        rotation.recover(ledger, keyring, stranger)
    assert ledger.size == 3


def test_a_recovery_key_goes_into_no_file_that_holds_another(
    open_ledger: Opener, home: Home, tmp_path: Path
) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    out = tmp_path / "letter"
    out.write_text("Dear Aiko")
    out.chmod(0o600)
    with pytest.raises(UsageError, match="is there already"):
        rotation.make_recovery(ledger, keyring, out)
    assert out.read_text() == "Dear Aiko"
    with pytest.raises(UsageError, match="is the key of"):
        rotation.make_recovery(ledger, keyring, home.keys / "log.key")


def test_who_can_write_entries_but_not_sign_cannot_rotate(
    open_ledger: Opener, store: S3Store, home: Home
) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    thief = SigningKey.generate(keyring.origin)
    body = {"role": "log", "old": keyring.log.vkey, "new": thief.vkey}
    ledger.append(
        "key.rotated", keyring.origin, sign_body("key.rotated", keyring.origin, 3, body, thief, thief)
    )
    assert active(ledger, "log") == [keyring.log.vkey]
    assert [rule for _, rule in findings(store, home)] == ["key-signature"]
    entries = [ledger.entry_bytes(index) for index in range(4)]
    note = sign_note(Checkpoint(keyring.origin, 4, root_of(list(map(leaf_hash, entries)))).body(), [thief])
    store.replace(POINTER, note)
    assert (POINTER, "unsigned") in findings(store, home)


def test_keys_of_a_backup_from_before_a_retirement_write_nothing(
    open_ledger: Opener, store: S3Store, home: Home, tmp_path: Path
) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    old = keyring.log
    backup(home, tmp_path / "before.tar")
    rotation.rotate(ledger, keyring, "log")
    backup(home, tmp_path / "overlap.tar")
    rotation.retire(ledger, keyring, old.vkey)
    for name in ("before", "overlap"):
        again = Home(tmp_path / name)
        restore(tmp_path / f"{name}.tar", again)
        with pytest.raises(LedgerFencedError, match="entry 4 ended the use"):
            open_ledger(again)
    assert findings(store, home) == []


def test_a_backup_in_overlap_brings_both_keys_back(open_ledger: Opener, home: Home, tmp_path: Path) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    rotation.rotate(ledger, keyring, "log")
    backup(home, tmp_path / "backup.tar")
    again = Home(tmp_path / "again")
    restore(tmp_path / "backup.tar", again)
    assert [k.seed for k in Keyring.open_or_create(again).log_keys()] == [k.seed for k in keyring.log_keys()]
    assert append(open_ledger(again)) == 4


def test_a_home_whose_log_key_is_with_a_signer_knows_only_its_public_half(
    open_ledger: Opener, home: Home, tmp_path: Path
) -> None:
    open_ledger()
    held = Keyring.open_or_create(home)
    other = Home(tmp_path / "other").make()
    with pytest.raises(UsageError, match=r"log\.vkey is missing"):
        Keyring.open_or_create(other, elsewhere=True)
    (other.keys / "log.vkey").write_text(held.log.vkey + "\n")
    keyring = Keyring.open_or_create(other, elsewhere=True)
    assert keyring.verifiers == (held.log.verifier,)
    assert keyring.collector.name == f"{held.origin}/collector"
    assert not (other.keys / "log.key").exists()
    with pytest.raises(LedgerUnavailableError, match="with its signer"):
        _ = keyring.log
    with pytest.raises(UsageError, match="with its signer"):
        rotation.rotate(open_ledger(), keyring, "log")
    backup(other, tmp_path / "backup.tar")
    restore(tmp_path / "backup.tar", Home(tmp_path / "again"))
    assert Keyring.open_or_create(Home(tmp_path / "again")).verifiers == keyring.verifiers
    (other.keys / "log.vkey").write_text("nonsense")
    with pytest.raises(LedgerUnavailableError, match=r"log\.vkey is damaged"):
        Keyring.open_or_create(other)


class Killed(BaseException):
    """Ends a command as a kill does: nothing of ours catches it."""


def killed(*args: Any, **kwargs: Any) -> None:
    """In the place of a step that is not reached."""
    raise Killed


def killed_at(monkeypatch: pytest.MonkeyPatch, store: S3Store, step: int) -> Callable[[], int]:
    """From now on dies before the n-th write: of a file, of a database, of an object. Gives the writes seen."""
    seen = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen > step:
                raise Killed
            return real(*args, **kwargs)

        return write

    for target, name in (
        (Path, "replace"), (Path, "unlink"), (S3Store, "put_once"), (S3Store, "replace"),
        (Ledger, "append"), (Ledger, "_settle"), (Ledger, "_sign"), (Keyring, "remember"),
    ):  # fmt: skip
        monkeypatch.setattr(target, name, counted(getattr(target, name)))
    return lambda: seen


def retire_older(ledger: Ledger, keyring: Keyring) -> None:
    rotation.retire(ledger, keyring, active(ledger, "log")[-1])


COMMANDS: dict[str, tuple[Command, Command, int]] = {
    # what went before; what is killed; how many log keys are active at its end
    "rotate": (
        lambda ledger, keyring: None,
        lambda ledger, keyring: rotation.rotate(ledger, keyring, "log"),
        2,
    ),
    "retire": (lambda ledger, keyring: rotation.rotate(ledger, keyring, "log"), retire_older, 1),
    "compromised": (
        lambda ledger, keyring: None,
        lambda ledger, keyring: rotation.compromised(ledger, keyring, ledger.keys().lives[0].vkey, SINCE),
        1,
    ),
}
SINCE = "2026-01-01T00:00:00.000Z"


def steps() -> Iterator[Any]:
    """Every write of each command; in `make test` one each, in the midst of it."""
    for name, count, midst in (("rotate", 14, 6), ("retire", 12, 4), ("compromised", 22, 13)):
        for step in range(count):
            marks = () if step == midst else pytest.mark.slow
            yield pytest.param(name, step, id=f"{name}-{step}", marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "step"), [*steps()])
def test_killed_at_any_step_the_same_command_finishes(
    open_ledger: Opener, store: S3Store, home: Home, monkeypatch: pytest.MonkeyPatch, command: str, step: int
) -> None:
    before, change, remain = COMMANDS[command]
    ledger = open_ledger()
    before(ledger, Keyring.open_or_create(home))
    with monkeypatch.context() as patched:
        seen = killed_at(patched, store, step)
        try:
            change(ledger, Keyring.open_or_create(home))
            assert seen() <= step
            finished = True
        except Killed:
            finished = False
    ledger = open_ledger()
    assert findings(store, home) == [], "sound as it was left"
    append(ledger)
    if not finished and not (command == "retire" and len(active(ledger, "log")) == 1):
        change(ledger, Keyring.open_or_create(home))
    append(open_ledger())
    assert len(active(ledger, "log")) == remain
    assert len([life for life in ledger.keys().lives if life.role == "log"]) == 2, "no third key was made"
    assert findings(store, home) == []


ROTATE = """
from datetime import timedelta
from storage import rotation
from storage.keyring import Keyring
from storage.ledger import Ledger
from storage.s3 import S3Store
from storage.s3_client import S3Endpoint
keyring = Keyring.open_or_create(home)
ledger = Ledger(home, S3Store(S3Endpoint(*server), bucket, retention=timedelta(days=1)), keyring)
ledger.open()
print("open", flush=True)
while True:
    with keyring.changing():
        rotation.rotate(ledger, keyring, "log")
        for life in ledger.keys().active("log")[1:]:
            rotation.retire(ledger, keyring, life.vkey)
"""


@pytest.mark.slow
def test_rotations_killed_with_9_leave_a_log_that_goes_on(
    run_python: Callable[..., subprocess.Popen[str]], open_ledger: Opener, store: S3Store, home: Home
) -> None:
    open_ledger().close()
    generator = random.Random(7)  # noqa: S311 - when to kill
    for _ in range(8):
        with run_python(ROTATE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            time.sleep(generator.uniform(0.0, 0.4))
            os.kill(process.pid, signal.SIGKILL)
        ledger = open_ledger()
        append(ledger)
        assert active(ledger, "log")
        assert findings(store, home) == []
    keyring = Keyring.open_or_create(home)
    rotation.rotate(ledger, keyring, "log")
    assert len(ledger.keys().lives) > 4
    assert findings(store, home) == []


@pytest.mark.slow
def test_two_who_rotate_at_once_take_turns(
    run_python: Callable[..., subprocess.Popen[str]], open_ledger: Opener, store: S3Store, home: Home
) -> None:
    open_ledger().close()
    script = ROTATE.replace("while True:", "for _ in range(2):")
    processes = [run_python(script) for _ in range(2)]
    assert [process.communicate()[0] for process in processes] == ["open\n", "open\n"]
    ledger = open_ledger()
    assert len([life for life in ledger.keys().lives if life.role == "log"]) == 5
    assert findings(store, home) == []


def test_a_signature_for_an_index_that_another_took_is_made_anew(
    open_ledger: Opener, store: S3Store, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, other, keyring = open_ledger(), open_ledger(), Keyring.open_or_create(home)
    taken, real = iter([True, True, False]), rotation.sign_body

    def slow(*args: Any) -> Any:
        if next(taken):
            append(other)
        return real(*args)

    monkeypatch.setattr(rotation, "sign_body", slow)
    rotation.rotate(ledger, keyring, "log")
    assert [entry.index for entry in ledger.entries() if entry.type == "key.rotated"] == [5]
    assert findings(store, home) == []


def test_times_that_lie_ahead_compromise_nothing(open_ledger: Opener, home: Home) -> None:
    ledger, keyring = open_ledger(), Keyring.open_or_create(home)
    ahead = utc(datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(Exception, match="in the future"):
        rotation.compromised(ledger, keyring, keyring.collector.vkey, ahead)
