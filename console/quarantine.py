"""`akashi quarantine CAPTURE… --reason R`: no preview, no export, until it is cleared."""

from __future__ import annotations

import click

from console.custody import act_on, custody_options
from storage.custody import Custodian


@click.command("quarantine")
@custody_options
@click.option("--clear", is_flag=True, help="End the quarantine.")
def command(captures: tuple[str, ...], *, clear: bool, reason: str, operator: str, as_json: bool) -> int:
    """Show and hand out nothing of captures, until --clear. What is stored stays as it is.

    \b
    akashi quarantine 01KAR5Q8Z4 --reason "may be unlawful to show"
    akashi quarantine 01KAR5Q8Z4 --clear --reason "examined by counsel"
    """
    do = Custodian.clear if clear else Custodian.quarantine
    return act_on(captures, do, reason=reason, operator=operator, as_json=as_json)
