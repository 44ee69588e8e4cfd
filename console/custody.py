"""What the custody commands share: their options, whole capture ids, a result read back, an exit code for several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import click

from console.output import both_times, emit, json_option, say
from evidence.canonical import utc
from evidence.errors import AkashiError, UsageError
from pipelines.options import CaptureOptions
from storage.archive import Archive
from storage.custody import Act, Custodian

SEVERITY: Final = (5, 1, 6, 2, 0)
"""Of several captures: the exit is the first of these that occurred."""

_captures = click.argument("captures", nargs=-1, required=True, metavar="CAPTURE…")
_reason = click.option("--reason", required=True, metavar="R", help="Why; kept in the side record.")
operator_option = click.option("--operator", default="", metavar="N", help="Who answers for it.")


def custody_options(command: Callable[..., int]) -> Callable[..., int]:
    """CAPTURE…, --reason, --operator and --json."""
    return _captures(_reason(operator_option(json_option(command))))


def custodian(archive: Archive, *, operator: str, reason: str = "", authority: str = "") -> Custodian:
    """Who acts, as `akashi capture` names them."""
    return Custodian(
        archive, CaptureOptions(operator=operator).operator_facts(archive.settings), reason, authority
    )


def act_on(captures: Sequence[str], do: Callable[[Custodian, str], Act], *, as_json: bool, **who: str) -> int:
    """Do it to each capture and tell what the ledger and the store then have; gives the exit code.

    Raises UsageError for an empty reason, and what opening the archive raises.
    """
    if not who["reason"].strip():
        raise UsageError("the reason is empty", next="say why: --reason R")
    archive = Archive.open()
    person, codes = custodian(archive, **who), set[int]()
    for asked in captures:
        try:
            capture = archive.find(asked)["capture"]
            act = do(person, capture)
        except AkashiError as error:
            codes.add(error.exit_code)
            _complain(asked, error, as_json=as_json)
        else:
            codes.add(0)
            _tell(capture, act, as_json=as_json)
    archive.catalogue.follow(archive.store, archive.ledger)
    return next(code for code in SEVERITY if code in codes)


def _tell(capture: str, act: Act, *, as_json: bool) -> None:
    objects = [
        {
            "key": head.key,
            "version": head.version,
            "legal_hold": head.legal_hold,
            "lock_mode": head.lock_mode,
            "retain_until": utc(head.retain_until) if head.retain_until else None,
        }
        for head in act.objects
    ]
    if as_json:
        record = act.entry.body["record"]["key"]
        facts: dict[str, Any] = {"capture": capture, "type": act.entry.type, "entry": act.entry.index}
        emit(facts | {"time": act.entry.time, "new": act.new, "record": record, "objects": objects})
        return
    when = both_times(act.entry.time)
    click.echo(
        f"{capture}  {act.entry.type}  entry {act.entry.index}, {when}" + ("" if act.new else "  (as before)")
    )
    for item in objects:
        hold = "on legal hold" if item["legal_hold"] else "no hold"
        click.echo(
            f"  {item['key']}  {hold}, {item['lock_mode'] or 'no lock'} until {item['retain_until'] or '-'}"
        )


def _complain(asked: str, error: AkashiError, *, as_json: bool) -> None:
    if as_json:
        emit({"capture": asked, "error": error.name, "detail": error.detail, "next": error.next})
    else:
        say(f"akashi: {asked}: {error.detail}" + (f"\n  next: {error.next}" if error.next else ""))
