"""`akashi ledger prove`: what a stranger needs to see that an entry is in the log."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from console.output import emit, json_option
from evidence.entry import CLOSING, CRAWL_ENDED
from evidence.errors import UsageError
from evidence.identifiers import is_ulid
from storage.archive import Archive
from storage.proofs import newest_checkpoint, prove

_PROOF: Final = ".tlog-proof"
_ID: Final = 26
"""Characters of a capture's id; fewer digits are an index."""


@click.command("prove")
@click.argument("what", metavar="INDEX|CAPTURE")
@click.option(
    "--to",
    "target",
    required=True,
    type=click.Path(path_type=Path),
    help="A folder, made if it is not there; or a file named ….tlog-proof, for the entry's proof alone.",
)
@json_option
def command(what: str, target: Path, *, as_json: bool) -> int:
    """An entry and the one before it, each with its proof. Of a capture or crawl also its start.

    \b
    akashi ledger prove 01KAR5Q8Z4 --to proof/       entry, prev, started: .json and .tlog-proof each
    akashi ledger prove 7 --to entry-7.tlog-proof
    """
    archive = Archive.open()
    checkpoint, note = newest_checkpoint(archive)
    wanted = _wanted(archive, what, checkpoint.size)
    alone = target.suffix == _PROOF
    for name, index in wanted.items():
        entry, proof = prove(archive, index, checkpoint, note)
        files = {target / f"{name}.json": entry, target / f"{name}{_PROOF}": proof}
        for path, data in ({target: proof} if alone else files).items():
            _write(path, data)
            if as_json:
                emit({"path": str(path), "bytes": len(data), "index": index, "size": checkpoint.size})
            else:
                click.echo(f"{path}  entry {index} of {checkpoint.size}")
        if alone:
            break
    return 0


def _wanted(archive: Archive, what: str, size: int) -> dict[str, int]:
    """The entries to prove, by the names of their files; the one that was asked for first."""
    wanted = {}
    if what.isascii() and what.isdigit() and len(what) < _ID:
        index = int(what)
    else:
        subject = what.upper() if is_ulid(what.upper()) else archive.find(what)["capture"]
        closing = [
            entry
            for entry in archive.ledger.entries_of(subject)
            if entry.type in CLOSING or entry.type == CRAWL_ENDED
        ]
        if not closing:
            raise UsageError(
                f"the log has nothing that ended as {what}", next=f"akashi ledger log --subject {subject}"
            )
        index, wanted = closing[-1].index, {"started": closing[-1].ended["started"]}
    if index >= size:
        raise UsageError(f"{size} entries are signed, none is {index}", next="akashi ledger checkpoint")
    return {"entry": index, **({"prev": index - 1} if index else {}), **wanted}


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_bytes() != data:
            raise UsageError(f"{path} holds something else", next="give another --to, or move it away")
        path.write_bytes(data)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UsageError(f"--to: {error}", next="give another --to, or move it away") from error
