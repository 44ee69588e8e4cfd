"""Attacks on the order of things: rows 4 to 8, 11, 15 and 17 of docs/threat-model.md."""

from __future__ import annotations

import pytest

from evidence.audit import Expectations, audit
from evidence.audit_ledger import REMEMBERED
from evidence.checkpoint import POINTER, checkpoint_key
from evidence.errors import ProofError
from evidence.note import SigningKey, sign_note
from evidence.proof import inclusion_path
from evidence.segment import segment_key
from evidence.tlog_proof import TlogProof
from evidence.tree import leaf_hash, root_of
from tests.attacks.keeper import published_anew, rechained, with_entry
from tests.evidence import samples
from tests.evidence.archives import (
    Log,
    MemoryArchive,
    audited,
    build,
    capture_id,
    folder,
    rules,
    started_body,
    warc_key,
)

EARLIER = "2020-01-01T00:00:00.000Z"
STRANGER = SigningKey.from_seed(samples.ORIGIN, bytes(range(64, 96)))
KEY = Expectations((samples.LOG_KEY.verifier,))
"""Of an auditor who has the log's key from elsewhere, and wrote down nothing else."""


def test_04_an_old_entry_is_rewritten(archive: MemoryArchive, log: Log) -> None:
    data = archive.data(segment_key(0))
    old, new = samples.TIME.encode(), EARLIER.encode()
    position = data.index(old, data.index(b'"index":2'))
    archive.replace_bytes(segment_key(0), data[:position] + new + data[position + len(old) :])
    assert (segment_key(0), "entry-changed") in rules(audited(archive, log))


def test_04_an_old_entry_is_rewritten_and_all_behind_it_chained_anew(
    archive: MemoryArchive, log: Log
) -> None:
    forged = published_anew(archive, with_entry(log, 2, time=EARLIER), key=None)
    assert (checkpoint_key(3), "root") in rules(audit(forged, KEY))


def test_04_a_rewritten_entry_has_no_place_under_the_root_that_was_signed(log: Log) -> None:
    """What `akashi ledger prove` hands out, and a checker who has nothing but the log's key."""
    leaves = [leaf_hash(entry) for entry in log.entries]
    path = inclusion_path(2, 7, lambda level, at: root_of(leaves[at << level : at + 1 << level]))
    proof = TlogProof(2, tuple(path), sign_note(log.checkpoint().body(), [samples.LOG_KEY]))
    assert proof.check(log.entries[2], KEY.vkeys) == log.checkpoint()
    with pytest.raises(ProofError) as caught:
        proof.check(with_entry(log, 2, time=EARLIER)[2], KEY.vkeys)
    assert caught.value.rule == "root"


def test_05_everything_is_written_and_signed_anew_with_the_logs_key(archive: MemoryArchive, log: Log) -> None:
    forged = published_anew(archive, with_entry(log, 2, time=EARLIER))
    assert rules(audited(forged, log)) == [(REMEMBERED, "root")]


def test_05_one_older_checkpoint_that_somebody_kept_is_enough(archive: MemoryArchive, log: Log) -> None:
    kept = archive.data(checkpoint_key(3))
    forged = published_anew(archive, with_entry(log, 2, time=EARLIER))
    forged.put(checkpoint_key(3), kept)
    assert (checkpoint_key(3), "root") in rules(audit(forged, KEY))


@pytest.mark.parametrize("place", [2, 4, 6])
def test_06_an_entry_is_inserted_afterwards(archive: MemoryArchive, log: Log, place: int) -> None:
    extra = Log(list(log.entries))
    extra.append("capture.started", capture_id(77), started_body())
    entries = rechained([*log.entries[:place], extra.entries[-1], *log.entries[place:]])
    found = rules(audit(published_anew(archive, entries, key=None), KEY))
    assert {rule for _, rule in found} & {"root", "entry-changed"}


def test_06_two_entries_change_places(archive: MemoryArchive, log: Log) -> None:
    entries = rechained([*log.entries[:2], log.entries[3], log.entries[2], *log.entries[4:]])
    assert any(rule == "root" for _, rule in rules(audit(published_anew(archive, entries, key=None), KEY)))


def test_07_the_tail_is_dropped(archive: MemoryArchive, log: Log) -> None:
    for key in (segment_key(5), checkpoint_key(7), POINTER):
        del archive.objects[key]
    archive.put(POINTER, archive.data(checkpoint_key(5)))
    assert (segment_key(5), "entry-dropped") in rules(audited(archive, log))


def test_08_two_histories_are_shown_to_two_people(archive: MemoryArchive, log: Log) -> None:
    fork = published_anew(archive, with_entry(log, 5, time=EARLIER))
    mine, theirs = archive.data(checkpoint_key(7)), fork.data(checkpoint_key(7))
    assert mine != theirs
    fork.objects[checkpoint_key(7)].append(("v99", mine))  # who has both shows them to anybody
    assert {(checkpoint_key(7), "object-versions"), (checkpoint_key(7), "root")} <= set(
        rules(audit(fork, KEY))
    )


def test_11_an_unfavourable_capture_is_never_closed(archive: MemoryArchive, log: Log) -> None:
    report = audited(archive, log)
    assert f"capture {capture_id(12)} is not closed: under way, or to be recovered" in report.notes


def test_11_an_unfavourable_capture_loses_its_start_too(archive: MemoryArchive, log: Log) -> None:
    entries = rechained(log.entries[:6])
    assert rules(audited(published_anew(archive, entries), log))


def test_15_an_archive_is_forged_with_the_forgers_own_keys(archive: MemoryArchive, log: Log) -> None:
    opened = {"origin": samples.ORIGIN, "vkey": STRANGER.vkey}
    forged = published_anew(archive, with_entry(log, 0, body=opened), STRANGER)
    found = rules(audit(forged, KEY))
    assert {(segment_key(0), "log-key"), (checkpoint_key(7), "unsigned")} <= set(found)
    without = audit(forged, Expectations())
    assert without.findings == []
    assert "the log's key was taken from the archive itself: compare it with one you trust" in without.notes


def test_15_the_logs_own_signature_is_moved_below_a_forged_checkpoint(
    archive: MemoryArchive, log: Log
) -> None:
    forged = published_anew(archive, with_entry(log, 2, time=EARLIER), STRANGER)
    text, signature = (one.data(checkpoint_key(7)).partition(b"\n\n")[0::2] for one in (forged, archive))
    for key in (checkpoint_key(7), POINTER):
        forged.replace_bytes(key, text[0] + b"\n\n" + signature[1])
    assert {(checkpoint_key(7), "signature"), (POINTER, "signature")} <= set(rules(audit(forged, KEY)))


def test_17_of_two_captures_one_is_left_out(archive: MemoryArchive, log: Log) -> None:
    """Its objects are missed by name, and its entries by their indices."""
    kept = archive.copy()
    for key in [key for key in kept.objects if key.startswith(folder(capture_id(10)))]:
        del kept.objects[key]
    assert (warc_key(capture_id(10)), "object-missing") in rules(audited(kept, log))
    without = rechained([log.entries[index] for index in (0, 1, 3, 5, 6)])
    found = rules(audit(published_anew(kept, without, key=None), KEY))
    assert {rule for _, rule in found} & {"root", "entry-dropped"}


def test_what_is_attacked_is_sound_for_each_auditor() -> None:
    archive, log = build()
    assert audited(archive, log).findings == audit(archive, KEY).findings == []
