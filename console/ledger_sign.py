"""`akashi ledger sign`: hold the log's key in a process, or on a machine, of its own."""

from __future__ import annotations

import click

from console.ledger_witness import teller
from console.output import emit, json_option, say
from evidence.errors import UsageError
from storage.home import Home
from storage.http_server import Server
from storage.keyring import Keyring
from storage.signer_server import MAX_REQUEST, SigningDesk, own_token


@click.command("sign")
@click.option(
    "--listen", metavar="ADDRESS", default="", help="unix:/path (default: in the home), or HOST:PORT."
)
@click.option("--origin", default="", help="The log's name, when its key is made.")
@click.option("--key-only", is_flag=True, help="Print the log's vkey, made if there is none, and end.")
@json_option
def command(*, listen: str, origin: str, key_only: bool, as_json: bool) -> int:
    """Hold the log's key in a process of its own. It signs for who appends elsewhere, and only growth.

    \b
    AKASHI_HOME=/var/lib/akashi-signer akashi ledger sign --key-only > log.vkey
    AKASHI_HOME=/var/lib/akashi-signer akashi ledger sign --listen 127.0.0.1:8182

    The machine that appends has that vkey as keys/log.vkey in its home, names the signer as
    `ledger_signer`, and over TCP brings the token of <signer's home>/signer-token.
    """
    home = Home.from_environment().make()
    if (home.keys / "log.vkey").exists() and not (home.keys / "log.key").exists():
        raise UsageError(f"the log's key is not in {home.root}", next="run it with the signer's AKASHI_HOME")
    keyring = Keyring.open_or_create(home, origin)
    if key_only:
        for key in keyring.verifiers:
            emit({"vkey": key.vkey}) if as_json else click.echo(key.vkey)
        return 0
    listen = listen or f"unix:{home.root / 'signer'}"
    token = "" if listen.startswith("unix:") else own_token(home.root / "signer-token")
    desk = SigningDesk(home, keyring, token)
    try:
        server = Server(listen, desk.handle, teller(as_json=as_json), limit=MAX_REQUEST)
        if as_json:
            emit({"listening": server.address, "vkey": keyring.verifiers[0].vkey})
        else:
            say(f"signer of {keyring.origin} listens at {server.address}")
        server.run()
    finally:
        desk.close()
    return 0
