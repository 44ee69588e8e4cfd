"""`akashi show CAPTURE`: one capture, in a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from console.output import both_times, emit, human_size, json_option, say
from evidence.custody import Custody
from evidence.errors import CustodyError
from storage.archive import Archive
from storage.custody import history


@click.command("show")
@click.argument("capture")
@json_option
def command(capture: str, *, as_json: bool) -> int:
    """One capture on a page. What was asked, found and is missing, where it lies, what was done with it.

    \b
    akashi show 01KAR5Q8Z4          the beginning of an id is enough
    """
    archive = Archive.open()
    row = archive.find(capture)
    entries = archive.ledger.entries_of(row["capture"])
    custody, acts = Custody.of(entries), history(archive, entries)
    told = {"entry": row["entry"], "custody": acts, "marks": custody.marks}
    if {"quarantined", "erased"} & set(custody.marks):
        return _closed(row, custody, told, as_json=as_json)
    manifest = archive.manifest(row)
    if as_json:
        emit(told | {"manifest": manifest})
        return 0
    for line in (*lines(row, manifest), *custody_lines(acts)):
        click.echo(line)
    return 0


def _closed(row: dict[str, Any], custody: Custody, told: dict[str, Any], *, as_json: bool) -> int:
    """Of a capture in quarantine, or erased: what the ledger knows of it, and not what it shows."""
    refused = (
        None if "erased" in custody.marks else "the capture is in quarantine: what it shows is not shown"
    )
    clear = f"akashi quarantine {row['capture']} --clear --reason R"
    if as_json:
        why = {"error": "custody", "detail": refused, "next": clear} if refused else {}
        emit(told | {"manifest": None} | why)
    else:
        for line in (*_tombstone(row, custody), *custody_lines(told["custody"])):
            click.echo(line)
    if refused and not as_json:
        say(f"akashi: {refused}\n  next: {clear}")
    return CustodyError.exit_code if refused else 0


def _tombstone(row: dict[str, Any], custody: Custody) -> Iterator[str]:
    yield f"capture    {row['capture']}  {row['outcome']}  {', '.join(custody.marks)}"
    yield f"began      {both_times(row['started'])}"
    for item in custody.closed.ended["objects"] if custody.closed else ():
        yield f"object     {item['key']}  {human_size(item['size'])}"
        yield f"           sha256 {item['sha256']}"
    yield f"ledger     entry {row['entry']}"


def custody_lines(acts: list[dict[str, Any]]) -> Iterator[str]:
    """What was done with it, an act in two lines."""
    for act in acts:
        facts = " ".join(str(act[name]) for name in ("how", "until") if name in act)
        yield f"custody    {act['type'].partition('.')[2]} {facts}".rstrip() + (
            f"  {both_times(act['time'])}  entry {act['entry']}"
        )
        record = act["record"]
        if record is None:
            yield f"           {act['error']}"
            continue
        to = record["details"].get("recipient", "")
        words = (record["reason"], record["authority"], f"to {to}" if to else "")
        yield f"           {record['actor']['name']} ({record['actor']['method']}): {'; '.join(filter(None, words))}"


def lines(row: dict[str, Any], manifest: dict[str, Any]) -> Iterator[str]:
    """The page, a fact a line; nothing that needs colour to be read."""
    target, times, request = manifest["target"], manifest["times"], manifest["request"]
    yield f"capture    {manifest['capture']['id']}  {manifest['outcome']}"
    yield f"asked for  {request['url']}"
    if target["final"] and target["final"] != request["url"]:
        yield f"arrived at {target['final']}"
    yield f"title      {target['title']}"
    for name, fact in sorted(target["displayed"].items()):
        yield f"displayed  {name}: {fact['value']}  (read from {fact['read_from']})"
    yield f"began      {both_times(times['started'])}"
    yield f"ended      {both_times(times['ended'])}"
    yield f"operator   {request['operator']['name']} ({request['operator']['method']})"
    if request["case"]:
        yield f"case       {request['case']}"
    for reason in manifest["reasons"]:
        yield f"because    {reason['code']}: {reason['detail']}"
    for medium in manifest["media"]:
        yield f"video      {medium['role']}  {medium['type']}  {human_size(medium['bytes'])}  sha256 {medium['sha256']}"
        yield f"           {medium['how']}"
    counts = ", ".join(
        f"{number} {client}" for client, number in manifest["completeness"]["exchanges"].items()
    )
    yield f"exchanges  {counts}"
    for missing in manifest["completeness"]["missing"]:
        yield f"missing    {missing['url']}  ({missing['why']})"
    yield f"warc       {manifest['warc']['key']}  {human_size(manifest['warc']['size'])}"
    yield f"           sha256 {manifest['warc']['sha256']}"
    yield f"ledger     entry {row['entry']}"
    yield f"files      akashi get {manifest['capture']['id']} --to DIR"
