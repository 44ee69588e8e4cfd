"""`akashi transfer CAPTURE… --to NAME --reason R`: it was handed over, and to whom."""

from __future__ import annotations

import click

from console.custody import act_on, custody_options
from evidence.errors import UsageError


@click.command("transfer")
@custody_options
@click.option("--to", "recipient", required=True, metavar="NAME", help="Who has it now.")
def command(captures: tuple[str, ...], recipient: str, *, reason: str, operator: str, as_json: bool) -> int:
    """Enter in the ledger that captures were handed over. Or that a medium was which holds them.

    \b
    akashi transfer 01KAR5Q8Z4 --to "Prosecutor's office, Ms Sato" --reason "request 12/2026"

    The very same transfer again, by the same person for the same reason, is taken for a repeated command.
    """
    if not recipient.strip():
        raise UsageError("the recipient is empty", next="name who has it now: --to NAME")
    return act_on(
        captures,
        lambda person, capture: person.transferred(capture, recipient),
        reason=reason,
        operator=operator,
        as_json=as_json,
    )
