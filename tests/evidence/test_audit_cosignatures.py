"""Witnesses' lines in the audit: sound ones pass, each defect is found by its rule, and the pointer may carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evidence.audit import Expectations, audit
from evidence.checkpoint import POINTER, checkpoint_key
from evidence.cosignature import cosign_line, cosignature_key, cosigner_of
from tests.evidence.archives import Log, MemoryArchive
from tests.evidence.samples import LOG_KEY
from tests.vectors.witnessing import NOTARY, TIME, UNIVERSITY

NOW = datetime.fromtimestamp(TIME, UTC)
EXPECTED = Expectations((LOG_KEY.verifier,), witnesses=(cosigner_of(UNIVERSITY),))


@pytest.fixture
def archive() -> MemoryArchive:
    log, archive = Log(), MemoryArchive()
    log.open()
    log.publish(archive)
    return archive


def lines_of(archive: MemoryArchive, *keys) -> list[bytes]:
    text = archive.data(checkpoint_key(2)).decode().partition("\n\n")[0] + "\n"
    return [cosign_line(key, text, TIME).encode() for key in keys]


def findings(archive: MemoryArchive) -> list[tuple[str, str]]:
    return [(finding.object, finding.rule) for finding in audit(archive, EXPECTED, now=NOW).findings]


def test_a_line_that_verifies_is_counted_and_the_pointer_may_carry_it(archive: MemoryArchive) -> None:
    (line,) = lines_of(archive, UNIVERSITY)
    archive.put(cosignature_key(2, cosigner_of(UNIVERSITY)), line)
    archive.replace_bytes(POINTER, archive.data(POINTER) + line)
    report = audit(archive, EXPECTED, now=NOW)
    assert (report.findings, report.counts["cosignatures"]) == ([], 1)
    assert not any("witness" in note for note in report.notes)


def test_a_line_by_a_witness_whose_key_was_not_given_is_a_note(archive: MemoryArchive) -> None:
    archive.put(cosignature_key(2, cosigner_of(NOTARY)), lines_of(archive, NOTARY)[0])
    report = audit(archive, EXPECTED)
    assert report.findings == []
    assert any("1 cosignatures are by witnesses" in note for note in report.notes)


def test_a_log_that_no_known_witness_saw_is_told(archive: MemoryArchive) -> None:
    """Whoever writes the log anew, or rolls it back, takes the lines that would contradict it away."""
    assert "entries 0 to 1 were seen by no witness that is known" in audit(archive, EXPECTED).notes


def test_a_line_of_the_future_is_found(archive: MemoryArchive) -> None:
    key = cosignature_key(2, cosigner_of(UNIVERSITY))
    archive.put(key, lines_of(archive, UNIVERSITY)[0])
    found = audit(archive, EXPECTED, now=NOW - timedelta(minutes=2)).findings
    assert [(finding.object, finding.rule) for finding in found] == [(key, "cosignature-future")]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        pytest.param(lambda line, other: line[:-10] + b"\n", "signature-line", id="cut"),
        pytest.param(lambda line, other: b"", "cosignature-key", id="empty"),
        pytest.param(lambda line, other: line + other, "cosignature-key", id="two-lines"),
        pytest.param(lambda line, other: other, "cosignature-key", id="of-another"),
        pytest.param(lambda line, other: b"x" * (1 << 20), "size", id="large"),
        pytest.param(
            lambda line, other: line.replace(b"AAAABrB", b"AAAABrA"), "cosignature", id="back-dated"
        ),
    ],
)
def test_a_line_that_was_changed_is_found(archive: MemoryArchive, change, rule: str) -> None:
    key = cosignature_key(2, cosigner_of(UNIVERSITY))
    line, other = lines_of(archive, UNIVERSITY, NOTARY)
    assert change(line, other) != line
    archive.put(key, change(line, other))
    assert findings(archive) == [(key, rule)]


def test_a_line_written_over_one_of_no_checkpoint_and_one_elsewhere_are_found(archive: MemoryArchive) -> None:
    (line,) = lines_of(archive, UNIVERSITY)
    key, nowhere = (cosignature_key(size, cosigner_of(UNIVERSITY)) for size in (2, 3))
    for _ in range(2):
        archive.put(key, line)
    archive.put(nowhere, line)
    archive.put("ledger/anchors/2/witness-00000000", line)
    assert sorted(findings(archive)) == [
        (key, "object-versions"),
        (nowhere, "cosignature-checkpoint"),
        ("ledger/anchors/2/witness-00000000", "object-extra"),
    ]


def test_a_pointer_that_carries_a_line_over_something_else_is_found(archive: MemoryArchive) -> None:
    archive.replace_bytes(POINTER, LOG_KEY.sign_line("x\n").encode().join([b"x\n\n", b""]))
    assert (POINTER, "checkpoint-form") in findings(archive)
