"""`akashi ledger`: the log itself; each of its commands lies in `console/ledger_<name>.py`."""

from __future__ import annotations

from typing import Final

import click

from console.main import OneFileEach

COMMANDS: Final = ("checkpoint", "prove", "log", "witness", "sign", "timestamp", "keys")


@click.group(
    "ledger",
    cls=OneFileEach,
    prefix="ledger_",
    names=COMMANDS,
)
def command() -> None:
    """The log: its checkpoints, its proofs, its entries.

    \b
    akashi ledger log                              what was entered, an entry a line
    akashi ledger prove 01KAR5Q8Z4 --to proof/     what a stranger can check
    """
