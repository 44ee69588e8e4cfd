"""`akashi ledger log`: what was entered, an entry a line."""

from __future__ import annotations

from dataclasses import asdict

import click

from console.output import both_times, emit, json_option
from evidence.entry import ENTRY_TYPES
from evidence.errors import UsageError
from storage.archive import Archive
from storage.catalogue import utc_text


@click.command("log")
@click.option("--since", default="", metavar="TIME", help="Only entries made at or after this UTC time.")
@click.option(
    "--type", "kind", default="", help="Only this type, or all that begin so: capture, custody.held."
)
@click.option(
    "--subject", default="", help="Only entries about this: the id of a capture or crawl, a bucket."
)
@json_option
def command(since: str, kind: str, subject: str, *, as_json: bool) -> int:
    """What was entered, in the log's order. Index, time, type, subject.

    \b
    akashi ledger log --since 2026-11-23 --type capture
    """
    if kind and not any(_is_of(one, kind) for one in ENTRY_TYPES):
        raise UsageError(f"no entry is a {kind!r}", next=f"one of {', '.join(sorted(ENTRY_TYPES))}")
    start = utc_text(since) if since else ""
    ledger = Archive.open().ledger
    for entry in ledger.entries_of(subject) if subject else ledger.entries():
        if entry.time < start or (kind and not _is_of(entry.type, kind)):
            continue
        if as_json:
            emit(asdict(entry))
        else:
            click.echo(f"{entry.index:>8}  {both_times(entry.time)}  {entry.type:25}  {entry.subject}")
    return 0


def _is_of(type: str, kind: str) -> bool:
    return f"{type}.".startswith(f"{kind}.")
