"""`akashi audit`: re-read the whole archive; objects against manifests, manifests against the ledger."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import click

from console.output import emit, json_option, say
from console.spread import all_means
from evidence.audit import ObjectSource, audit
from evidence.audit_report import LIMITS
from storage.archive import Archive
from storage.authorities import load_roots
from storage.catalogue import utc_text
from storage.folder import FolderCopy
from storage.ledger_source import LedgerSource
from storage.s3 import S3Store
from storage.witnesses import load_policy


@click.command("audit")
@click.option(
    "--copy",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder copy instead of the store.",
)
@click.option(
    "--since",
    default="",
    metavar="TIME",
    help="Re-read only objects of captures begun since (UTC); the ledger always whole.",
)
@json_option
def command(copy: Path | None, since: str, *, as_json: bool) -> int:
    """Re-read everything and name what is wrong. The object, the byte range or field, the rule.

    \b
    akashi audit                      the store
    akashi store copy --to DIR        a copy on disk
    akashi audit --copy DIR           the copy
    """
    start = utc_text(since) if since else ""
    archive = Archive.open()
    # Before the audit reads anything: the log grows meanwhile.
    expected = replace(archive.keyring.expectations(), tsa_roots=load_roots(archive.settings))
    if policy := load_policy(archive.settings):
        expected = replace(expected, witnesses=tuple(known.key for known in policy.witnesses.values()))
    source: ObjectSource = FolderCopy(copy) if copy else archive.store
    with all_means() as means, ExitStack() as stack:
        if isinstance(source, S3Store):
            source = stack.enter_context(closing(LedgerSource(source)))
        report = audit(source, expected, since=start, means=means)
    for finding in report.findings:
        if as_json:
            emit(finding.as_json())
        else:
            click.echo(finding.as_line())
    for note in report.notes:
        if not as_json:
            say(f"note: {note}")
    if as_json:
        found = {"findings": len(report.findings), "notes": list(report.notes)}
        emit({**found, "limits": list(LIMITS.values()), **report.counts})
    else:
        say(report.summary())
        say("\n  ".join(["not proved:", *LIMITS.values()]))
    return 1 if report.findings else 0
