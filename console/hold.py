"""`akashi hold CAPTURE… --reason R`: a legal hold, or with `--until` a longer retention."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from console.custody import act_on, custody_options
from evidence.errors import UsageError


@click.command("hold")
@custody_options
@click.option(
    "--until", default="", metavar="DATE", help="Instead: lock the objects until then (UTC, 2027-03-31…)."
)
def command(captures: tuple[str, ...], until: str, *, reason: str, operator: str, as_json: bool) -> int:
    """Keep captures from deletion. Until `akashi release`, or before DATE, nobody can delete them.

    \b
    akashi hold 01KAR5Q8Z4 --reason "case K-17"
    akashi hold 01KAR5Q8Z4 --until 2027-03-31 --reason "limitation period"

    A date is only ever made later; under store_profile = legal nobody can make it earlier again.
    """
    end = _moment(until) if until else None
    return act_on(
        captures,
        lambda person, capture: person.retain(capture, end) if end else person.hold(capture),
        reason=reason,
        operator=operator,
        as_json=as_json,
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date", next="write 2027-03-31 or 2027-03-31T15:00Z") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment <= datetime.now(UTC):
        raise UsageError(f"{text} is past", next="name a day to come")
    return moment
