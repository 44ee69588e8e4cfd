"""Steps 1 to 4 of the audit: checkpoints, segments, the chain and its roots, tiles, what the entries say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from evidence.audit_attempts import Attempts
from evidence.audit_chain import Slot
from evidence.audit_clock import EntryClock
from evidence.audit_prints import Prints, new_key
from evidence.audit_reading import ENDS, STARTS, Told
from evidence.audit_report import AuditReport, Expectations, Finding, Means, ObjectSource, fetch
from evidence.audit_segments import SEGMENT_KEY, Segments, Stretch
from evidence.audit_tiles import TILES, TileAudit
from evidence.checkpoint import ANCHORS, POINTER, Checkpoint, checkpoint_key
from evidence.checkpoint import PREFIX as CHECKPOINTS
from evidence.entry import Entry
from evidence.errors import NoteError
from evidence.keys import KeyHistory
from evidence.note import MAX_NOTE, VerifierKey

_CHECKPOINT_KEY: Final = re.compile(re.escape(CHECKPOINTS) + r"(\d{20})", re.ASCII)
REMEMBERED: Final = "remembered"
"""Stands for an object where a finding is about the size and root that the auditor brought."""


class Ledger:
    """What the sound entries say, of which only those are kept whole that are neither start nor end."""

    def __init__(self, segments: Segments, print_key: bytes, vkeys: Sequence[VerifierKey] = ()) -> None:
        self._segments = segments
        self.print_key = print_key
        self.attempts = Attempts()
        self.clock = EntryClock()
        self.others: list[tuple[Slot, Entry]] = []
        """Keys, stores, anchors, custody: everything but starts and ends of captures and crawls, in order."""
        self.checkpoints: dict[str, bytes] = {}
        """Those that keys of the log signed."""
        self.newest = 0
        """The size of the newest of them."""
        self.keys = KeyHistory(vkeys)
        """Which key was good for which entry."""
        self.damaged: list[range] = []
        """Indices without a sound line."""
        self.named = Prints()
        """The keys of all objects that ends name."""
        self.started: dict[str, Entry] = {}
        """By id, while `endings` runs: the start of what it gives, and of what is not closed yet."""
        self._days = [("", 0)]
        """Each day on which something began, later than all days before, and the first such start."""

    @property
    def open(self) -> dict[str, str]:
        """By id, whether it is a capture or a crawl: started and not closed."""
        return self.attempts.open

    def follow(self, stretch: Stretch) -> None:
        """Go on to the next entries."""
        self.damaged += stretch.damaged
        for told in stretch.told:
            self.attempts.follow(told)
            self.clock.follow(told, stretch)
            if told.type in ENDS:
                self.named.add(told.rest)
            elif told.type in STARTS:
                if told.time[:10] > self._days[-1][0]:
                    self._days.append((told.time[:10], told.entry))
            else:
                self._keep(stretch.place(told.entry), Entry.decode(told.rest))

    def endings(self, since: str = "") -> Iterator[Entry]:
        """The end of each capture and crawl that began at `since` or later, or of which no start is left.

        The log is read once more, from about there on. Raises what the source raises.
        """
        begin = next((at for day, at in self._days if day >= since[:10]), None)
        if self.damaged or self.attempts.unstarted:
            begin = 0
        if begin is None:
            return
        for stretch in self._segments.stretches(AuditReport(), begin):
            for told in stretch.told:
                line = stretch.lines[told.entry - stretch.base]
                if line is None or told.entry in self.attempts.again:
                    continue
                if told.type in STARTS:
                    self.started[told.subject] = Entry.decode(line)
                elif told.type in ENDS and self._is_wanted(told, since):
                    yield Entry.decode(line)
                if told.type in ENDS:
                    self.started.pop(told.subject, None)

    def ends_of(self, subjects: Collection[str]) -> dict[str, Entry]:
        """What closed some captures and crawls, by id; reads the log once more, unless there are none."""
        ends: dict[str, Entry] = {}
        for stretch in self._segments.stretches(AuditReport()) if subjects else ():
            for told in stretch.told:
                line = stretch.lines[told.entry - stretch.base]
                if told.type in ENDS and told.subject in subjects and line is not None:
                    ends.setdefault(told.subject, Entry.decode(line))
        return ends

    def _is_wanted(self, told: Told, since: str) -> bool:
        if told.subject in self.started:
            return self.started[told.subject].time >= since
        return bool(self.damaged) or told.subject in self.attempts.unstarted

    def _keep(self, slot: Slot, entry: Entry) -> None:
        self.others.append((slot, entry))
        self.keys.follow(entry)


def audit_ledger(
    source: ObjectSource,
    expected: Expectations,
    report: AuditReport,
    means: Means | None = None,
    key: bytes = b"",
) -> Ledger:
    """Audit everything under `ledger/`; findings go to the report. Raises what the source raises.

    `key` is what prints are made with (evidence/audit_prints.py), the caller's or a new one.
    """
    means, key = means or Means(), key or new_key()
    # Checkpoints before tiles before segments: the log grows meanwhile, and each then has its entries.
    notes = _read_notes(source, report, means)
    tiles = TileAudit(source, report, means)
    segments = Segments(source, means, key)
    ledger = Ledger(segments, key, expected.vkeys)
    for name in segments.far:
        report.findings.append(Finding(name, "object-extra", "no log of so many segments reaches so far"))
    known = _check_notes(segments, notes, expected, report)
    for name, size, _ in known:
        if size > segments.horizon:
            detail = f"it is of {size} entries, and the segments hold next to none of them"
            report.findings.append(Finding(name, "entry-dropped", detail))
    known = [one for one in known if one[1] <= segments.horizon]
    ledger.newest = max((size for _, size, _ in known), default=0)
    if expected.size is not None and expected.root is not None:
        known.append((REMEMBERED, expected.size, expected.root))
    else:
        report.notes.append(
            "no remembered size and root: entries behind the newest checkpoint could be dropped unseen"
        )
    segments.trusted = {size: root for _, size, root in reversed(known)}
    ledger.clock.sizes = segments.trusted.keys()
    size, of = 0, max(segments.trusted, default=0)
    for stretch in segments.stretches(report):
        report.findings += stretch.findings
        ledger.follow(stretch)
        tiles.follow(stretch)
        size = stretch.end
        report.counts["entries"] += sum(line is not None for line in stretch.lines)
        means.progress(size, max(size, of))
    if size and not known and not any(True for _ in source.list(CHECKPOINTS)):  # a first one may come now
        detail = f"there is none, and nothing else vouches for the {size} entries"
        report.findings.append(Finding(CHECKPOINTS, "checkpoint-missing", detail))
    _check_roots(segments.roots, known, size, ledger, report)
    ledger.checkpoints = {key: notes[key] for key, _, _ in known if key in notes}
    report.findings += ledger.clock.findings
    report.findings += ledger.attempts.settle(segments.stretches(AuditReport()), ledger.damaged)
    tiles.close(ledger.newest)
    for head in source.list("ledger/"):
        ours = SEGMENT_KEY.fullmatch(head.key) or _CHECKPOINT_KEY.fullmatch(head.key)
        if not (ours or head.key == POINTER or head.key.startswith((TILES, ANCHORS))):
            report.findings.append(Finding(head.key, "object-extra", "the ledger has no such object"))
    return ledger


def audit_keys(ledger: Ledger, report: AuditReport) -> None:
    """What the sound entries, and times from outside, say of those who signed checkpoints, and of one another."""
    several = sum(life.role == "log" for life in ledger.keys.lives) > 1
    for key, data in ledger.checkpoints.items() if several else ():  # a single key cannot have ended
        try:
            ledger.keys.checkpoint(data)
        except NoteError as error:
            if error.rule == "key-compromised":  # by us or by the thief: no proof, and no fault
                report.notes.append(f"{key} proves nothing: {error.detail}")
            elif not ledger.damaged and not any(one.object == key for one in report.findings):
                report.findings.append(Finding.of(key, error))
    for entry, refused in ledger.keys.broken:
        if ledger.damaged:
            report.notes.append(
                f"entry {entry.index}: {refused.detail}; the entry that it needs may be damaged"
            )
        else:
            slot = next(slot for slot, other in ledger.others if other is entry)
            report.findings.append(slot.finding(refused.rule, refused.detail))


def _read_notes(source: ObjectSource, report: AuditReport, means: Means) -> dict[str, bytes]:
    notes: dict[str, bytes] = {}
    try:  # the pointer first: it is published after the checkpoint that it repeats
        with source.open(POINTER) as stream:
            notes[POINTER] = stream.read(MAX_NOTE + 1)
        report.counts["bytes"] += len(notes[POINTER])
    except FileNotFoundError:
        report.notes.append(f"{POINTER} is not there: tlog clients find no checkpoint")
    keys = (head.key for head in source.list(CHECKPOINTS) if _CHECKPOINT_KEY.fullmatch(head.key))
    for key, versions, data in means.fetch(partial(fetch, source), ((key, MAX_NOTE) for key in keys)):
        report.counts["checkpoints"] += 1
        report.counts["bytes"] += len(data)
        report.written_once(key, versions)
        notes[key] = data
    return notes


def _check_notes(
    segments: Segments, notes: Mapping[str, bytes], expected: Expectations, report: AuditReport
) -> list[tuple[str, int, bytes]]:
    """Key, size and root of each checkpoint that the log signed, by its keys as the lines say that stand there.

    Only where the expected keys and the first do not explain everything, all lines are looked through: their
    signatures speak for them.
    """
    opened = segments.opened()
    first = [opened[1]] if opened else []
    vkeys = [VerifierKey.parse(entry.body["vkey"]) for entry in first]
    keys = KeyHistory.of(first, expected.vkeys)
    findings, known = _signed(notes, keys)
    if findings or not all(map(keys.trusts, vkeys)):
        keys = KeyHistory.of([*first, *segments.about_keys()], expected.vkeys)
        findings, known = _signed(notes, keys)
    report.findings += findings
    if not expected.vkeys:
        report.notes.append("the log's key was taken from the archive itself: compare it with one you trust")
    if opened and not all(map(keys.trusts, vkeys)):
        detail = f"no signature leads from the expected keys to the one that opened the log: {vkeys[0].vkey}"
        report.findings.append(opened[0].finding("log-key", detail))
    return known


def _signed(
    notes: Mapping[str, bytes], keys: KeyHistory
) -> tuple[list[Finding], list[tuple[str, int, bytes]]]:
    known: list[tuple[str, int, bytes]] = []
    findings: list[Finding] = []
    for key, data in notes.items():
        try:
            checkpoint: Checkpoint = keys.checkpoint(data, even_doubted=True)
        except NoteError as error:
            findings.append(Finding.of(key, error))
            continue
        known.append((key, checkpoint.size, checkpoint.root))
        belongs = checkpoint_key(checkpoint.size)
        if key == POINTER:
            if not data.startswith(notes.get(belongs, data + b"?")):  # cosignatures may stand behind it
                detail = f"repeats no stored checkpoint: {belongs} is not what it was"
                findings.append(Finding(key, "checkpoint-pointer", detail))
        elif key != belongs:
            findings.append(Finding(key, "checkpoint-key", f"what belongs under {belongs} lies here"))
    return findings, known


def _check_roots(
    roots: Mapping[int, bytes],
    known: list[tuple[str, int, bytes]],
    size: int,
    ledger: Ledger,
    report: AuditReport,
) -> None:
    for key, at, root in () if ledger.damaged else known:
        if roots.get(at, root) != root:
            detail = f"the first {at} entries do not give this root: they were written anew"
            report.findings.append(Finding(key, "root", detail))
    covered = max((at for _, at, _ in known), default=0)
    if size > covered:
        report.notes.append(f"entries {covered} to {size - 1} are not under a checkpoint yet")
