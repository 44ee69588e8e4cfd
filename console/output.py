"""What all commands print: one JSON object a line on stdout for scripts, lines for people on stderr."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import click

from evidence.errors import AkashiError

json_option = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line on stdout, nothing else."
)


def emit(document: Any) -> None:
    """One JSON object on one line of stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line for people, on stderr."""
    click.echo(text, err=True)


def complain(error: AkashiError) -> None:
    """An error: what is wrong and what to do next; as JSON when the command was asked for JSON."""
    if "--json" in sys.argv:
        emit({"error": error.name, "detail": error.detail, "next": error.next})
        return
    say(f"akashi: {error.detail}" + (f"\n  next: {error.next}" if error.next else ""))


def both_times(stamp: str) -> str:
    """`2026-11-23 17:13:00 +0900 (2026-11-23T08:13:00.123Z)`: local time, then UTC as recorded."""
    if not stamp:
        return ""
    moment = (
        datetime.fromisoformat(stamp).replace(tzinfo=UTC)
        if stamp.endswith("Z")
        else datetime.fromisoformat(stamp)
    )
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %z} ({stamp})"


def human_size(size: int) -> str:
    """`5.3 MB`, in powers of ten as disks and networks are sold."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":  # noqa: PLR2004 - SI
            return f"{size} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError
