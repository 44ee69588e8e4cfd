"""Step 11 of the audit: custody entries, the side records that they name, and the locks that the store has now.

What lies under `custody/` and is named by no entry tells of an act that was begun: the record is stored
first, then the thing is done, then it is entered. So it is a note: an act under way, or one whose command
died and is to be repeated. For a day it explains what else would be a finding, and no longer: nobody vouches
for it, and who can lift a hold can write such a record too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, runtime_checkable

from evidence.audit_ledger import Ledger
from evidence.audit_report import AuditReport, Finding, ObjectSource
from evidence.canonical import parse_utc, utc
from evidence.custody import (
    ERASED,
    HELD,
    MAX_RECORD,
    PREFIX,
    RELEASED,
    REQUESTED,
    RETAINED,
    Custody,
    parse_record,
    same_person,
)
from evidence.entry import CUSTODY, CUSTODY_RECORD, Entry, ObjectJson
from evidence.errors import CustodyError

UNDER_WAY: Final = timedelta(days=1)
"""For how long an act may have been begun and not entered."""


class _Locked(Protocol):
    @property
    def retain_until(self) -> datetime | None: ...
    @property
    def legal_hold(self) -> bool: ...


@runtime_checkable
class LockSource(Protocol):
    """A source that can tell the locks of a version, as a store can and a copy cannot."""

    def head(self, key: str, version: str = "") -> _Locked | None:
        """What is known of the version, None if there is none."""


class CustodyAudit:
    """The audit of what was done with captures; findings go to the report."""

    def __init__(self, source: ObjectSource, report: AuditReport, now: datetime) -> None:
        self._source = source
        self._report = report
        self._now = now
        self._states: dict[str, Custody] = {}
        self._records: dict[int, dict[str, Any]] = {}
        self._named: set[str] = set()
        self._begun: dict[str, dict[str, Any] | None] = {}

    def run(self, ledger: Ledger, read: Callable[[ObjectJson, Entry], bytes | None]) -> None:
        """Audit everything but what `erased` and `begun_erasure` are asked for later.

        `read` gives a named object's bytes, or reports what is wrong with them and gives None.
        """
        acts = [(slot, entry) for slot, entry in ledger.others if entry.type in CUSTODY]
        closings = ledger.ends_of({entry.subject for _, entry in acts})
        for slot, entry in acts:
            ended, key = closings.get(entry.subject), entry.body["record"]["key"]
            custody = self._states.setdefault(entry.subject, Custody())
            custody.closed = ended if ended and ended.index < entry.index else None
            if key in self._named:
                detail = "an entry before this one names the same side record"
                self._report.findings.append(Finding(key, "custody-record", detail, entry=entry.index))
            self._named.add(key)
            self._read_record(entry, read)
            for rule, what in (*custody.broken(entry.type, entry.body), *self._one_person(entry)):
                if ledger.damaged:
                    self._report.notes.append(
                        f"entry {entry.index} ({rule}): entries are damaged, it cannot be judged"
                    )
                else:
                    self._report.findings.append(slot.finding(rule, f"{entry.type}: {what}"))
            custody.follow(entry)
        self._check_locks()
        for key, record in self._unnamed():
            self._report.notes.append(
                f"{key}: {record['type']} of capture {record['capture']} was begun at {record['time']} and is not "
                "entered: under way, or to be done again"
            )

    def erased(self, capture: str) -> Entry | None:
        """The entry that erased a capture's objects."""
        return self._states.get(capture, Custody()).standing(ERASED)

    def begun_erasure(self, capture: str) -> str:
        """Why a capture's objects may be gone: requested in the ledger, begun by a second person; else empty."""
        requested = self._states.get(capture, Custody()).standing(REQUESTED)
        asked = self._records.get(requested.index) if requested else None
        for key, record in self._under_way(ERASED, capture):
            if asked and not same_person(record, asked):
                return f"erased by {key} as entry {requested and requested.index} asks, and not entered yet"
        return ""

    def _read_record(self, entry: Entry, read: Callable[[ObjectJson, Entry], bytes | None]) -> None:
        item = entry.body["record"]
        data = read(item, entry)
        try:
            record = parse_record(data) if data is not None else None
        except CustodyError as error:
            self._report.findings.append(Finding.of(item["key"], error, entry.index))
            return
        if record is None:
            return
        if (record["type"], record["capture"]) != (entry.type, entry.subject):
            detail = (
                f"is about {record['type']} of {record['capture']}, and not what entry {entry.index} says"
            )
            self._report.findings.append(Finding(item["key"], "custody-record", detail, entry=entry.index))
        self._records[entry.index] = record

    def _one_person(self, entry: Entry) -> Iterator[tuple[str, str]]:
        asked = self._records.get(entry.body["request"]) if entry.type == ERASED else None
        done = self._records.get(entry.index)
        if asked and done and same_person(asked, done):
            yield "custody-one-person", f"by the operator who requested it in entry {entry.body['request']}"

    def _under_way(self, kind: str, capture: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The side records of such acts that may be under way."""
        for key, record in self._unnamed():
            is_its = (record["type"], record["capture"]) == (kind, capture)
            if is_its and abs(self._now - parse_utc(record["time"])) < UNDER_WAY:
                yield key, record

    def _unnamed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Side records that no entry names, as they are listed now; anything else is a finding, once."""
        for head in self._source.list(PREFIX):
            if head.key in self._named:
                continue
            if head.key not in self._begun:
                self._begun[head.key] = self._read_unnamed(head.key)
            if record := self._begun[head.key]:
                yield head.key, record

    def _read_unnamed(self, key: str) -> dict[str, Any] | None:
        try:
            with self._source.open(key) as stream:
                record = parse_record(stream.read(MAX_RECORD + 1))
        except CustodyError:
            record = None
        if record is None or not CUSTODY_RECORD.fullmatch(key):
            detail = "no entry names it, and it is no side record"
            self._report.findings.append(Finding(key, "object-extra", detail))
            return None
        return record

    def _check_locks(self) -> None:
        for capture, custody in self._states.items():
            locked = {HELD, RETAINED} & custody.latest.keys()
            if custody.closed is None or ERASED in custody.latest or not locked:
                continue
            if not isinstance(self._source, LockSource):
                self._report.notes.append("holds and retention cannot be seen in a copy")
                return
            for item in custody.closed.ended["objects"]:
                head = self._source.head(item["key"], item["version"])
                if head is not None:  # else it is gone, and step 5 says so
                    self._check_lock(capture, custody, item["key"], head)

    def _check_lock(self, capture: str, custody: Custody, key: str, head: _Locked) -> None:
        report, held, retained = self._report, custody.standing(HELD), custody.latest.get(RETAINED)
        until = utc(head.retain_until) if head.retain_until else ""
        if held and not head.legal_hold:
            if begun := [name for name, _ in self._under_way(RELEASED, capture)]:
                report.notes.append(
                    f"{key}: its hold was taken off by {begun[-1]}, and that is not entered yet"
                )
            else:
                detail = f"entry {held.index} put it on legal hold, and no entry took it off"
                report.findings.append(Finding(key, "custody-hold-lifted", detail, entry=held.index))
        elif head.legal_hold and not held:
            report.notes.append(f"{key} is on legal hold, and no entry says so")
        if retained and until < custody.until:
            detail = f"locked until {until or '(no time)'}, but entry {retained.index} says {custody.until}"
            report.findings.append(Finding(key, "custody-retention-shortened", detail, entry=retained.index))
