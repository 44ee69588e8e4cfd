"""`akashi backup FILE`: keys and ledger, so that losing one folder does not end the log."""

from __future__ import annotations

from pathlib import Path

import click

from console.output import emit, human_size, json_option, say
from storage.backup import backup
from storage.settings import Settings


@click.command("backup")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--with-store", is_flag=True, help="Also the embedded store's objects.")
@json_option
def command(path: Path, *, with_store: bool, as_json: bool) -> int:
    """Write keys, ledger and settings to FILE. It gets mode 0600, is read back and compared.

    \b
    akashi backup /mnt/safe/akashi-2026-11-23.tar
    """
    backup(Settings.load().home.make(), path, include_store=with_store)
    size = path.stat().st_size
    if as_json:
        emit({"path": str(path), "bytes": size, "with_store": with_store})
    else:
        say(f"{path}, {human_size(size)}. It holds private keys: keep it where only you can read it")
    return 0
