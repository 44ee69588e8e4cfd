"""`akashi show CAPTURE`: one capture, in a page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from console.output import both_times, emit, human_size, json_option
from storage.archive import Archive


@click.command("show")
@click.argument("capture")
@json_option
def command(capture: str, *, as_json: bool) -> int:
    """One capture: what was asked, what was found, what is missing, where it lies.

    \b
    akashi show 01KAR5Q8Z4          the beginning of an id is enough
    """
    archive = Archive.open()
    row = archive.find(capture)
    manifest = archive.manifest(row)
    if as_json:
        emit({"entry": row["entry"], "manifest": manifest})
        return 0
    for line in lines(row, manifest):
        click.echo(line)
    return 0


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
