"""The `akashi` command: its subcommands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

from console.output import complain
from evidence.errors import AkashiError

COMMANDS: Final = (
    *("capture", "list", "show", "get", "audit", "ledger"),
    *("hold", "release", "quarantine", "erase", "transfer"),
    *("doctor", "store", "backup", "restore"),
)


_PATHS: Final = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EACCES, errno.EROFS}
"""What is wrong with a path that somebody gave."""


class OneFileEach(click.Group):
    """Loads a command from `console/<prefix><name>.py` only when it is asked for, so that each starts quickly."""

    def __init__(self, *args: Any, names: Sequence[str], prefix: str = "", **more: Any) -> None:
        super().__init__(*args, **more)
        self._files = {name: f"console.{prefix}{name}" for name in names}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of use, not of the alphabet."""
        return list(self._files)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The click command named `command` in the file."""
        if cmd_name not in self._files:
            return None
        command: click.Command = importlib.import_module(self._files[cmd_name]).command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """As click does, but whoever stops reading our lines is not told of a failed check, which 1 would mean."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(128 + signal.SIGPIPE) from error


@click.group(cls=OneFileEach, names=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="akashi", message="akashi %(version)s")
def akashi() -> None:
    """Secure publicly shared videos so that they hold as evidence.

    \b
    akashi capture https://example.com/post/1      secure a URL now
    akashi list                                    what the archive holds
    akashi audit                                   re-read and check all of it

    Exit codes: 0 done, 1 a check failed, 2 usage or configuration, 3 partial,
    4 capture failed, 5 store or ledger unavailable, 6 refused by policy.
    """


def quiet_logging() -> None:
    """Only errors reach the terminal, unless AKASHI_LOG asks for more: on the handler, since Scrapy sets loggers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(name)s: %(message)s"))
    try:
        handler.setLevel(os.environ.get("AKASHI_LOG", "CRITICAL").upper())
    except ValueError as error:
        raise click.UsageError(f"AKASHI_LOG: {error}") from error
    logging.getLogger().addHandler(handler)


def main() -> None:
    """Run the command; every error ends here, as one line with its next step and its exit code."""
    try:
        quiet_logging()
        code = akashi.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except AkashiError as error:
        complain(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        complain(AkashiError(error.format_message(), next="akashi --help shows how each command is used"))
        sys.exit(2)
    except click.Abort:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        complain(AkashiError(str(error), next="akashi doctor shows what this machine lacks"))
        sys.exit(5 if error.errno in {errno.ENOSPC, errno.EDQUOT} else 2 if error.errno in _PATHS else 1)


if __name__ == "__main__":
    main()
