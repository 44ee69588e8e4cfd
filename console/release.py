"""`akashi release CAPTURE… --reason R`: the legal hold is taken off."""

from __future__ import annotations

import click

from console.custody import act_on, custody_options
from storage.custody import Custodian


@click.command("release")
@custody_options
def command(captures: tuple[str, ...], *, reason: str, operator: str, as_json: bool) -> int:
    """Take the legal hold off; the lock until its date stays.

    \b
    akashi release 01KAR5Q8Z4 --reason "case K-17 closed"
    """
    return act_on(captures, Custodian.release, reason=reason, operator=operator, as_json=as_json)
