"""`akashi ledger witness`: ask the witnesses of our log, or be one for the logs of others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from console.output import both_times, emit, json_option, say
from evidence.canonical import utc
from evidence.errors import NoteError, UsageError
from evidence.note import VerifierKey
from storage.http_server import Answer, Server
from storage.witness_server import MAX_REQUEST, Witness


@click.command("witness")
@click.option("--state", type=click.Path(path_type=Path), help="Be a witness: folder of its key and memory.")
@click.option("--listen", metavar="HOST:PORT", default="", help="Where it takes checkpoints; port 0: any.")
@click.option("--log", "logs", metavar="VKEY", multiple=True, help="A log that it witnesses; repeatable.")
@click.option("--name", default="", help="The name that it signs under, e.g. witness.example/w1.")
@click.option("--key-only", is_flag=True, help="Print its vkey, made if there is none, and end.")
@json_option
def command(
    *, state: Path | None, listen: str, logs: tuple[str, ...], name: str, key_only: bool, as_json: bool
) -> int:
    """Have the newest checkpoint cosigned, or be a witness. Those of `ledger_policy` are asked.

    \b
    akashi ledger witness                                        ask them; 1: alarm, 3: no quorum
    akashi ledger witness --state w1 --name witness.example/w1 --key-only
    akashi ledger witness --state w1 --listen 127.0.0.1:8181 --log VKEY

    A witness (c2sp.org/tlog-witness) needs no archive. It signs only what continues all that it has
    seen of a log, and keeps as evidence what the log signed and does not.
    """
    if state is None:
        if listen or logs or name or key_only:
            raise UsageError("a witness needs --state", next="give a folder that is its own")
        return _ask(as_json=as_json)
    witness = Witness(state, [_log(vkey) for vkey in logs], name=name)
    try:
        if key_only:
            emit({"vkey": witness.key.vkey}) if as_json else click.echo(witness.key.vkey)
            return 0
        if not listen or not logs:
            raise UsageError("a witness needs --listen and --log", next="see akashi ledger witness --help")
        server = Server(listen, submissions(witness), teller(as_json=as_json), limit=MAX_REQUEST)
        if as_json:
            emit({"listening": server.address, "vkey": witness.key.vkey})
        else:
            say(f"witness {witness.key.vkey} listens at {server.address}")
        server.run()
    finally:
        witness.close()
    return 0


def _ask(*, as_json: bool) -> int:
    # Here, since a witness needs neither a store nor an archive, and should not load them.
    from storage.archive import Archive  # noqa: PLC0415
    from storage.settings import Settings  # noqa: PLC0415
    from storage.witnesses import ALARM, cosign, load_policy  # noqa: PLC0415

    settings = Settings.load()
    policy = load_policy(settings)
    if policy is None:
        raise UsageError("no witness is set", next="set ledger_policy: docs/witness.md shows one")
    archive = Archive.open(settings)
    outcomes, judgement = cosign(archive, policy)
    for one in outcomes:
        time = utc(datetime.fromtimestamp(one.cosignature.time, UTC)) if one.cosignature else None
        if as_json:
            emit({"witness": one.name, "state": one.state, "detail": one.detail, "time": time})
        else:
            click.echo(f"{one.state:12} {one.name}: {both_times(time) if time else one.detail}")
    size = judgement.checkpoint.size
    if as_json:
        emit({"size": size, "policy": policy.sha256, "quorum": policy.quorum, "met": judgement.met})
    else:
        say(f"size {size}: the quorum {policy.quorum!r} is {'met' if judgement.met else 'not met'}")
    if any(one.state == ALARM for one in outcomes):
        return 1
    return 0 if judgement.met else 3


def submissions(witness: Witness) -> Callable[[str, object, bytes], Answer]:
    """The one path that a witness has."""

    def handle(path: str, _: object, body: bytes) -> Answer:
        if path != "/add-checkpoint":
            return Answer(404, b"only /add-checkpoint is here\n", "no such path")
        return witness.add_checkpoint(body)

    return handle


def teller(*, as_json: bool) -> Callable[[dict[str, Any]], None]:
    """One line a request, with its time."""

    def tell(facts: dict[str, Any]) -> None:
        time = utc(datetime.now(UTC))
        if as_json:
            emit({"time": time, **facts})
        else:
            line = f"{time} {facts['peer']} {facts['path']} {facts['status']} {facts['detail']}"
            say(line.encode("unicode_escape").decode())  # what a peer sends writes no lines of its own

    return tell


def _log(vkey: str) -> VerifierKey:
    try:
        return VerifierKey.parse(vkey)
    except NoteError as error:
        raise UsageError(
            f"--log {vkey}: {error.detail}", next="give the vkey that the log's keeper gave"
        ) from error
