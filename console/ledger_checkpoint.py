"""`akashi ledger checkpoint`: the log's newest signed word on its size and root."""

from __future__ import annotations

import click

from console.output import emit, json_option, say
from evidence.checkpoint import checkpoint_key
from evidence.entry import Entry
from storage.archive import Archive
from storage.proofs import newest_checkpoint


@click.command("checkpoint")
@click.option(
    "--remake",
    is_flag=True,
    help="First make every tile again: what is lost comes back, what differs is named.",
)
@json_option
def command(*, remake: bool, as_json: bool) -> int:
    """The newest checkpoint, as it is stored. What is not signed yet is signed first.

    \b
    akashi ledger checkpoint > checkpoint
    """
    archive = Archive.open()  # opening a ledger signs what is unsigned
    checkpoint, note = newest_checkpoint(archive)
    if remake:
        archive.ledger.tiles.publish(checkpoint.size, checkpoint.root)
    if as_json:
        emit(
            {
                "origin": checkpoint.origin,
                "size": checkpoint.size,
                "root": checkpoint.root.hex(),
                "time": Entry.decode(archive.ledger.entry_bytes(checkpoint.size - 1)).time,
                "key": checkpoint_key(checkpoint.size),
                "vkey": archive.keyring.verifiers[0].vkey,
            }
        )
        return 0
    click.echo(note.decode(), nl=False)
    if archive.ledger.size > checkpoint.size:
        say(f"entries from {checkpoint.size} on are not under it yet; AKASHI_LOG=WARNING tells why")
    return 0
