"""Steps 1 to 4 of the audit: checkpoints, segments, the chain and its roots, and what the entries say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from evidence.audit_chain import Chain, Slot, judge, reconstruct
from evidence.audit_report import AuditReport, Expectations, Finding, ObjectSource
from evidence.canonical import canonical
from evidence.checkpoint import POINTER, Checkpoint, checkpoint_key, parse_checkpoint
from evidence.checkpoint import PREFIX as CHECKPOINTS
from evidence.entry import CLOSING, CRAWL_ENDED, MAX_ENTRY, NO_PREVIOUS, Entry
from evidence.errors import NoteError, SegmentError
from evidence.note import MAX_NOTE, VerifierKey
from evidence.segment import MAX_ENTRIES, Line, parse_header, parse_line, split_lines
from evidence.segment import PREFIX as SEGMENTS
from evidence.tiles import PREFIX as TILES
from evidence.tiles import parse_path
from evidence.tree import leaf_hash

_SEGMENT_KEY: Final = re.compile(re.escape(SEGMENTS) + r"(\d{12})", re.ASCII)
_CHECKPOINT_KEY: Final = re.compile(re.escape(CHECKPOINTS) + r"(\d{20})", re.ASCII)
_MAX_SEGMENT: Final = (MAX_ENTRIES + 1) * (MAX_ENTRY + 1)
REMEMBERED: Final = "remembered"
"""Stands for an object where a finding is about the size and root that the auditor brought."""

_Headers: TypeAlias = Mapping[str, tuple[Line, Mapping[str, Any], int]]
"""By segment: its first line, what that says, and how many lines follow."""


@dataclass(slots=True)
class Ledger:
    """What the sound entries say; `started` and `ended` by the capture's or crawl's id."""

    started: dict[str, Entry] = field(default_factory=dict)
    ended: dict[str, Entry] = field(default_factory=dict)
    collectors: list[tuple[int, VerifierKey]] = field(default_factory=list)
    """Keys that may sign manifests, each with the index of the entry that added it."""
    damaged: set[int] = field(default_factory=set)
    """Indices without a sound line."""

    @property
    def open(self) -> list[str]:
        """Captures and crawls that were started and not closed: under way, or dead and not yet recovered."""
        return sorted(set(self.started) - set(self.ended))


def audit_ledger(source: ObjectSource, expected: Expectations, report: AuditReport) -> Ledger:
    """Audit everything under `ledger/`; findings go to the report. Raises what the source raises."""
    # Checkpoints before segments: the log grows meanwhile, and a checkpoint then has its entries.
    notes = _read_notes(source, report)
    slots, headers = _read_segments(source, report)
    known = _check_notes(notes, _log_keys(slots, expected, report), report)
    if expected.size is not None and expected.root is not None:
        known.append((REMEMBERED, expected.size, expected.root))
    else:
        report.notes.append(
            "no remembered size and root: entries behind the newest checkpoint could be dropped unseen"
        )
    chain = reconstruct(slots, {size: root for _, size, root in reversed(known)})
    extents = {
        key: range(said["first"], said["first"] + said["count"]) for key, (_, said, _) in headers.items()
    }
    judged = list(judge(slots, chain, extents))
    report.findings += judged
    _check_headers(headers, chain, {finding.object for finding in judged}, report)
    ledger = Ledger(damaged=set(range(chain.size)) - set(chain.slots))
    _check_roots(chain, known, ledger, report)
    _replay(chain, ledger, report)
    for head in source.list("ledger/"):
        if not (
            head.key == POINTER
            or _SEGMENT_KEY.fullmatch(head.key)
            or _CHECKPOINT_KEY.fullmatch(head.key)
            or parse_path(head.key.removeprefix(TILES))
        ):
            report.findings.append(Finding(head.key, "object-extra", "the ledger has no such object"))
    report.counts["entries"] = len(chain.slots)
    return ledger


def _read(source: ObjectSource, key: str, limit: int, report: AuditReport) -> bytes:
    with source.open(key) as stream:
        data = stream.read(limit + 1)
    report.counts["bytes"] += len(data)
    return data


def _read_notes(source: ObjectSource, report: AuditReport) -> dict[str, bytes]:
    notes: dict[str, bytes] = {}
    try:  # the pointer first: it is published after the checkpoint that it repeats
        notes[POINTER] = _read(source, POINTER, MAX_NOTE, report)
    except FileNotFoundError:
        report.notes.append(f"{POINTER} is not there: tlog clients find no checkpoint")
    for head in source.list(CHECKPOINTS):
        if _CHECKPOINT_KEY.fullmatch(head.key):
            report.counts["checkpoints"] += 1
            report.versions_of(source, head.key)
            notes[head.key] = _read(source, head.key, MAX_NOTE, report)
    return notes


def _read_segments(source: ObjectSource, report: AuditReport) -> tuple[list[Slot], _Headers]:
    slots: list[Slot] = []
    headers: dict[str, tuple[Line, Mapping[str, Any], int]] = {}
    for head in source.list(SEGMENTS):
        if not (matched := _SEGMENT_KEY.fullmatch(head.key)):
            continue
        report.counts["segments"] += 1
        report.versions_of(source, head.key)
        first, key = int(matched[1]), head.key
        header, *lines = split_lines(_read(source, key, _MAX_SEGMENT, report))
        try:
            headers[key] = header, parse_header(header), len(lines)
        except SegmentError as error:
            slots.append(Slot(key, 0, header.length, first, "", None, error.detail))
        slots += [_slot(key, position, line) for position, line in enumerate(lines, start=first)]
    return slots, headers


def _slot(key: str, position: int, line: Line) -> Slot:
    try:
        entry, problem = parse_line(line), ""
    except SegmentError as error:
        entry, problem = None, error.detail
    return Slot(key, line.offset, line.length, position, leaf_hash(line.data).hex(), entry, problem)


def _log_keys(slots: list[Slot], expected: Expectations, report: AuditReport) -> tuple[VerifierKey, ...]:
    opened = [
        (slot, slot.entry.body["vkey"]) for slot in slots if slot.entry and slot.entry.type == "log.opened"
    ]
    if not expected.vkeys:
        report.notes.append("the log's key was taken from the archive itself: compare it with one you trust")
        return tuple(VerifierKey.parse(vkey) for _, vkey in opened)
    for slot, vkey in opened:
        if VerifierKey.parse(vkey) not in expected.vkeys:
            report.findings.append(slot.finding("log-key", f"the log was opened with another key: {vkey}"))
    return expected.vkeys


def _check_notes(
    notes: Mapping[str, bytes], vkeys: tuple[VerifierKey, ...], report: AuditReport
) -> list[tuple[str, int, bytes]]:
    """Key, size and root of each checkpoint that the log signed."""
    stored = {data for key, data in notes.items() if key != POINTER}
    known: list[tuple[str, int, bytes]] = []
    for key, data in notes.items():
        try:
            checkpoint: Checkpoint = parse_checkpoint(data, vkeys)
        except NoteError as error:
            report.findings.append(Finding.of(key, error))
            continue
        known.append((key, checkpoint.size, checkpoint.root))
        belongs = checkpoint_key(checkpoint.size)
        if key == POINTER:
            if data not in stored:
                detail = f"repeats no stored checkpoint: {belongs} is not what it was"
                report.findings.append(Finding(key, "checkpoint-pointer", detail))
        elif key != belongs:
            report.findings.append(Finding(key, "checkpoint-key", f"what belongs under {belongs} lies here"))
    return known


def _check_headers(headers: _Headers, chain: Chain, explained: set[str], report: AuditReport) -> None:
    """A header that contradicts its key or its lines, unless a finding about the lines explains it."""
    for key, (line, _, count) in headers.items():
        first = int(key.removeprefix(SEGMENTS))
        prev = chain.leaves.get(first - 1, NO_PREVIOUS)
        if key not in explained and line.data != canonical(
            {"count": count, "first": first, "prev": prev, "v": 1}
        ):
            detail = "contradicts the object's key, its lines, or the entry before"
            report.findings.append(Finding(key, "segment-header", detail, line.offset, line.length))


def _check_roots(
    chain: Chain, known: list[tuple[str, int, bytes]], ledger: Ledger, report: AuditReport
) -> None:
    roots = {} if ledger.damaged else chain.roots(size for _, size, _ in known)
    for key, size, root in known:
        if roots.get(size, root) != root:
            detail = f"the first {size} entries do not give this root: they were written anew"
            report.findings.append(Finding(key, "root", detail))
    covered = max((size for _, size, _ in known), default=0)
    if chain.size > covered:
        report.notes.append(f"entries {covered} to {chain.size - 1} are not under a checkpoint yet")


def _replay(chain: Chain, ledger: Ledger, report: AuditReport) -> None:
    for index, slot in sorted(chain.slots.items()):
        entry = slot.entry
        if entry is None:
            continue
        kind = entry.type.partition(".")[0]
        if entry.type == "key.added":
            ledger.collectors.append((index, VerifierKey.parse(entry.body["vkey"])))
        elif entry.type in {"capture.started", "crawl.started"}:
            if entry.subject in ledger.started:
                report.findings.append(slot.finding(f"{kind}-started-twice", f"{kind} {entry.subject}"))
            ledger.started.setdefault(entry.subject, entry)
        elif entry.type in {*CLOSING, CRAWL_ENDED}:
            started, said = ledger.started.get(entry.subject), entry.ended["started"]
            if said not in ledger.damaged and (started is None or started.index != said):
                detail = f"entry {said} did not start {kind} {entry.subject}"
                report.findings.append(slot.finding(f"{kind}-not-started", detail))
            if entry.subject in ledger.ended:
                report.findings.append(slot.finding(f"{kind}-closed-twice", f"{kind} {entry.subject}"))
            ledger.ended.setdefault(entry.subject, entry)
