"""The audit of a log whose keys changed: each change is followed by its signatures, each abuse is found."""

from __future__ import annotations

import pytest

from evidence.audit import AuditReport, Expectations, audit
from evidence.checkpoint import POINTER, checkpoint_key
from evidence.note import SigningKey
from evidence.segment import segment_key
from tests.evidence import archives, samples
from tests.evidence.archives import MemoryArchive, capture_id, close, manifest_key, rules, started_body
from tests.evidence.key_logs import THIEF, KeyLog, key

K0, K1 = samples.LOG_KEY, key(1)
SECOND = key(2, "/collector")
SINCE = "2026-11-23T08:00:00.000Z"


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def log(archive: MemoryArchive) -> KeyLog:
    """Two entries under K0, then a rotation in overlap: checkpoints of 2 (K0), 3 (K0) and 4 (both)."""
    log = KeyLog.opened()
    log.publish(archive)
    log.rotate("log", K0, K1)
    log.publish(archive)
    log.signing = (K1, K0)
    log.append("capture.started", capture_id(10), started_body())
    log.publish(archive)
    return log


def audited(archive: MemoryArchive, *trusted: SigningKey) -> AuditReport:
    return audit(archive, Expectations(tuple(one.verifier for one in trusted)))


def publish(log: KeyLog, archive: MemoryArchive, *signing: SigningKey) -> None:
    log.signing = signing
    log.publish(archive)


def test_a_rotated_log_is_sound_from_either_key_and_by_its_own_word(
    archive: MemoryArchive, log: KeyLog
) -> None:
    log.retire("log", K0)
    publish(log, archive, K1)
    for trusted in ((K0,), (K1,), (K1, K0), ()):
        assert rules(audited(archive, *trusted)) == []


def test_a_checkpoint_that_a_retired_key_signed_is_found_even_beside_a_good_key(
    archive: MemoryArchive, log: KeyLog
) -> None:
    log.retire("log", K0)
    for signing in ((K0,), (K1, K0)):
        forged = archive.copy()
        again = KeyLog(list(log.entries), log.published)
        publish(again, forged, *signing)
        for trusted in (K0, K1):
            assert rules(audited(forged, trusted)) == [
                (POINTER, "checkpoint-signer"),
                (checkpoint_key(5), "checkpoint-signer"),
            ]


def test_what_only_a_stolen_key_signed_is_noted_and_what_it_signs_later_is_found(
    archive: MemoryArchive, log: KeyLog
) -> None:
    log.compromise("log", K0, SINCE)
    publish(log, archive, K1)
    report = audited(archive, K1)
    assert report.findings == []
    doubted = [note.split()[0] for note in report.notes if "compromised since" in note]
    assert doubted == [checkpoint_key(2), checkpoint_key(3)]
    log.append("capture.started", capture_id(11), started_body())
    publish(log, archive, K0)
    assert rules(audited(archive, K1)) == [
        (POINTER, "checkpoint-signer"),
        (checkpoint_key(6), "checkpoint-signer"),
    ]


def test_of_those_who_trusted_only_the_stolen_key_the_successor_is_not_believed(
    archive: MemoryArchive, log: KeyLog
) -> None:
    log.compromise("log", K0, SINCE)
    publish(log, archive, K1)
    assert (checkpoint_key(5), "unsigned") in rules(audited(archive, K0))


def test_a_log_that_a_stranger_opened_in_our_name_is_found(archive: MemoryArchive) -> None:
    """Attack 15; his log also claims that ours is the key which followed his."""
    log = KeyLog()
    log.append("log.opened", samples.ORIGIN, {"origin": samples.ORIGIN, "vkey": THIEF.vkey})
    log.rotate("log", THIEF, K1)
    publish(log, archive, THIEF)
    found = rules(audited(archive, K0))
    assert (segment_key(0), "log-key") in found
    assert (checkpoint_key(2), "unsigned") in found
    report = audited(archive)
    assert report.findings == []
    assert "compare it with one you trust" in report.notes[0]


def test_an_unsigned_rotation_is_found_at_its_line(archive: MemoryArchive, log: KeyLog) -> None:
    log.rotate("log", K1, THIEF, by=THIEF)
    publish(log, archive, THIEF)
    report = audited(archive, K1)
    assert set(rules(report)) == {
        (POINTER, "unsigned"), (checkpoint_key(5), "unsigned"), (segment_key(4), "key-signature"),
    }  # fmt: skip
    (found,) = (one for one in report.findings if one.rule == "key-signature")
    assert (found.entry, found.length) == (4, len(log.entries[4]) + 1)


@pytest.mark.parametrize("trusted", [K0, K1], ids=["from-the-old-key", "from-the-new-key"])
def test_every_bit_of_a_rotation_counts(archive: MemoryArchive, log: KeyLog, trusted: SigningKey) -> None:
    data = archive.data(segment_key(2))
    for position in range(data.index(b"\n") + 1, len(data) - 1, 23):
        archive.replace_bytes(
            segment_key(2), data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        )
        found = rules(audited(archive, trusted))
        assert [where for where, rule in found if rule == "entry-changed"] == [segment_key(2)], position


def test_a_manifest_is_signed_by_a_collector_of_its_time(
    archive: MemoryArchive, log: KeyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.rotate("collector", samples.COLLECTOR, SECOND)
    close(log, archive, capture_id(10), 3)  # in overlap, by the old one
    publish(log, archive, K1, K0)
    assert rules(audited(archive, K1)) == []
    log.retire("collector", samples.COLLECTOR)
    started = log.append("capture.started", capture_id(11), started_body())
    close(log, archive, capture_id(11), started)
    publish(log, archive, K1, K0)
    assert rules(audited(archive, K1)) == [(manifest_key(capture_id(11)), "signature-key")]
    started = log.append("capture.started", capture_id(12), started_body())
    monkeypatch.setattr(archives.samples, "COLLECTOR", SECOND)
    close(log, archive, capture_id(12), started)
    publish(log, archive, K1, K0)
    assert rules(audited(archive, K1)) == [(manifest_key(capture_id(11)), "signature-key")]


def test_a_manifest_by_a_stolen_collector_key_is_noted(archive: MemoryArchive, log: KeyLog) -> None:
    close(log, archive, capture_id(10), 3)
    log.rotate("collector", samples.COLLECTOR, SECOND)
    log.compromise("collector", samples.COLLECTOR, SINCE)
    publish(log, archive, K1, K0)
    report = audited(archive, K1)
    assert report.findings == []
    assert [note for note in report.notes if note.startswith(manifest_key(capture_id(10))) and SINCE in note]
