"""`akashi ledger timestamp`: outside time for the log, now; and what it has so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import click

from console.output import both_times, emit, json_option, say
from evidence.canonical import utc
from evidence.errors import UsageError
from evidence.timestamp import Timestamp
from storage.anchors import Anchor, Anchors, Attempt
from storage.archive import Archive

OPERATORS: Final = 2
"""Wanted: one alone could be wrong, or bought."""
UNAVAILABLE: Final = 5


@click.command("timestamp")
@click.option("--all", "all_", is_flag=True, help="Ask also the authorities that have nothing new to stamp.")
@click.option("--list", "listing", is_flag=True, help="Ask nobody: show the timestamps that there are.")
@json_option
def command(*, all_: bool, listing: bool, as_json: bool) -> int:
    """Have the newest checkpoint timestamped (RFC 3161). Every one of `timestamp_authorities` is asked.

    \b
    akashi ledger timestamp            what is due, now
    akashi ledger timestamp --list     when entries are known to have existed, and by whom
    """
    archive = Archive.open()
    anchors = Anchors(archive)
    if listing:
        _show([anchors.read(entry) for entry in anchors.entries()], as_json=as_json)
        return 0
    if not archive.settings.timestamp_authorities:
        raise UsageError(
            "timestamp_authorities is empty", next="name two or more, as akashi.example.toml does"
        )
    attempts = anchors.stamp(all_=all_)
    for attempt in attempts:
        if as_json:
            emit(_attempt(attempt))
        else:
            click.echo(_for_people(attempt))
    if not attempts:
        say("nothing to stamp: every entry but timestamps is covered by every authority")
        return 0
    good = {urlsplit(attempt.authority).hostname for attempt in attempts if attempt.timestamp}
    if len(good) < OPERATORS:
        say(
            f"stamped by {len(good)} of the {OPERATORS} operators wanted; who failed is asked again by the next run"
        )
    return 0 if good else UNAVAILABLE


def _attempt(attempt: Attempt) -> dict[str, Any]:
    failed = {"error": "timestamp", "detail": attempt.problem, "next": attempt.next}
    return {
        "authority": attempt.authority,
        "entry": attempt.entry,
        "notes": list(attempt.notes),
        **(_facts(attempt.timestamp) if attempt.timestamp else failed),
    }


def _facts(timestamp: Timestamp) -> dict[str, Any]:
    accuracy = timestamp.accuracy
    return {
        "time": utc(timestamp.time),
        "accuracy": None if accuracy is None else accuracy.total_seconds(),
        "serial": str(timestamp.serial),
        "policy": timestamp.policy,
        "imprint": timestamp.imprint,
        "subject": timestamp.authority,
        "certificate": timestamp.certificate_sha256,
        "not_after": utc(timestamp.not_after),
    }


def _for_people(attempt: Attempt) -> str:
    if attempt.timestamp is None:
        lines = [f"failed  {attempt.authority}", f"  {attempt.problem}"]
        lines += [f"  next: {attempt.next}"] if attempt.next else []
    else:
        lines = [f"ok      {attempt.authority}", f"  {both_times(utc(attempt.timestamp.time))}"]
        lines += [f"  by {attempt.timestamp.authority}, ledger entry {attempt.entry}"]
    return "\n".join([*lines, *(f"  {note}" for note in attempt.notes)])


def _show(anchors: Sequence[Anchor], *, as_json: bool) -> None:
    for anchor in anchors:
        body = anchor.entry.body
        facts = {"size": body["size"], "authority": body["authority"], "entry": anchor.entry.index}
        if as_json:
            said = {"error": "timestamp", "detail": anchor.problem}
            emit(facts | (_facts(anchor.timestamp) if anchor.timestamp else said))
        elif anchor.timestamp is None:
            click.echo(f"entries 0 to {body['size'] - 1}: {body['authority']}: {anchor.problem}")
        else:
            bound = both_times(utc(anchor.timestamp.time))
            click.echo(f"entries 0 to {body['size'] - 1} existed by {bound}")
            until = f"{anchor.timestamp.not_after:%Y-%m-%d}"
            click.echo(f"  {body['authority']}, certificate until {until}, ledger entry {anchor.entry.index}")
    if not anchors and not as_json:
        say("no timestamp yet: akashi ledger timestamp")
