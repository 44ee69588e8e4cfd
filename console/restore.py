"""`akashi restore FILE`: the other half of backup."""

from __future__ import annotations

from pathlib import Path

import click

from console.output import emit, json_option, say
from storage.backup import restore
from storage.settings import Settings


@click.command("restore")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def command(path: Path, *, as_json: bool) -> int:
    """Put a backup into an empty AKASHI_HOME. One that is in use is refused.

    \b
    AKASHI_HOME=/srv/akashi akashi restore /mnt/safe/akashi-2026-11-23.tar
    """
    home = Settings.load().home
    restore(path, home)
    emit({"home": str(home.root)}) if as_json else say(f"restored into {home.root}. next: akashi audit")
    return 0
