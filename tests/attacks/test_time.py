"""Attacks on when: rows 9, 10, 21 and 30 of docs/threat-model.md, with real timestamps of a real authority."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from evidence.anchors import QUERY, RESPONSE, anchor_key
from evidence.audit import AuditReport, audit
from evidence.canonical import utc
from evidence.checkpoint import checkpoint_key
from evidence.digests import digest_bytes
from evidence.entry import Entry, chain
from evidence.timestamp import request_for, verify
from tests.evidence import samples
from tests.evidence.archives import Log, MemoryArchive, capture_id, rules, started_body
from tests.site.timestamping import TimestampAuthority

NOW = timedelta(0)
WEEK = timedelta(days=7)


@dataclass
class ClockedLog(Log):
    """A log whose keeper sets its clock: `off` is how far."""

    off: timedelta = NOW

    def append(self, kind: str, subject: str, body: dict[str, object]) -> int:
        previous = self.entries[-1] if self.entries else None
        time = utc(datetime.now(UTC) + self.off)
        self.entries.append(Entry(len(self.entries), chain(previous), time, kind, subject, body).encode())
        return len(self.entries) - 1


def stamp(log: ClockedLog, archive: MemoryArchive, authority: TimestampAuthority, data: bytes = b"") -> int:
    """An authority's token over the newest checkpoint (or other bytes), kept and entered; then a checkpoint again."""
    size, note = len(log.entries), archive.data(checkpoint_key(len(log.entries)))
    request = request_for(data or note)
    response = authority.reply(request)
    objects = []
    for ending, held in ((QUERY, request), (RESPONSE, response)):
        key = anchor_key(size, authority.url(), ending)
        objects.append({"key": key, "version": archive.put(key, held), **digest_bytes(held).as_json()})
    body = {
        "size": size,
        "root": log.checkpoint().root.hex(),
        "authority": authority.url(),
        "time": utc(verify(response, request, data or note, [authority.root.certificate]).time),
        "objects": objects,
    }
    made = log.append("anchor.tsr", samples.ORIGIN, body)
    log.publish(archive)
    return made


def started(log: ClockedLog, archive: MemoryArchive, number: int) -> None:
    log.append("capture.started", capture_id(number), started_body())
    log.publish(archive)


def opened(off: timedelta = NOW) -> tuple[ClockedLog, MemoryArchive]:
    log, archive = ClockedLog(off=off), MemoryArchive()
    log.open()
    started(log, archive, 10)
    return log, archive


def audited(log: Log, archive: MemoryArchive, *trusted: TimestampAuthority) -> AuditReport:
    roots = tuple(authority.root.certificate for authority in trusted)
    return audit(archive, replace(log.expectations(), tsa_roots=roots))


def clocks(report: AuditReport) -> Sequence[str]:
    return [rule for _, rule in rules(report)]


def test_an_honest_log_has_its_outside_time(alpha: TimestampAuthority) -> None:
    log, archive = opened()
    stamp(log, archive, alpha)
    assert audited(log, archive, alpha).findings == []


def test_09_a_capture_is_back_dated_by_the_clock_of_the_log(alpha: TimestampAuthority) -> None:
    log, archive = opened(-WEEK)
    stamp(log, archive, alpha)
    assert clocks(audited(log, archive, alpha)) == ["anchor-clock"]


def test_09_a_capture_is_back_dated_behind_a_timestamp(alpha: TimestampAuthority) -> None:
    log, archive = opened()
    stamp(log, archive, alpha)
    log.off = -WEEK
    started(log, archive, 11)
    log.off = NOW
    stamp(log, archive, alpha)
    assert clocks(audited(log, archive, alpha)) == ["entry-clock"]


def test_10_a_capture_is_post_dated(alpha: TimestampAuthority) -> None:
    log, archive = opened(WEEK)
    log.off = NOW
    stamp(log, archive, alpha)
    assert clocks(audited(log, archive, alpha)) == ["anchor-clock"]


def test_10_one_capture_among_others_is_post_dated(alpha: TimestampAuthority) -> None:
    """What was entered behind it, and so the last entry that the token covers, tells the right time."""
    log, archive = opened()
    log.off = WEEK
    started(log, archive, 11)
    log.off = NOW
    started(log, archive, 12)
    stamp(log, archive, alpha)
    assert clocks(audited(log, archive, alpha)) == ["anchor-clock"]


def test_21_a_token_is_of_an_authority_that_nobody_trusts(
    alpha: TimestampAuthority, beta: TimestampAuthority
) -> None:
    log, archive = opened()
    stamp(log, archive, beta)
    assert clocks(audited(log, archive, alpha)) == ["timestamp-chain"]


def test_21_beside_a_bad_authority_an_honest_one_is_enough(
    alpha: TimestampAuthority, beta: TimestampAuthority
) -> None:
    """The one vouches for whatever it is given, such as a checkpoint that never was; the other is asked too."""
    log, archive = opened()
    stamp(log, archive, beta, b"whatever the keeper wants")
    stamp(log, archive, alpha)
    assert clocks(audited(log, archive, alpha, beta)) == ["timestamp-imprint"]


@pytest.mark.parametrize("off", [timedelta(minutes=-5), timedelta(minutes=5)], ids=["slow", "fast"])
def test_30_a_clock_that_was_minutes_off_is_told(alpha: TimestampAuthority, off: timedelta) -> None:
    log, archive = opened(off)
    if off > NOW:
        log.off = NOW
    stamp(log, archive, alpha)
    report = audited(log, archive, alpha)
    assert report.findings == []
    assert any("a clock was wrong" in note for note in report.notes)
