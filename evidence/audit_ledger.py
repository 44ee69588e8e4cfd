"""Steps 1 to 4 of the audit: checkpoints, segments, the chain and its roots, and what the entries say.

The rules are numbered in evidence/audit.py and docs/formats/audit.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from evidence.audit_chain import Chain, Slot, reconstruct
from evidence.audit_report import AuditReport, Expectations, Finding, ObjectSource, refuse_versions
from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key, parse_checkpoint
from evidence.checkpoint import PREFIX as CHECKPOINTS
from evidence.entry import CLOSING, MAX_ENTRY, Entry
from evidence.errors import NoteError, SegmentError
from evidence.note import MAX_NOTE, VerifierKey
from evidence.segment import MAX_ENTRIES, Header, Line, parse_header, parse_line, split_lines
from evidence.segment import PREFIX as SEGMENTS
from evidence.tree import leaf_hash

_SEGMENT_KEY: Final = re.compile(re.escape(SEGMENTS) + r"(\d{12})", re.ASCII)
_CHECKPOINT_KEY: Final = re.compile(re.escape(CHECKPOINTS) + r"(\d{20})", re.ASCII)
_MAX_SEGMENT: Final = (MAX_ENTRIES + 1) * (MAX_ENTRY + 1)
REMEMBERED: Final = "remembered"
"""Stands for an object where a finding is about the size and root that the auditor brought."""


@dataclass(slots=True)
class Ledger:
    """What the sound entries say."""

    vkeys: tuple[VerifierKey, ...] = ()
    collectors: list[tuple[int, VerifierKey]] = field(default_factory=list)
    """Keys that may sign manifests, each with the index of the entry that added it."""
    started: dict[str, Entry] = field(default_factory=dict)
    """By capture id."""
    ended: dict[str, Entry] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)

    @property
    def open(self) -> list[str]:
        """Captures that were started and not closed: under way, or dead and not yet recovered."""
        return sorted(set(self.started) - set(self.ended))


def audit_ledger(source: ObjectSource, expected: Expectations, report: AuditReport) -> Ledger:
    """Audit everything under `ledger/`; findings go to the report. Raises what the source raises."""
    # Checkpoints before segments: the log grows meanwhile, and a checkpoint then has its entries.
    notes = list(_read_notes(source, report))
    slots, headers = _read_segments(source, report)
    ledger = Ledger(vkeys=_log_keys(slots, expected, report))
    checkpoints = dict(_check_notes(notes, ledger.vkeys, report))
    trusted = {checkpoint.size: checkpoint.root for checkpoint in checkpoints.values()}
    if expected.size is not None and expected.root is not None:
        trusted.setdefault(expected.size, expected.root)
    extents = {
        key: range(header["first"], header["first"] + header["count"]) for key, (_, header) in headers.items()
    }
    chain = reconstruct(slots, trusted, extents)
    report.findings += chain.findings
    _check_headers(slots, headers, chain, report)
    _check_roots(chain, checkpoints, expected, report)
    _replay(chain, ledger, report)
    _refuse_strangers(source, report)
    report.counts["entries"] = len(chain.slots)
    return ledger


def _read_notes(source: ObjectSource, report: AuditReport) -> Iterator[tuple[str, bytes]]:
    """The pointer first: it is published after the checkpoint that it repeats."""
    try:
        with source.open(POINTER) as stream:
            yield POINTER, stream.read(MAX_NOTE + 1)
    except FileNotFoundError:
        report.notes.append(f"{POINTER} is not there: tlog clients find no checkpoint")
    for head in source.list(CHECKPOINTS):
        if not _CHECKPOINT_KEY.fullmatch(head.key):
            continue  # _refuse_strangers names it
        refuse_versions(source, head.key, report)
        with source.open(head.key) as stream:
            yield head.key, stream.read(MAX_NOTE + 1)


def _read_segments(
    source: ObjectSource, report: AuditReport
) -> tuple[list[Slot], dict[str, tuple[Line, Header]]]:
    slots: list[Slot] = []
    headers: dict[str, tuple[Line, Header]] = {}
    for head in source.list(SEGMENTS):
        if not (matched := _SEGMENT_KEY.fullmatch(head.key)):
            continue  # _refuse_strangers names it
        report.counts["segments"] += 1
        refuse_versions(source, head.key, report)
        with source.open(head.key) as stream:
            data = stream.read(_MAX_SEGMENT + 1)
        report.counts["bytes"] += len(data)
        lines = _lines(data)
        try:
            headers[head.key] = lines[0], parse_header(lines[0])
        except SegmentError:
            lines = [Line(b"", 0, 0), *lines]  # it may have swallowed an entry: judged among them
        slots += _slots(head.key, int(matched[1]), lines[1:], headers.get(head.key))
    return slots, headers


def _lines(data: bytes) -> list[Line]:
    """All lines, a torn last one included: it cannot be an entry, and is named as what it is."""
    whole = data[: data.rfind(b"\n") + 1]
    lines = list(split_lines(whole)) if whole else []
    torn = data[len(whole) :]
    return [*lines, Line(torn, len(whole), len(torn))] if torn or not lines else lines


def _slots(key: str, first: int, lines: list[Line], header: tuple[Line, Header] | None) -> Iterator[Slot]:
    """The lines as slots; unreadable neighbours become one, since a byte that turns newline splits a line.

    Positions count from the front; behind an unreadable line, from the end that the header announces.
    """
    unread: Slot | None = None
    end = first + (header[1]["count"] if header else len(lines))
    counted_from_end = False
    for number, line in enumerate(lines):
        position = end - (len(lines) - number) if counted_from_end else first + number
        slot = _slot(key, position, line)
        if slot.entry is None:
            length = slot.length + (unread.length if unread else 0)
            unread = replace(unread or slot, length=length)
            counted_from_end = True
            continue
        if unread:
            yield unread
            unread = None
        yield slot
    if unread:
        yield unread


def _slot(key: str, position: int, line: Line) -> Slot:
    entry, problem, rule = None, "", "entry-changed"
    if line.length == len(line.data):
        problem = "the line has no newline"
    else:
        try:
            entry = parse_line(line)
        except SegmentError as error:
            problem = error.detail
    if line.offset == 0 and entry is None:
        problem, rule = f"the header cannot be read: {problem}", "segment-header"
    leaf = leaf_hash(line.data).hex()
    return Slot(key, line.offset, line.length, position, leaf, entry, problem, rule)


def _log_keys(slots: list[Slot], expected: Expectations, report: AuditReport) -> tuple[VerifierKey, ...]:
    opened = [slot for slot in slots if slot.entry and slot.entry.type == "log.opened"]
    named = [VerifierKey.parse(slot.entry.body["vkey"]) for slot in opened if slot.entry]
    if not expected.vkeys:
        report.notes.append("the log's key was taken from the archive itself: compare it with one you trust")
        return tuple(named)
    for slot, key in zip(opened, named, strict=True):
        if key not in expected.vkeys:
            report.findings.append(
                slot.finding("log-key", f"the log was opened with another key: {key.vkey}")
            )
    return expected.vkeys


def _check_notes(
    notes: list[tuple[str, bytes]], vkeys: tuple[VerifierKey, ...], report: AuditReport
) -> Iterator[tuple[str, Checkpoint]]:
    stored = {data for key, data in notes if key != POINTER}
    for key, data in notes:
        report.counts["checkpoints"] += key != POINTER
        report.counts["bytes"] += len(data)
        try:
            checkpoint = parse_checkpoint(data, vkeys)
        except NoteError as error:
            report.findings.append(Finding.of(key, error))
            continue
        if key == POINTER:
            if data not in stored:
                detail = f"repeats no stored checkpoint: {checkpoint_key(checkpoint.size)} is not what it was"
                report.findings.append(Finding(key, "checkpoint-pointer", detail))
                yield key, checkpoint
        elif key != checkpoint_key(checkpoint.size):
            report.findings.append(
                Finding(key, "checkpoint-key", f"the checkpoint of size {checkpoint.size} lies here")
            )
        else:
            yield key, checkpoint


def _check_headers(
    slots: list[Slot], headers: dict[str, tuple[Line, Header]], chain: Chain, report: AuditReport
) -> None:
    """A header that contradicts its key or its lines, unless a finding about the lines explains it."""
    explained = {finding.object for finding in chain.findings}
    for key, (line, header) in headers.items():
        lines = [slot for slot in slots if slot.object == key]
        problem = ""
        if key != f"{SEGMENTS}{header['first']:012d}":
            problem = f"says that it begins with entry {header['first']}"
        elif key in explained:
            continue
        elif header["count"] != len(lines):
            problem = f"announces {header['count']} entries, {len(lines)} are there"
        elif lines[0].entry and header["prev"] != lines[0].entry.prev:
            problem = "`prev` is not that of its first entry"
        if problem:
            report.findings.append(Finding(key, "segment-header", problem, line.offset, line.length))


def _check_roots(
    chain: Chain, checkpoints: dict[str, Checkpoint], expected: Expectations, report: AuditReport
) -> None:
    known = {key: (checkpoint.size, checkpoint.root) for key, checkpoint in checkpoints.items()}
    if expected.size is not None and expected.root is not None:
        known[REMEMBERED] = expected.size, expected.root
    else:
        report.notes.append(
            "no remembered size and root: entries behind the newest checkpoint could be dropped unseen"
        )
    roots = chain.roots(size for size, _ in known.values())
    if not chain.damaged:
        for key, (size, root) in known.items():
            if size in roots and roots[size] != root:
                detail = f"the first {size} entries do not give this root: they were written anew"
                report.findings.append(Finding(key, "root", detail))
    covered = max((size for size, _ in known.values()), default=0)
    if chain.size > covered:
        report.notes.append(f"entries {covered} to {chain.size - 1} are not under a checkpoint yet")


def _replay(chain: Chain, ledger: Ledger, report: AuditReport) -> None:
    ledger.damaged = chain.damaged
    for index in sorted(chain.slots):
        slot = chain.slots[index]
        entry = slot.entry
        if entry is None:
            continue
        if entry.type == "key.added":
            ledger.collectors.append((index, VerifierKey.parse(entry.body["vkey"])))
        elif entry.type == "capture.started":
            if entry.subject in ledger.started:
                report.findings.append(slot.finding("capture-started-twice", f"capture {entry.subject}"))
            ledger.started.setdefault(entry.subject, entry)
        elif entry.type in CLOSING:
            _replay_end(slot, entry, ledger, report)


def _replay_end(slot: Slot, entry: Entry, ledger: Ledger, report: AuditReport) -> None:
    started = ledger.started.get(entry.subject)
    index = entry.ended["started"]
    if index not in ledger.damaged and (started is None or started.index != index):
        detail = f"entry {index} did not start capture {entry.subject}"
        report.findings.append(slot.finding("capture-not-started", detail))
    if entry.subject in ledger.ended:
        report.findings.append(slot.finding("capture-closed-twice", f"capture {entry.subject}"))
    ledger.ended.setdefault(entry.subject, entry)


def _refuse_strangers(source: ObjectSource, report: AuditReport) -> None:
    for head in source.list("ledger/"):
        known = head.key == POINTER or _SEGMENT_KEY.fullmatch(head.key) or _CHECKPOINT_KEY.fullmatch(head.key)
        if not known:
            report.findings.append(Finding(head.key, "object-extra", "the ledger has no such object"))
