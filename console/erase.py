"""`akashi erase CAPTURE --reason R`: lawful erasure, by two persons; the ledger keeps the proof that there was one."""

from __future__ import annotations

import click

from console.custody import act_on, custody_options
from evidence.errors import UsageError
from storage.custody import Custodian


@click.command("erase")
@custody_options
@click.option(
    "--authority", default="", metavar="ORDER", help="The order or legal basis; needed for the request."
)
@click.option("--confirm", is_flag=True, help="The second person: delete it now.")
def command(
    captures: tuple[str, ...], *, authority: str, confirm: bool, reason: str, operator: str, as_json: bool
) -> int:
    """Erase captures for good, by two persons. One requests it, another confirms: WARC and manifest go, entries stay.

    \b
    akashi erase 01KAR5Q8Z4 --operator Aiko --authority "GDPR Art. 17, request 12" --reason "person shown"
    akashi erase 01KAR5Q8Z4 --operator Ben --confirm --reason "checked the request"

    Refused on legal hold, and before its date under COMPLIANCE. Needs credentials that may delete.
    """
    if not confirm and not authority.strip():
        raise UsageError(
            "an erasure needs its legal basis", next="name the order or the law: --authority ORDER"
        )
    do = Custodian.confirm_erasure if confirm else Custodian.request_erasure
    return act_on(captures, do, reason=reason, operator=operator, authority=authority, as_json=as_json)
