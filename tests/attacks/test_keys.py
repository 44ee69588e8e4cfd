"""Attacks on keys: rows 19 and 20 of docs/threat-model.md."""

from __future__ import annotations

from evidence.audit import Expectations, audit
from evidence.checkpoint import POINTER, checkpoint_key
from tests.evidence import samples
from tests.evidence.archives import MemoryArchive, audited, capture_id, rules, started_body
from tests.evidence.key_logs import RECOVERY, THIEF, KeyLog, key

SUCCESSOR = key(1)
SINCE = "2026-11-23T08:00:00.000Z"


def published(log: KeyLog, archive: MemoryArchive, *keys: object) -> None:
    """Segments, and a checkpoint signed by these keys."""
    log.publish(archive, signed=False)
    size = len(log.entries)
    archive.objects.pop(POINTER, None)
    for place in (checkpoint_key(size), POINTER):
        archive.put(place, log.note(size, *keys))  # type: ignore[arg-type]


def rotated() -> tuple[MemoryArchive, KeyLog]:
    """A log whose first key was found stolen and was followed by SUCCESSOR."""
    archive, log = MemoryArchive(), KeyLog.opened()
    published(log, archive, samples.LOG_KEY)
    log.rotate("log", samples.LOG_KEY, SUCCESSOR)
    log.compromise("log", samples.LOG_KEY, SINCE)
    published(log, archive, SUCCESSOR)
    return archive, log


def test_19_a_stolen_log_key_signs_nothing_after_its_successor_took_over() -> None:
    archive, log = rotated()
    expected = Expectations((SUCCESSOR.verifier,), len(log.entries), log.checkpoint().root)
    assert audit(archive, expected).findings == []
    log.append("capture.started", capture_id(10), started_body())
    published(log, archive, samples.LOG_KEY)
    found = rules(audit(archive, Expectations((SUCCESSOR.verifier,))))
    assert (checkpoint_key(len(log.entries)), "checkpoint-signer") in found


def test_19_what_it_signed_before_proves_nothing_by_itself() -> None:
    archive, _ = rotated()
    notes = audit(archive, Expectations((SUCCESSOR.verifier,))).notes
    assert any(note.startswith(f"{checkpoint_key(2)} proves nothing") for note in notes)


def test_19_a_thief_names_himself_the_next_key() -> None:
    archive, log = MemoryArchive(), KeyLog.opened()
    log.rotate("log", samples.LOG_KEY, SUCCESSOR, by=THIEF)
    published(log, archive, samples.LOG_KEY)
    assert [rule for _, rule in rules(audited(archive, log))] == ["key-signature"]


def test_20_a_lost_log_key_is_followed_by_one_that_the_recovery_key_names() -> None:
    archive, log = MemoryArchive(), KeyLog.opened()
    log.recovery()
    log.rotate("log", samples.LOG_KEY, SUCCESSOR, by=RECOVERY)
    log.retire("log", samples.LOG_KEY)
    published(log, archive, SUCCESSOR)
    assert audited(archive, log).findings == [], "who trusts the first key reaches the second"
