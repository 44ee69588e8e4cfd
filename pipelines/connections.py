"""What the door writes down of each connection, and how a tap in another process finds its own.

One JSON object a line, written before the client may use the connection:

    {"client_port":40122,"host":"a.example","port":443,"ip":"192.0.2.7","dns":["192.0.2.7"],"opened":"2026-…Z"}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from evidence.canonical import utc
from storage.resolver import Addresses


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection that was made: who asked (by its local port), for what, and who answered."""

    client_port: int
    host: str
    port: int
    ip: str
    dns: Addresses
    opened: datetime

    def line(self) -> bytes:
        """Its line in the log; `client_port` comes first, where `lookup` searches for it."""
        facts = {**asdict(self), "opened": utc(self.opened)}
        return json.dumps(facts, separators=(",", ":")).encode() + b"\n"


class Refused(NamedTuple):
    """A connection that the door refused."""

    host: str
    port: int
    why: str


class Failed(NamedTuple):
    """A connection that could not be made; `code` is `dns-failed` or `connection-failed`."""

    host: str
    port: int
    code: str
    why: str


def lookup(log: Path, client_port: int) -> Connection | None:
    """The newest connection from this local port, as a tunnel's log holds it; None when there is none.

    Raises OSError when the log cannot be read.
    """
    data = log.read_bytes()
    start = data.rfind(b'{"client_port":%d,' % client_port)
    end = data.find(b"\n", start)
    if start < 0 or end < 0:
        return None
    facts = json.loads(data[start:end])
    dns, opened = tuple(facts.pop("dns")), datetime.fromisoformat(facts.pop("opened"))
    return Connection(**facts, dns=dns, opened=opened)
