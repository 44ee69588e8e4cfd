"""`akashi list`: what the archive holds."""

from __future__ import annotations

import click

from console.output import both_times, emit, human_size, json_option, say
from storage.archive import Archive


@click.command("list")
@click.argument("query", required=False, default="")
@click.option("--case", default="", help="Only this case.")
@click.option(
    "--since", default="", metavar="TIME", help="Only captures begun at or after this UTC time (2026-11-23…)."
)
@click.option("--platform", default="", help="Only this host, e.g. youtube.com.")
@json_option
def command(query: str, case: str, since: str, platform: str, *, as_json: bool) -> int:
    """What the archive holds. QUERY is looked for in titles, uploaders, URLs and notes.

    \b
    akashi list --case 2026-014 ドラゴン
    """
    rows = Archive.open().catalogue.search(query=query, case=case, since=since, platform=platform)
    for row in rows:
        if as_json:
            emit(row)
            continue
        click.echo(
            f"{row['capture']}  {row['outcome']:8}  {both_times(row['started'])}  {human_size(row['bytes'])}"
        )
        if row["custody"]:
            click.echo(f"  {', '.join(row['custody'])}")
        click.echo(f"  {row['url']}" + (f"\n  {row['title']}" if row["title"] else ""))
    if not rows and not as_json:
        say("nothing found. next: akashi capture URL, or fewer filters")
    return 0
