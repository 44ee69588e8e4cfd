"""`akashi ledger keys`: which keys the log has had, and how one follows another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from console.output import emit, json_option, say
from evidence.canonical import utc
from evidence.errors import UsageError
from evidence.keys import Life
from evidence.note import VerifierKey
from storage import rotation
from storage.archive import Archive
from storage.connect import open_store
from storage.keyring import Keyring, read_key
from storage.ledger import Ledger
from storage.settings import Settings

_ROLES = ("log", "collector", "recovery", "witness")


@click.group("keys", invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> int:
    """The keys of the log, and how they change (docs/keys.md).

    \b
    akashi ledger keys                                       all there ever were
    akashi ledger keys recovery --out /mnt/usb/recovery.key  make the offline key: do this first
    akashi ledger keys rotate --role log                     a new key follows; both sign until
    akashi ledger keys retire VKEY                           … the old one is retired
    akashi ledger keys compromised VKEY --since 2026-11-23T08:00:00Z
    akashi ledger keys recover --with /mnt/usb/recovery.key  the log's key is lost
    """
    if context.invoked_subcommand is not None:
        return 0
    archive = Archive.open()
    for life in sorted(archive.ledger.keys().lives, key=lambda life: (_ROLES.index(life.role), life.added)):
        _show(life, archive.keyring, as_json=as_json)
    return 0


@command.command()
@click.option("--role", required=True, type=click.Choice(["log", "collector"]), help="Whose key.")
@json_option
def rotate(role: str, *, as_json: bool) -> int:
    """Make a new key that follows this home's. The old one stays good until it is retired.

    \b
    akashi ledger keys rotate --role log
    """
    then = "publish the new vkey, make a new akashi backup, then retire the old key"
    return _change(lambda ledger, keyring: rotation.rotate(ledger, keyring, role), then, as_json=as_json)


@command.command()
@click.argument("vkey")
@json_option
def retire(vkey: str, *, as_json: bool) -> int:
    """End the use of a key that another has followed. A log key is removed from this home.

    \b
    akashi ledger keys retire akashi.invalid/5f2c61d0+9b2f0c1e+AQ…
    """
    return _change(lambda ledger, keyring: rotation.retire(ledger, keyring, vkey), "", as_json=as_json)


@command.command()
@click.argument("vkey")
@click.option(
    "--since", required=True, metavar="TIME", help="From when on it may have been in other hands (UTC)."
)
@json_option
def compromised(vkey: str, since: str, *, as_json: bool) -> int:
    """Declare a key stolen. What it signed since then counts only if a timestamp or witness shows it to be older.

    \b
    akashi ledger keys compromised akashi.invalid/5f2c61d0+9b2f0c1e+AQ… --since 2026-11-23T08:00:00Z
    """
    moment, then = _moment(since), "publish the vkey that is in use now, make a new akashi backup"
    return _change(
        lambda ledger, keyring: rotation.compromised(ledger, keyring, vkey, moment), then, as_json=as_json
    )


@command.command()
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Where its private half goes, 0600."
)
@json_option
def recovery(out: Path, *, as_json: bool) -> int:
    """Make the offline recovery key. It can name a new log key when the log's is lost or stolen.

    \b
    akashi ledger keys recovery --out /mnt/usb/recovery.key
    """
    then = f"take {out} off this machine; whoever has it can name the log's next key"
    return _change(
        lambda ledger, keyring: rotation.make_recovery(ledger, keyring, out), then, as_json=as_json
    )


@command.command()
@click.option(
    "--with",
    "path",
    required=True,
    type=click.Path(path_type=Path, exists=True),
    help="The recovery key's file.",
)
@json_option
def recover(path: Path, *, as_json: bool) -> int:
    """Let a new log key follow one lost or stolen. The recovery key signs for it.

    \b
    akashi ledger keys recover --with /mnt/usb/recovery.key
    """
    settings, by = Settings.load(), read_key(path)
    origin, _, role = by.name.rpartition("/")
    if role != "recovery":
        raise UsageError(f"{path} is the key of {by.name}", next="name a recovery key's file")
    keyring = Keyring.recovering(settings.home, origin)
    ledger = Ledger(settings.home, open_store(settings), keyring, settings.ledger_database)
    then = "publish the new vkey, make a new akashi backup, end the old key: keys retire, or compromised"
    with keyring.changing():
        return _told(ledger, keyring, rotation.recover(ledger, keyring, by).vkey, then, as_json=as_json)


def _change(change: Callable[[Ledger, Keyring], VerifierKey | Life], then: str, *, as_json: bool) -> int:
    archive = Archive.open()
    with archive.keyring.changing():
        made = change(archive.ledger, archive.keyring)
        return _told(archive.ledger, archive.keyring, made.vkey, then, as_json=as_json)


def _told(ledger: Ledger, keyring: Keyring, vkey: str, then: str, *, as_json: bool) -> int:
    for life in ledger.keys().lives:
        if life.vkey == vkey:
            _show(life, keyring, as_json=as_json)
    if then and not as_json:
        say(f"next: {then}")
    return 0


def _moment(since: str) -> str:
    """A time that a person gave, as the ledger writes it. Raises UsageError."""
    try:
        moment = datetime.fromisoformat(since)
        text = utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except ValueError as error:
        raise UsageError(f"--since {since}: {error}", next="give a time like 2026-11-23T08:00:00Z") from error
    if text > utc(datetime.now(UTC)):
        raise UsageError(f"--since {since} lies in the future", next="give a time that has passed")
    return text


def _show(life: Life, keyring: Keyring, *, as_json: bool) -> None:
    fingerprint = hashlib.sha256(life.vkey.encode()).hexdigest()
    state = "compromised" if life.since else "active" if life.until is None else "retired"
    here = life.vkey in keyring.held()
    if as_json:
        told: dict[str, Any] = {
            "role": life.role,
            "vkey": life.vkey,
            "fingerprint": fingerprint,
            "state": state,
        }
        emit(told | {"added": life.added, "ended": life.until, "since": life.since or None, "here": here})
        return
    ended = "" if life.until is None else f", ended by entry {life.until}"
    since = f", in other hands since {life.since}" if life.since else ""
    click.echo(f"{life.role:9}  {life.vkey}")
    click.echo(f"           {state}, since entry {life.added}{ended}{since}{', held here' if here else ''}")
    click.echo(f"           sha256 {fingerprint}")
